package faults

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// process is a process under test.
type process struct {
	t       *testing.T
	cmd     *exec.Cmd
	out     io.Reader
	stderr  bytes.Buffer
	ledger  *ledger
	began   time.Time
	ended   bool
	exited  chan struct{} // closed when its lines have all been read
	first   chan time.Duration
	writing chan struct{} // receives when a checkpoint begins; the reader never waits
	err     error         // what was wrong with its lines; read after exited

	// What it said; read after exited.
	acks         int
	stopped      string
	degraded     string
	inCheckpoint bool
}

// startChild starts a process under test in dir whose lines go to l.
func startChild(t *testing.T, l *ledger, args ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{
		t: t, cmd: exec.Command(exe), ledger: l,
		exited: make(chan struct{}), first: make(chan time.Duration, 1), writing: make(chan struct{}, 1),
	}
	p.cmd.Env = append(os.Environ(), envChild+"="+strings.Join(args, " "))
	p.cmd.Stderr = &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.out, err = p.cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	go p.read()
	return p
}

// read takes the lines to the ledger. A last line without its end was never said.
func (p *process) read() {
	defer close(p.exited)
	in := bufio.NewReaderSize(p.out, 64<<10)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrClosed) {
				p.err = err
			}
			return
		}
		if err := p.heard(strings.TrimSuffix(line, "\n")); err != nil && p.err == nil {
			p.err = err
		}
	}
}

func (p *process) heard(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "stopped":
		p.stopped = rest
		return nil
	case "degraded":
		p.degraded = rest
		return nil
	case "checkpoint":
		p.inCheckpoint = rest == "begin"
		if p.inCheckpoint {
			select {
			case p.writing <- struct{}{}:
			default:
			}
		}
		return nil
	case "ack":
		if p.acks++; p.acks == 1 {
			p.first <- time.Since(p.began)
		}
	}
	return p.ledger.note(line)
}

// serving waits for the first acknowledgement, and returns how long it took.
func (p *process) serving() time.Duration {
	p.t.Helper()
	select {
	case took := <-p.first:
		return took
	case <-p.exited:
	case <-time.After(30 * time.Second):
	}
	p.kill()
	p.t.Fatalf("the process under test acknowledged nothing: %s %s %v", p.stopped, p.stderr.String(), p.err)
	return 0
}

// kill ends the process as kill -9 does, and waits until all it said is noted.
func (p *process) kill() {
	if p.ended {
		return
	}
	p.ended = true
	p.cmd.Process.Kill()
	<-p.exited
	p.cmd.Wait() // its error is the kill
}

// killed is kill, for a process that must have been alive.
func (p *process) killed() {
	p.t.Helper()
	p.kill()
	if p.stopped != "" || p.err != nil || p.stderr.Len() > 0 {
		p.t.Fatalf("the process under test ended before it was killed: %s %v\n%s", p.stopped, p.err, p.stderr.String())
	}
}

// wait waits for the process to end by itself, and returns false if it does not.
func (p *process) wait(limit time.Duration) bool {
	p.t.Helper()
	defer p.kill()
	select {
	case <-p.exited:
		return true
	case <-time.After(limit):
		return false
	}
}
