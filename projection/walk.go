package projection

import (
	"context"
	"errors"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Walked is one record of the past, with the accounts that it is about before and after
// it, and the groups of either time.
type Walked struct {
	Record events.Record
	// Before is when the record before it was made, by which the state before is judged.
	Before       time.Time
	GroupsBefore *Groups
	GroupsAfter  *Groups
	Accounts     []Touched
}

// Touched is an account before and after a record; nil where there is none.
type Touched struct {
	ID      string
	Was, Is *Account
}

// ErrEnough ends a walk that goes no further: Walk then returns nil.
var ErrEnough = errors.New("enough")

// Walk calls f with each record after one point of the log up to another, in order. The
// zero from is the beginning of the log, the zero to its end. It ends with the first
// error of f.
func (p *Past) Walk(ctx context.Context, from, to Moment, f func(Walked) error) error {
	x, err := p.span(ctx, from, to)
	if err != nil {
		return err
	}
	s := x.start
	s.onlyFollow()
	for r, err := range p.records(ctx, s.head.Seq+1, x.last) {
		if err != nil {
			return err
		}
		if err := f(s.walk(r)); errors.Is(err, ErrEnough) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// walk folds a record, and tells how things stood before it and as they are.
func (s *State) walk(r events.Record) Walked {
	w := Walked{Record: r, Before: s.head.At, GroupsBefore: s.groups}
	s.hold()
	for _, id := range s.touched(nil, r) {
		w.Accounts = append(w.Accounts, Touched{ID: id, Was: s.Account(id)})
	}
	s.fold(r)
	for i := range w.Accounts {
		w.Accounts[i].Is = s.Account(w.Accounts[i].ID)
	}
	w.GroupsAfter = s.groups
	return w
}
