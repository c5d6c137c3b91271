package projection

import (
	"fmt"

	"github.com/abeyance/abeyance/events"
)

// Folding is the state that a log's records add up to, made while the log is opened: its
// methods are what a log is given that restores checkpoints and replays what comes after.
type Folding struct {
	State *State
	From  events.Seq // of the checkpoint it began with; 0: none
}

// NewFolding begins before the first record.
func NewFolding() *Folding { return &Folding{State: NewState()} }

// Restore begins with the dump of the state at a head. An error leaves the folding as it
// was.
func (f *Folding) Restore(head events.Head, dump []byte) error {
	s, err := loadAt(head, dump)
	if err == nil {
		f.State, f.From = s, head.Seq
	}
	return err
}

// loadAt reads the dump of the state at a head.
func loadAt(head events.Head, dump []byte) (*State, error) {
	s, err := Load(dump)
	if err != nil {
		return nil, err
	}
	if h := s.head; h.Log != head.Log || h.Seq != head.Seq || h.Hash != head.Hash {
		return nil, fmt.Errorf("it holds the state of record %d of log %s, not of record %d", h.Seq, h.Log, head.Seq)
	}
	return s, nil
}

// Apply folds the next record.
func (f *Folding) Apply(r events.Record) { f.State.Apply(r) }
