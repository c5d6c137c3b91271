package boltlog

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/abeyance/abeyance/events"
)

// losses are logs that lack what their head file says.
func losses(t *testing.T) map[string]struct {
	dir              string
	expected, actual events.Head
} {
	type lost = struct {
		dir              string
		expected, actual events.Head
	}
	all := map[string]lost{}
	older := func() (dir string, head, newest events.Head) {
		dir, head = newLog(t, 10)
		copied := usedPart(t, dir)
		l := mustOpen(t, dir, nil)
		newest = fill(t, l, 5)
		l.Close()
		write(t, filepath.Join(dir, nameLog), string(copied))
		return dir, head, newest
	}
	dir, head, newest := older()
	all["older"] = lost{dir, newest, head}

	dir, _, newest = older()
	l := mustOpen(t, dir, &Options{AcceptLoss: true})
	rewritten := fill(t, l, 7)
	l.Close()
	write(t, filepath.Join(dir, nameHead), string(formatHead(newest)))
	all["rewritten"] = lost{dir, newest, rewritten}

	dir, _, newest = older()
	other, head := newLog(t, 20)
	write(t, filepath.Join(dir, nameLog), string(usedPart(t, other)))
	all["swapped"] = lost{dir, newest, head}
	return all
}

func TestAcceptLoss(t *testing.T) {
	for name, c := range losses(t) {
		t.Run(name, func(t *testing.T) {
			refused[*RollbackError](t, c.dir, nameLog)
			noted := readFile(t, filepath.Join(c.dir, nameHead))
			for range 2 { // until the loss is recorded, it is told of
				l := mustOpen(t, c.dir, &Options{AcceptLoss: true})
				loss, ok := l.Loss()
				if !ok || loss.Expected.Seq != c.expected.Seq || loss.Expected.Hash != c.expected.Hash || loss.Actual != c.actual {
					t.Errorf("lost: %+v, want %+v and %+v", loss, c.expected, c.actual)
				}
				l.Close()
				if string(readFile(t, filepath.Join(c.dir, nameHead))) != string(noted) {
					t.Fatal("head was replaced before anything was recorded")
				}
			}
			refused[*RollbackError](t, c.dir, nameLog)
			l := mustOpen(t, c.dir, &Options{AcceptLoss: true})
			fill(t, l, 1)
			l.Close()
			if _, ok := mustOpen(t, c.dir, nil).Loss(); ok {
				t.Error("something is lost after it was recorded")
			}
		})
	}
}

// TestAcceptNoLoss: a sound log has lost nothing, and what is no loss of records is
// still refused.
func TestAcceptNoLoss(t *testing.T) {
	dir, _ := newLog(t, 10)
	l := mustOpen(t, dir, &Options{AcceptLoss: true})
	if loss, ok := l.Loss(); ok {
		t.Errorf("lost: %+v", loss)
	}
	l.Close()
	if err := os.Truncate(filepath.Join(dir, nameLog), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, &Options{AcceptLoss: true}); err == nil {
		t.Error("an empty file was taken for a log")
	}
}
