package faults

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	kills  = flag.Int("kills", 500, "processes to kill")
	cuts   = flag.Int("cuts", 100, "power cuts per file system")
	fsList = flag.String("fs", "ext4", "file systems to cut the power of, of ext4 and xfs")
	fills  = flag.Int("fills", 20, "times to fill a disk and make room, per file system")
	errs   = flag.Int("errors", 12, "times to make a disk fail at a sync")
	states = flag.Int("states", 300, "states that a crash may leave to try, of a recorded process")
	jumps  = flag.Int("jumps", 200, "steps of a walk with a clock that jumps")
	asleep = flag.Duration("asleep", 2*time.Second, "how long a machine is suspended")
	seed   = flag.Uint64("seed", 0, "seed of the moments; 0: from the clock")
)

// Environment variables.
const (
	envFaults = "ABEYANCE_FAULTS" // "1": run the suites
	envCI     = "ABEYANCE_CI"     // "1": a suite that cannot run is an error
	envChild  = "ABEYANCE_FAULTS_CHILD"
	envInside = "ABEYANCE_FAULTS_INSIDE" // a directory for this run: in the mount namespace
)

// TestMain is also the process under test, and moves the tests into a mount namespace
// of their own: whatever they mount is gone when they end, however they end.
func TestMain(m *testing.M) {
	flag.Parse()
	if what := os.Getenv(envChild); what != "" {
		os.Exit(child(what))
	}
	if os.Getenv(envFaults) == "1" && os.Geteuid() == 0 && os.Getenv(envInside) == "" {
		os.Exit(inside())
	}
	os.Exit(m.Run())
}

// inside runs the tests again in a mount namespace.
func inside() int {
	exe, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "abeyance-faults-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command(exe, os.Args[1:]...)
	cmd.Env = append(os.Environ(), envInside+"="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
			return exit.ExitCode()
		}
		fmt.Fprintln(os.Stderr, "the tests in the mount namespace:", err)
		return 1
	}
	return 0
}

// begin is the first call of every suite: it skips it unless suites are wanted and
// possible, and returns the suite's chance. tools are programs that it runs.
func begin(t *testing.T, tools ...string) *rand.Rand {
	t.Helper()
	if os.Getenv(envFaults) != "1" {
		t.Skipf("takes long and needs root: %s=1 runs it", envFaults)
	}
	impossible := t.Skipf
	if os.Getenv(envCI) == "1" {
		impossible = t.Fatalf
	}
	if os.Geteuid() != 0 {
		impossible("needs root")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			impossible("needs %s: %v", tool, err)
		}
	}
	n := *seed
	if n == 0 {
		n = uint64(time.Now().UnixNano())
	}
	t.Logf("-seed=%d", n)
	return rand.New(rand.NewPCG(n, 0))
}

// upTo returns a random duration below d.
func upTo(r *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(max(d, 1))))
}

// run runs a program that must succeed and returns what it printed.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
