package boltlog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
)

// smallLog is a closed log of some sixteen pages that has all there is in a file: branch
// pages, pages that are continued, free pages, records of every kind, and an index and
// checkpoints beside it.
type smallLog struct {
	dir  string
	log  []byte // log.db without what follows its pages
	recs []events.Record
	head events.Head
	want *fold
}

const smallCheckpoint = 90 // the seq of the newest checkpoint of a smallLog

func newSmallLog(t *testing.T) *smallLog {
	t.Helper()
	s := &smallLog{dir: t.TempDir()}
	l := mustOpen(t, s.dir, nil)
	long := lifts(1)
	long[0].Event = &events.PolicyDefined{Configured: bytes.Repeat([]byte("policy "), 1400)}
	for i, drafts := range [][]events.Draft{lifts(30), eventstest.Drafts(), long, lifts(40), eventstest.Drafts(), lifts(30), lifts(3)} {
		recs, err := events.Seal(*l.head.Load(), eventstest.Epoch(), drafts)
		if err == nil {
			err = l.Append(t.Context(), recs)
		}
		if err != nil {
			t.Fatal(err)
		}
		s.recs = append(s.recs, recs...)
		if i == 4 {
			checkpoint(t, l, 40, smallCheckpoint)
		}
	}
	s.want, s.head = foldAll(t, l, events.Seq(len(s.recs)))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s.log = usedPart(t, s.dir)
	write(t, filepath.Join(s.dir, nameLog), string(s.log))
	return s
}

// copied returns a copy of the log in a directory of its own.
func (s *smallLog) copied(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	chmod(t, dir)
	return dir
}

// changed is an answer that is not what was written, which nothing may lead to.
type changed struct{ what string }

func (e *changed) Error() string { return e.what }

// ask opens a copy, reads all of it, and returns how damage was noticed: nil if every
// answer was what was written, a *changed if one was not.
func (s *smallLog) ask(t *testing.T, dir string) error {
	var seen events.Seq
	l, err := Open(dir, &Options{ReadOnly: true, Replay: func(r events.Record) error { return s.next(&seen, r) }})
	if err != nil {
		return err
	}
	defer l.Close()
	return s.same(t, l)
}

// askBehind does so from the checkpoint.
func (s *smallLog) askBehind(t *testing.T, dir string) error {
	var seen events.Seq // also after an older checkpoint, if the record of the newest is damaged
	l, err := Open(dir, &Options{
		ReadOnly: true,
		Restore:  func(h events.Head, b []byte) error { seen = h.Seq; return new(fold).restore(h, b) },
		Replay:   func(r events.Record) error { return s.next(&seen, r) },
	})
	if err != nil {
		return err
	}
	defer l.Close()
	if err := s.same(t, l); err != nil {
		return err
	}
	head, err := l.Verify(t.Context(), nil) // which looks records up, too
	if err == nil && head != s.head {
		return &changed{fmt.Sprintf("verified up to %+v", head)}
	}
	return err
}

// next checks that a record is the one after those seen.
func (s *smallLog) next(seen *events.Seq, r events.Record) error {
	if *seen++; *seen > s.head.Seq || r.Seq != *seen {
		return &changed{fmt.Sprintf("record %d came in the place of %d", r.Seq, *seen)}
	}
	if want := s.recs[r.Seq-1]; r.Hash != want.Hash || !bytes.Equal(r.Encoded(), want.Encoded()) {
		return &changed{fmt.Sprintf("record %d is another", r.Seq)}
	}
	return nil
}

// same reads all records and the history of an account.
func (s *smallLog) same(t *testing.T, l *Log) error {
	var seen events.Seq
	for r, err := range l.Records(t.Context(), 0) {
		if err == nil {
			err = s.next(&seen, r)
		}
		if err != nil {
			return err
		}
	}
	if head := *l.head.Load(); head != s.head || seen != s.head.Seq {
		return &changed{fmt.Sprintf("it ends at %+v after %d records", head, seen)}
	}
	want := s.recs
	for r, err := range l.History(t.Context(), events.Query{Account: "a3"}) {
		if err != nil {
			return err
		}
		i := slices.IndexFunc(want, func(r events.Record) bool { return r.Account == "a3" })
		if i < 0 || want[i].Seq != r.Seq || want[i].Hash != r.Hash {
			return &changed{fmt.Sprintf("the history of a3 has record %d", r.Seq)}
		}
		want = want[i+1:]
	}
	if slices.ContainsFunc(want, func(r events.Record) bool { return r.Account == "a3" }) {
		return &changed{"the history of a3 is cut short"}
	}
	return nil
}

// goesOn appends to a copy of the log, which must read back with what it had.
func (s *smallLog) goesOn(t *testing.T, dir string, chance *rand.Rand) {
	t.Helper()
	l := mustOpen(t, dir, nil)
	all := slices.Clone(s.recs)
	for range 10 {
		recs, err := events.Seal(*l.head.Load(), eventstest.Epoch(), lifts(1+chance.IntN(40)))
		if err == nil {
			err = l.Append(t.Context(), recs)
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, recs...)
	}
	longer := &smallLog{recs: all, head: *l.head.Load()}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := longer.ask(t, dir); err != nil {
		t.Error(err)
	}
}
