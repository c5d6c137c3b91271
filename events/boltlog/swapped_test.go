package boltlog

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/abeyance/abeyance/events"
)

// TestCutFiles cuts what stands beside log.db at every page, beside it, and at lengths
// that have fooled others. A head file is refused; without a part of the others all
// answers are as before, and Verify names what was cut.
func TestCutFiles(t *testing.T) {
	dir, want := newPadded(t)
	newest := checkpointName(9000)
	for name, from := range map[string]events.Seq{nameHead: 9000, nameIndex: 9000, newest: 5000} {
		path := filepath.Join(dir, name)
		whole := readFile(t, path)
		cuts := cutsOf(len(whole))
		if name != nameHead && len(cuts) < 10 {
			t.Fatalf("%s is so short that it is cut at %v only", name, cuts)
		}
		for _, size := range cuts {
			write(t, path, string(whole[:size]))
			if name == nameHead {
				refused[*DamageError](t, dir, path, "nothing was changed")
				continue
			}
			l := mustOpen(t, dir, &Options{ReadOnly: true})
			_, err := l.Verify(t.Context(), nil)
			if damage, ok := errors.AsType[*DamageError](err); !ok || damage.Path != path {
				t.Errorf("%d bytes of %s: Verify says %v", size, name, err)
			}
			l.Close()
			opensLike(t, dir, want, from).Close()
		}
		write(t, path, string(whole))
		opensLike(t, dir, want, 9000).Close()
	}
}

// newPadded makes a log whose index and checkpoints have several pages.
func newPadded(t *testing.T) (dir string, want *fold) {
	t.Helper()
	dir = t.TempDir()
	l := mustOpen(t, dir, nil)
	fill(t, l, 10_000)
	for _, s := range []events.Seq{5000, 9000} {
		f, head := foldAll(t, l, s)
		if err := l.WriteCheckpoint(t.Context(), head, append(f.payload(), bytes.Repeat([]byte(" "), 10_000)...)); err != nil {
			t.Fatal(err)
		}
	}
	want, _ = foldAll(t, l, 10_000)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, want
}

// cutsOf returns lengths to cut a file of a length at.
func cutsOf(size int) []int {
	cuts := []int{0, 1, size / 2, size - 1}
	for page := 4096; page <= size; page += 4096 {
		cuts = append(cuts, page-1, page, page+1)
	}
	slices.Sort(cuts)
	return slices.DeleteFunc(slices.Compact(cuts), func(n int) bool { return n >= size })
}

// history is a log at a point of its life, with a checkpoint ten records before its end.
type history struct {
	dir  string
	want *fold
	end  events.Seq
}

// goOn returns a copy of a history with 30 records more. Whenever it is called they are
// others, because they are of another time.
func (h history) goOn(t *testing.T) history {
	t.Helper()
	next := history{dir: t.TempDir(), end: h.end + 30}
	if h.dir != "" {
		if err := os.CopyFS(next.dir, os.DirFS(h.dir)); err != nil {
			t.Fatal(err)
		}
		chmod(t, next.dir)
	}
	l := mustOpen(t, next.dir, nil)
	fill(t, l, 30)
	checkpoint(t, l, next.end-10)
	next.want, _ = foldAll(t, l, next.end)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return next
}

func (h history) newest() string { return checkpointName(h.end - 10) }

// TestSwappedFiles puts files of other histories in the place of a log's own: of an
// earlier day, of a day after which the log went on otherwise, and of another log.
func TestSwappedFiles(t *testing.T) {
	older := history{}.goOn(t).goOn(t)
	own, fork := older.goOn(t), older.goOn(t)
	other := history{}.goOn(t).goOn(t).goOn(t)
	head := own.end
	type swap struct{ from, to string }
	for _, c := range []struct {
		name   string
		source history
		swaps  []swap
		want   history    // what it is afterwards; without a directory: refused
		read   events.Seq // what is read comes after this one
	}{
		{"nothing", own, nil, own, head - 10}, // the negative control
		{"an older log", older, []swap{{nameLog, nameLog}}, history{}, 0},
		{"a log that went on otherwise", fork, []swap{{nameLog, nameLog}}, history{}, 0},
		{"another log", other, []swap{{nameLog, nameLog}}, history{}, 0},
		{"an older head, as a crash leaves it", older, []swap{{nameHead, nameHead}}, own, head - 10},
		{"the head of a log that went on otherwise", fork, []swap{{nameHead, nameHead}}, history{}, 0},
		{"the head of another log", other, []swap{{nameHead, nameHead}}, history{}, 0},
		{"an older index", older, []swap{{nameIndex, nameIndex}}, own, head - 10},
		{"the index of a log that went on otherwise", fork, []swap{{nameIndex, nameIndex}}, own, head - 10},
		{"the index of another log", other, []swap{{nameIndex, nameIndex}}, own, head - 10},
		{"an older checkpoint", older, []swap{{older.newest(), own.newest()}}, own, older.end - 10},
		{"the checkpoint of a log that went on otherwise", fork, []swap{{own.newest(), own.newest()}}, own, older.end - 10},
		{"the checkpoint of another log", other, []swap{{own.newest(), own.newest()}}, own, older.end - 10},
		// What only a head that is kept elsewhere tells.
		{"an older log and head", older, []swap{{nameLog, nameLog}, {nameHead, nameHead}}, older, older.end - 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(own.dir)); err != nil {
				t.Fatal(err)
			}
			chmod(t, dir)
			for _, s := range c.swaps {
				write(t, filepath.Join(dir, s.to), string(readFile(t, filepath.Join(c.source.dir, s.from))))
			}
			if c.want.dir == "" {
				back := refused[*RollbackError](t, dir, filepath.Join(dir, nameLog), "nothing was changed")
				if back.Damaged() != filepath.Join(dir, nameLog) || back.Log == back.Head {
					t.Errorf("the error is about %s, of the records %+v and %+v", back.Damaged(), back.Log, back.Head)
				}
				before := contents(t, dir)
				if l, err := Open(dir, new(fold).options()); err == nil {
					l.Close()
					t.Error("it is opened from a checkpoint")
				}
				if contents(t, dir) != before {
					t.Error("refusing it when there are checkpoints changed the directory")
				}
				return
			}
			l := opensLike(t, dir, c.want.want, c.read)
			if _, err := l.Verify(t.Context(), nil); err != nil { // what is of no use is gone
				t.Error(err)
			}
			fill(t, l, 5)
			l.Close()
			if n := count(t, mustOpen(t, dir, nil)); n != int(c.want.end)+5 {
				t.Errorf("%d records afterwards, want %d", n, c.want.end+5)
			}
		})
	}
}
