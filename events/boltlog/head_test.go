package boltlog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/abeyance/abeyance/events"
)

func TestHeadText(t *testing.T) {
	const id = "0195a1d2-7e3c-7b9a-8f10-2b5d6c7e8f90"
	for _, h := range []events.Head{
		{Log: id, Hash: events.Genesis(id)},
		{Log: id, Seq: 61, Hash: events.Genesis("x"), At: time.Date(2026, 3, 14, 15, 9, 26, 535897932, time.UTC)},
	} {
		text := formatHead(h)
		if got, err := parseHead(text); err != nil || got != h {
			t.Errorf("%q is read as %+v (%v), want %+v", text, got, err, h)
		}
		for n := range text {
			if got, err := parseHead(text[:n]); err == nil {
				t.Errorf("%q is read as %+v, want it refused", text[:n], got)
			}
		}
		for _, bad := range []string{string(text) + "\n", string(text) + "x", strings.ToUpper(string(text)), " " + string(text)} {
			if got, err := parseHead([]byte(bad)); err == nil {
				t.Errorf("%q is read as %+v, want it refused", bad, got)
			}
		}
	}
}

func TestDamagedHead(t *testing.T) {
	dir, head := newLog(t, 3)
	path := filepath.Join(dir, nameHead)
	for _, junk := range []string{"nonsense", "abeyance head 1\nlog x\nseq y\nhash z\nat now\n"} {
		write(t, path, junk)
		damage := refused[*DamageError](t, dir, path, "not a head file", "move this one away")
		if damage.Path != path || strings.Contains(damage.Error(), "strconv") {
			t.Errorf("the error %q is about %s, want plain words about %s", damage, damage.Path, path)
		}
	}
	write(t, path, strings.Replace(string(formatHead(head)), "head 1", "head 2", 1))
	refused[*events.FormatError](t, dir, "newer")
}

// notedSeq returns the seq in the head file.
func notedSeq(t *testing.T, dir string) events.Seq {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, nameHead))
	if err != nil {
		t.Fatal(err)
	}
	h, err := parseHead(text)
	if err != nil {
		t.Fatal(err)
	}
	return h.Seq
}

// TestHeadFileLags watches the head file follow the log.
func TestHeadFileLags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := mustOpen(t, dir, nil)
		at := func(what string, want events.Seq) {
			t.Helper()
			synctest.Wait()
			if got := notedSeq(t, dir); got != want {
				t.Errorf("%s the head file says %d, want %d", what, got, want)
			}
		}
		at("at the start", 0)
		fill(t, l, 3)
		at("right after an append", 0)
		time.Sleep(noteAfter + time.Millisecond)
		at("a second later", 3)
		fill(t, l, noteRecords)
		time.Sleep(noteGap + time.Millisecond)
		at("a moment after 1000 records", noteRecords+3)
		fill(t, l, 1)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		at("after Close", noteRecords+4)
	})
}

// TestHeadFileCannotBeWritten keeps a log going whose head file fails.
func TestHeadFileCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := mustOpen(t, dir, nil)
		synctest.Wait() // for the first head file
		if err := os.Mkdir(filepath.Join(dir, nameHead+suffix), 0o700); err != nil {
			t.Fatal(err)
		}
		fill(t, l, 3)
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if got := notedSeq(t, dir); got != 0 {
			t.Errorf("the head file says %d, want 0: its writing should fail", got)
		}
	})
	if n := count(t, mustOpen(t, dir, nil)); n != 3 {
		t.Errorf("read %d records, want 3", n)
	}
}
