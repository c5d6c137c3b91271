package boltlog

import (
	"errors"
	"fmt"

	"github.com/abeyance/abeyance/events"
)

// Loss is what a log opened with Options.AcceptLoss lacks. The head file goes on
// telling of it until the first Append: that is when the caller, whose record of the
// loss should be the first, has made it durable.
type Loss struct {
	Expected events.Head // what the head file says the log held
	Actual   events.Head // what it held when it was opened
}

// Loss returns what the log lacked when it was opened; false if it lacked nothing.
func (l *Log) Loss() (Loss, bool) {
	if l.loss == nil {
		return Loss{}, false
	}
	return *l.loss, true
}

// shorter returns a *RollbackError if the log, which ends at last, cannot hold the
// record that noted names; nil if it may.
func (l *Log) shorter(last events.Seq, noted events.Head) error {
	switch {
	case noted.Log != l.base.Log || noted.Seq > last:
		return &RollbackError{Path: l.path(), Log: events.Head{Log: l.base.Log, Seq: last}, Head: noted}
	case noted.Seq < l.base.Seq:
		return &RollbackError{Path: l.path(), Log: l.base, Head: noted}
	}
	return nil
}

// holds returns a *RollbackError unless the log, which ends at last and was checked,
// holds the record that noted names.
func (l *Log) holds(last events.Seq, noted events.Head) error {
	if err := l.shorter(last, noted); err != nil {
		return err
	}
	found, err := l.headAt(noted.Seq)
	switch {
	case err != nil:
		return err
	case found.Hash != noted.Hash:
		return &RollbackError{Path: l.path(), Log: found, Head: noted}
	case !found.At.Equal(noted.At):
		return badHead(l.root, fmt.Errorf("says that record %d is of %s, which is of %s", noted.Seq, noted.At, found.At))
	}
	return nil
}

// headAt returns the head that the log had at the record s.
func (l *Log) headAt(s events.Seq) (events.Head, error) {
	if s == l.base.Seq {
		return l.base, nil
	}
	rows, err := l.fetch([]events.Seq{s})
	if err != nil {
		return events.Head{}, err
	}
	r, err := events.Open(rows[0].before, s, rows[0].encoded, rows[0].hash)
	if err != nil {
		return events.Head{}, l.damaged(err)
	}
	return events.Head{Log: l.base.Log}.Next(r), nil
}

// acceptLoss compares the log, which ends at head, with what the head file says.
func (l *Log) acceptLoss(head, noted events.Head) error {
	err := l.holds(head.Seq, noted)
	if _, ok := errors.AsType[*RollbackError](err); !ok || !l.o.AcceptLoss {
		return err
	}
	l.loss = &Loss{Expected: noted, Actual: head}
	l.o.Logger.Warn("going on without records that were lost", "error", err)
	return nil
}
