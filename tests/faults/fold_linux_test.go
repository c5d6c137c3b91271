package faults

import (
	"crypto/sha256"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection"
)

// folded is a log with the state that opening it gave: that of the newest checkpoint,
// and the records since.
type folded struct {
	log *boltlog.Log
	*projection.Folding
}

// openFolded opens a log as the daemon does.
func openFolded(dir string) (*folded, error) {
	f := &folded{Folding: projection.NewFolding()}
	var err error
	f.log, err = boltlog.Open(dir, &boltlog.Options{
		Restore: f.Restore,
		Replay: func(r events.Record) error {
			f.Apply(r)
			return nil
		},
	})
	return f, err
}

// digest identifies a state by its canonical dump.
func digest(s *projection.State) ([sha256.Size]byte, error) {
	dump, err := s.Dump()
	return sha256.Sum256(dump), err
}
