package faults

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// ledger is what processes under test said about one directory.
type ledger struct {
	acked   map[events.Seq]events.Hash
	command map[string][]events.Seq // :: id → its records, as acknowledged
	refused []string
	states  map[events.Seq]string // :: seq → hash of the dump
}

func newLedger() *ledger {
	return &ledger{
		acked: map[events.Seq]events.Hash{}, command: map[string][]events.Seq{}, states: map[events.Seq]string{},
	}
}

// note takes a line of a process under test.
func (l *ledger) note(line string) error {
	f := strings.Fields(line)
	switch {
	case len(f) >= 2 && f[0] == "ack" && len(f)%2 == 0:
		for i := 2; i < len(f); i += 2 {
			seq, hash, err := parseAck(f[i], f[i+1])
			if err != nil {
				return fmt.Errorf("%q: %w", line, err)
			}
			l.acked[seq] = hash
			l.command[f[1]] = append(l.command[f[1]], seq)
		}
	case len(f) == 2 && f[0] == "refused":
		l.refused = append(l.refused, f[1])
	case len(f) == 3 && f[0] == "state":
		seq, err := parseSeq(f[1])
		if err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
		l.states[seq] = f[2]
	default:
		return fmt.Errorf("the process under test says %q", line)
	}
	return nil
}

func parseSeq(s string) (seq events.Seq, err error) {
	_, err = fmt.Sscan(s, (*uint64)(&seq))
	return seq, err
}

func parseAck(s, h string) (seq events.Seq, hash events.Hash, err error) {
	if seq, err = parseSeq(s); err == nil {
		err = hash.UnmarshalText([]byte(h))
	}
	return seq, hash, err
}

// lost returns the records acknowledged that are not among those found, ascending.
func (l *ledger) lost(found map[events.Seq]events.Hash) []events.Seq {
	var lost []events.Seq
	for seq, hash := range l.acked {
		if found[seq] != hash {
			lost = append(lost, seq)
		}
	}
	slices.Sort(lost)
	return lost
}

// findings are what is wrong with a log, by what a ledger says.
type findings struct {
	records events.Seq   // in the log
	from    events.Seq   // of the checkpoint that opening it began with; 0: none
	lost    []events.Seq // acknowledged, and not there
	wrong   []string     // all else, in words
}

func (f *findings) add(format string, args ...any) {
	f.wrong = append(f.wrong, fmt.Sprintf(format, args...))
}

// err is nil if nothing is wrong.
func (f *findings) err() error {
	if len(f.lost) > 0 {
		f.add("lost: %d of the records acknowledged, the first is %d of %d", len(f.lost), f.lost[0], f.records)
	}
	if len(f.wrong) == 0 {
		return nil
	}
	return errors.New(strings.Join(f.wrong, "\n"))
}

// check opens the log in dir as the next process would, and compares. An error means
// that it cannot be opened. A directory in which nothing was acknowledged may hold no
// log yet: the next process makes it, and so does check.
func (l *ledger) check(ctx context.Context, dir string) (*findings, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && len(l.acked) == 0 {
		return &findings{}, nil
	}
	log, err := openFolded(dir)
	if err != nil {
		return nil, err
	}
	f := &findings{from: log.From}
	whole, err := l.compare(ctx, log.log, f)
	if err == nil {
		err = l.compareStates(ctx, log, whole, f)
	}
	return f, errors.Join(err, log.log.Close())
}

// compare reads all records and returns their fold. It trusts the log with nothing but
// their order.
func (l *ledger) compare(ctx context.Context, log events.Log, f *findings) (*projection.State, error) {
	head, err := log.Head(ctx)
	if err != nil {
		return nil, err
	}
	f.records = head.Seq
	state := projection.NewState()
	found := map[events.Seq]events.Hash{}
	commands := map[string][]events.Seq{}
	prev := events.Head{Log: head.Log, Hash: events.Genesis(head.Log)}
	for r, err := range log.Records(ctx, 0) {
		if err != nil {
			return nil, err
		}
		if err := events.CheckAppend(prev, []events.Record{r}); err != nil {
			f.add("gap or damage: %v", err)
		}
		prev = prev.Next(r)
		state.Apply(r)
		found[r.Seq] = r.Hash
		commands[r.CorrelationID] = append(commands[r.CorrelationID], r.Seq)
	}
	if prev.Seq != head.Seq || prev.Hash != head.Hash {
		f.add("the head is record %d %s, and the newest record is %d %s", head.Seq, head.Hash, prev.Seq, prev.Hash)
	}
	f.lost = l.lost(found)
	l.compareCommands(commands, f)
	return state, nil
}

// compareCommands checks that each command is there once, wholly or not at all.
func (l *ledger) compareCommands(found map[string][]events.Seq, f *findings) {
	for id, seqs := range l.command {
		if !slices.Equal(found[id], seqs) && len(found[id]) > 0 {
			f.add("duplicate or torn: command %s was acknowledged as records %v and is %v", id, seqs, found[id])
		}
	}
	for _, id := range l.refused {
		if len(found[id]) > 0 {
			f.add("command %s was refused and is there as records %v", id, found[id])
		}
	}
	for id, seqs := range found {
		if whole := seqs[len(seqs)-1]-seqs[0]+1 == events.Seq(len(seqs)); !whole && id != "" {
			f.add("command %s is scattered over the records %v", id, seqs)
		}
		if strings.HasPrefix(id, prefixAll) && len(seqs) != poolSize {
			f.add("torn: command %s has %d records of %d", id, len(seqs), poolSize)
		}
	}
}

// statesCompared is how many of the states witnessed are worked out again, the newest:
// each is a fold of the whole log.
const statesCompared = 2

// compareStates checks that an engine opens on the log, that the state it begins with
// is the fold of the whole log, and that the states published before were folds of what
// is in the log now.
func (l *ledger) compareStates(ctx context.Context, log *folded, whole *projection.State, f *findings) error {
	e, err := projection.Open(ctx, log.log, &projection.Options{State: log.State, Checkpoints: log.log})
	if err != nil {
		return err
	}
	defer e.Close()
	again, err := projection.Open(ctx, log.log, &projection.Options{State: whole})
	if err != nil {
		return err
	}
	defer again.Close()
	if err := f.same("the state of the newest checkpoint and the records since", e.State(), again.State()); err != nil {
		return err
	}
	seqs := slices.Sorted(maps.Keys(l.states))
	for _, seq := range seqs[max(0, len(seqs)-statesCompared):] {
		if seq > e.State().Head().Seq {
			f.add("a state of record %d was published, and the log ends at %d", seq, e.State().Head().Seq)
			continue
		}
		s, err := again.StateAt(ctx, projection.Moment{Seq: seq})
		if err != nil {
			return err
		}
		sum, err := digest(s)
		if err != nil {
			return err
		}
		if got := fmt.Sprintf("%x", sum); got != l.states[seq] {
			f.add("the state published at record %d is not the fold of the log up to there", seq)
		}
		asOf, err := e.StateAt(ctx, projection.Moment{Seq: seq})
		if err != nil {
			return err
		}
		if err := f.same(fmt.Sprintf("the state as of record %d, from a checkpoint,", seq), asOf, s); err != nil {
			return err
		}
	}
	return nil
}

// same notes if two states differ.
func (f *findings) same(what string, s, fold *projection.State) error {
	a, errA := digest(s)
	b, errB := digest(fold)
	if a != b {
		f.add("%s: it is not the fold of the log", what)
	}
	return errors.Join(errA, errB)
}
