package boltlog

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/abeyance/abeyance/events"
)

// TestVerifyNamesEveryFile damages one file after the other beside a sound log. The
// negative control is that nothing is wrong before.
func TestVerifyNamesEveryFile(t *testing.T) {
	dir, _ := newCheckpointed(t, 60, 30, 50)
	l := mustOpen(t, dir, nil)
	head := *l.head.Load()
	verify := func() error {
		got, err := l.Verify(t.Context(), nil)
		if got != head {
			t.Errorf("Verify came to %+v, want %+v", got, head)
		}
		return err
	}
	if err := verify(); err != nil {
		t.Fatalf("a sound log: %v", err)
	}
	for _, name := range []string{nameIndex, checkpointName(30), checkpointName(50), nameHead} {
		path := filepath.Join(dir, name)
		whole := readFile(t, path)
		flipped := bytes.Clone(whole)
		flipped[len(flipped)-9] ^= 1
		for _, b := range [][]byte{flipped, whole[:len(whole)-1], {}} {
			write(t, path, string(b))
			damage, ok := errors.AsType[*DamageError](verify())
			if !ok || damage.Path != path {
				t.Errorf("%s of %d bytes: got the error %v, want a *DamageError about it", name, len(b), damage)
			}
			if !bytes.Equal(readFile(t, path), b) {
				t.Errorf("%s was changed", name)
			}
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := verify(); err != nil {
			t.Errorf("without %s: %v", name, err)
		}
		write(t, path, string(whole))
	}
	if err := verify(); err != nil {
		t.Errorf("all put back: %v", err)
	}
}

// TestVerifyComparesTheIndex: an index with a proper seal that says something else than
// the records.
func TestVerifyComparesTheIndex(t *testing.T) {
	dir, _ := newLog(t, 60)
	l := mustOpen(t, dir, nil)
	for name, change := range map[string]func(x *index){
		"an account more":  func(x *index) { x.of("zz").add(7) },
		"an account less":  func(x *index) { delete(x.accounts, "a4") },
		"a record more":    func(x *index) { x.of("a4").add(60) },
		"a record less":    func(x *index) { x.of("a4").cut(50) },
		"another record":   func(x *index) { x.of("a4").segments[0].low[2]++ },
		"nothing":          func(*index) {},
		"behind its own s": func(x *index) { x.cut(0) },
	} {
		x := newIndex()
		for r, err := range l.Records(t.Context(), 0) {
			if err != nil {
				t.Fatal(err)
			}
			x.add([]events.Record{r})
		}
		change(x)
		if err := writeSealed(l.root, nameIndex, sealIndex, *l.head.Load(), x.encode(60)); err != nil {
			t.Fatal(err)
		}
		_, err := l.Verify(t.Context(), nil)
		if _, ok := errors.AsType[*DamageError](err); ok == (name == "nothing") {
			t.Errorf("%s: got the error %v", name, err)
		}
	}
}

// TestVerifyHead: a head file that names another record, while the log is open.
func TestVerifyHead(t *testing.T) {
	dir, head := newLog(t, 60)
	l := mustOpen(t, dir, nil)
	head.Hash[0] ^= 1
	write(t, filepath.Join(dir, nameHead), string(formatHead(head)))
	_, err := l.Verify(t.Context(), nil)
	if _, ok := errors.AsType[*RollbackError](err); !ok {
		t.Errorf("got the error %v, want a *RollbackError", err)
	}
}
