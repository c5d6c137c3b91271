// Package child has a test do a part of its work in a process of its own: the test's binary,
// started once more with a job. A process can be killed, has its own memory, and its own
// share of the processors and of the files that may be open.
package child

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// envJob holds the job of a process, as JSON.
const envJob = "ABEYANCE_TEST_JOB"

// Work is for the beginning of a TestMain. In a process that was started with a job it does
// the job and ends the process; else it returns.
func Work[J any](do func(job J) error) {
	text := os.Getenv(envJob)
	if text == "" {
		return
	}
	var job J
	err := json.Unmarshal([]byte(text), &job)
	if err == nil {
		err = do(job)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// ready begins the line by which a job tells that it is where its test can go on.
const ready = "ready "

// Ready is called by a job, once, when its test can go on, with a word about it that may be
// empty.
func Ready(word string) { fmt.Println(ready + word) }

// Await is called by a job that is to wait for [Process.Go].
func Await() error {
	_, err := bufio.NewReader(os.Stdin).ReadString('\n')
	return err
}

// Process is a job in its process.
type Process struct {
	// Word is what the job said when it was ready.
	Word string

	cmd  *exec.Cmd
	in   io.Writer
	out  *bufio.Reader
	said bytes.Buffer // on standard error; read once the process has ended
	once sync.Once
	err  error // of its end
}

// Start starts a process that does a job, and returns when it is ready. It is the caller's
// to end: by [Process.Finish] or [Process.Kill].
func Start(job any) (*Process, error) {
	text, err := json.Marshal(job)
	if err != nil {
		return nil, err
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &Process{cmd: exec.Command(exe)}
	p.cmd.Env = append(os.Environ(), envJob+"="+string(text))
	p.cmd.Stderr = &p.said
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	line, err := p.out.ReadString('\n')
	word, ok := strings.CutPrefix(line, ready)
	if err != nil || !ok {
		p.Kill()
		return nil, errors.Join(fmt.Errorf("the process said %q, and %q", line, p.said.String()), p.err, err)
	}
	p.Word = strings.TrimSpace(word)
	return p, nil
}

// Go lets a job go on that waits in [Await].
func (p *Process) Go() error {
	_, err := p.in.Write([]byte("\n"))
	return err
}

// Kill ends the process at once. It does nothing if the process has ended.
func (p *Process) Kill() {
	p.once.Do(func() {
		p.cmd.Process.Kill()
		p.err = p.cmd.Wait()
	})
}

// Finish reads what the job found, which it writes to standard output as JSON before it
// ends. A job that takes longer is killed.
func (p *Process) Finish(within time.Duration, found any) error {
	stop := time.AfterFunc(within, func() { p.cmd.Process.Kill() })
	defer stop.Stop()
	err := json.NewDecoder(p.out).Decode(found)
	p.once.Do(func() { p.err = p.cmd.Wait() })
	if err := errors.Join(p.err, err); err != nil {
		return fmt.Errorf("the process ended with %w, and said %q", err, p.said.String())
	}
	return nil
}
