package main

import (
	"fmt"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// fold is the state that a log's records add up to, made while the log is opened.
type fold struct {
	state *projection.State
	from  events.Seq // of the checkpoint it began with; 0: none
}

func newFold() *fold { return &fold{state: projection.NewState()} }

// restore begins with a checkpoint. An error leaves the fold as it was.
func (f *fold) restore(head events.Head, dump []byte) error {
	s, err := projection.Load(dump)
	if err != nil {
		return err
	}
	if h := s.Head(); h.Log != head.Log || h.Seq != head.Seq || h.Hash != head.Hash {
		return fmt.Errorf("it holds the state of record %d of log %s", h.Seq, h.Log)
	}
	f.state, f.from = s, head.Seq
	return nil
}

func (f *fold) apply(r events.Record) { f.state.Apply(r) }
