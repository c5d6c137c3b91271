package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// What a process under test does whose whole life is recorded: the first start of a
// log, commands, checkpoints beside them, of which the oldest are removed again, the
// head file now and then, a clean stop with the index file, and the same once more from
// a checkpoint.
const (
	recordedStarts   = 2
	recordedWriters  = 2
	recordedCommands = 16 // per writer and start
	recordedKeep     = 5  // commands of one writer between two checkpoints
	// recordedPace is the time between two commands of a writer. A start takes longer
	// than the second after which the head file is due, so that it is written between
	// commands, too.
	recordedPace = 80 * time.Millisecond
)

// recordedName is the name of the directory of the log in the one that is watched.
const recordedName = "data"

// recorded is the process under test, as child, that ends by itself. Nothing but
// acknowledgements, refusals and states is said if all goes well.
func recorded(run, dir string) int {
	for n := range recordedStarts {
		if err := recordedStart(fmt.Sprint(run, ".", n), dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return 0
}

func recordedStart(run, dir string) error {
	u, err := openUnderTest(modeSound, dir)
	if err != nil {
		return err
	}
	u.run = run
	errs := make([]error, recordedWriters)
	var writing sync.WaitGroup
	for w := range recordedWriters {
		writing.Go(func() { errs[w] = u.recordedWriter(w) })
	}
	writing.Wait()
	u.publish()
	return errors.Join(errors.Join(errs...), u.engine.Close(), u.log.Close())
}

// recordedWriter sends a writer's commands; the first writer writes checkpoints, too.
func (u *underTest) recordedWriter(writer int) error {
	for n := range recordedCommands {
		if !u.send(writer, n) {
			return fmt.Errorf("the engine stopped: %w", u.engine.Err())
		}
		if writer == 0 && n%recordedKeep == recordedKeep-1 {
			u.publish()
			s := u.engine.State()
			dump, err := s.Dump()
			if err == nil {
				err = u.checkpoints.WriteCheckpoint(context.Background(), s.Head(), dump)
			}
			if err != nil {
				return err
			}
		}
		pause(recordedPace)
	}
	return nil
}

// tracedCalls are the system calls that change files or say what was acknowledged, and
// those that a process could change files with, too: the model refuses a recording with
// such a call. A question mark is for calls that some processors do not have.
var tracedCalls = strings.Join([]string{
	"openat", "close", "write", "pwrite64", "ftruncate", "fsync", "fdatasync", "mkdirat", "unlinkat", "?renameat", "renameat2",
	"fcntl", "lseek", "mmap",
	"?open", "?creat", "openat2", "?mkdir", "?rmdir", "?unlink", "?rename", "?link", "linkat", "?symlink", "symlinkat",
	"writev", "pwritev", "pwritev2", "copy_file_range", "sendfile", "splice", "truncate", "fallocate",
	"sync", "syncfs", "sync_file_range", "msync", "dup", "?dup2", "dup3", "io_uring_setup",
}, ",")

// recordingLimit bounds how long a recording may take; it takes about three seconds.
const recordingLimit = time.Minute

// record runs a process under test to its end, in a directory that does not exist
// before, and returns its system calls and the directory above.
func record(t *testing.T) (steps []step, root string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	root = t.TempDir()
	trace := filepath.Join(t.ArtifactDir(), "trace")
	ctx, stop := context.WithTimeout(t.Context(), recordingLimit)
	defer stop()
	cmd := exec.CommandContext(ctx, "strace", "-f", "-o", trace, "-xx", "-s", fmt.Sprint(64<<20), "-e", "signal=none", "-e", "trace="+tracedCalls, exe)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s r %s", envChild, modeRecorded, filepath.Join(root, recordedName)))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = new(bytes.Buffer), &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("recording a process under test: %v\n%s", err, stderr.String())
	}
	doc, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	if steps, err = parseTrace(string(doc)); err != nil {
		t.Fatal(err)
	}
	return steps, root
}
