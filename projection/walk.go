package projection

import (
	"context"
	"errors"

	"github.com/abeyance/abeyance/events"
)

// Walked is one record of the past, with the accounts that it is about before and after
// it, and the groups of either time.
type Walked struct {
	Record       events.Record
	GroupsBefore *Groups
	GroupsAfter  *Groups
	Accounts     []Touched
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
	for r, err := range p.records(ctx, s.head.Seq+1, x.last) {
		if err != nil {
			return err
		}
		w := Walked{Record: r, GroupsBefore: s.groups, Accounts: s.touch(r)}
		s.pass(r, w.Accounts)
		w.GroupsAfter = s.groups
		if err := f(w); errors.Is(err, ErrEnough) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}
