package boltlog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/abeyance/abeyance/events"
)

// helperEnv makes the test binary a helper process: "MODE DIR".
const helperEnv = "ABEYANCE_BOLTLOG_HELPER"

func TestMain(m *testing.M) {
	var mode, dir string
	if n, _ := fmt.Sscan(os.Getenv(helperEnv), &mode, &dir); n == 2 {
		if err := help(mode, dir); err != nil {
			fmt.Println("helper:", err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// help is what a helper process does. Its standard input ends when it should.
func help(mode, dir string) error {
	f := new(fold)
	l, err := Open(dir, f.options())
	if err != nil {
		return err
	}
	defer l.Close()
	switch mode {
	case "hold":
		fmt.Println("ready")
		_, err = io.Copy(io.Discard, os.Stdin)
	case "append":
		err = appendForEver(l, false)
	case "boast": // the negative control: it acknowledges what is not stored yet
		err = appendForEver(l, true)
	case "checkpoint":
		err = checkpointForEver(l, f)
	case "full":
		err = fillUp(l)
	case "rest":
		err = fillRest(l)
	}
	return err
}

// appendForEver appends batches whose size follows from their first seq, and
// acknowledges each on standard output.
func appendForEver(l *Log, early bool) error {
	for {
		recs, err := sealBatch(l)
		if err != nil {
			return err
		}
		last := recs[len(recs)-1]
		if early {
			fmt.Println(uint64(last.Seq), last.Hash)
		}
		if err := l.Append(context.Background(), recs); err != nil {
			return err
		}
		if !early {
			fmt.Println(uint64(last.Seq), last.Hash)
		}
	}
}

// checkpointForEver appends batches, and writes checkpoints of the fold meanwhile.
func checkpointForEver(l *Log, f *fold) error {
	written := make(chan error, 1)
	written <- nil
	for {
		recs, err := sealBatch(l)
		if err != nil {
			return err
		}
		if err := l.Append(context.Background(), recs); err != nil {
			return err
		}
		last := recs[len(recs)-1]
		fmt.Println(uint64(last.Seq), last.Hash)
		for _, r := range recs {
			f.replay(r) // which never fails
		}
		select {
		case err := <-written:
			if err != nil {
				return err
			}
			head, payload := *l.head.Load(), f.payload()
			go func() { written <- l.WriteCheckpoint(context.Background(), head, payload) }()
		default: // one is being written
		}
	}
}

func sealBatch(l *Log) ([]events.Record, error) {
	head, err := l.Head(context.Background())
	if err != nil {
		return nil, err
	}
	return events.Seal(head, time.Now(), lifts(batchSize(head.Seq+1)))
}

// batchSize is the size of the batch that begins with the record first.
func batchSize(first events.Seq) int { return int(first%7) + 1 }

// lifts returns n small drafts about the accounts a0 to a9 in turn.
func lifts(n int) []events.Draft {
	drafts := make([]events.Draft, n)
	for i := range drafts {
		drafts[i] = events.Draft{
			Origin:  events.Origin{Actor: "operator:test", Via: events.ViaGo, CorrelationID: fmt.Sprintf("batch of %d", n)},
			Account: fmt.Sprintf("a%d", i%10),
			Event:   &events.Lifted{Target: "claude", Reason: "a reason of some length, as people give them"},
		}
	}
	return drafts
}

// fill appends n records in batches of 100 and returns the head.
func fill(t testing.TB, l *Log, n int) events.Head {
	t.Helper()
	for n > 0 {
		size := min(n, 100)
		recs, err := events.Seal(*l.head.Load(), time.Now(), lifts(size))
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Append(context.Background(), recs); err != nil {
			t.Fatalf("Append: %v", err)
		}
		n -= size
	}
	return *l.head.Load()
}

// newLog makes a log of n records and closes it.
func newLog(t testing.TB, n int) (dir string, head events.Head) {
	t.Helper()
	dir = t.TempDir()
	l := mustOpen(t, dir, nil)
	head = fill(t, l, n)
	if err := l.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	return dir, head
}

// count reads the whole log and returns how many records it has.
func count(t testing.TB, l *Log) int {
	t.Helper()
	n := 0
	for _, err := range l.Records(context.Background(), 0) {
		if err != nil {
			t.Fatalf("after %d records: %v", n, err)
		}
		n++
	}
	return n
}

// helper is a running helper process.
type helper struct {
	cmd *exec.Cmd
	in  io.Closer
	out *bufio.Scanner
}

// startHelper starts a helper; it is killed when the test ends.
func startHelper(t *testing.T, mode, dir string) *helper {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), helperEnv+"="+mode+" "+dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h := &helper{cmd: cmd, in: in, out: bufio.NewScanner(out)}
	t.Cleanup(func() { h.kill(t) })
	return h
}

// line returns the helper's next line; false when it has ended.
func (h *helper) line() (string, bool) {
	ok := h.out.Scan()
	return h.out.Text(), ok
}

// kill ends the helper as kill -9 does, and waits for it.
func (h *helper) kill(t *testing.T) {
	t.Helper()
	if err := h.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("killing the helper: %v", err)
	}
	h.cmd.Wait() // its state is that it was killed
}
