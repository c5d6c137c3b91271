package api

import (
	"context"
	"fmt"
	"strings"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// A filter that names what nobody knows is more often a typing error than a question,
// and an empty list would answer it with "all is well".

func unknownAccount(given string) *Problem {
	return newProblem(Code(projection.CodeUnknownAccount), fmt.Sprintf("no account %q is known", given))
}

func unknownTarget(target string) *Problem {
	return newProblem(Code(projection.CodeUnknownTarget),
		fmt.Sprintf("no group %q is defined; targets are a group id, model:NAME or *", target))
}

// isTarget reports whether a canonical target can have cells: everything, any model,
// or a group that is defined.
func isTarget(s *projection.State, target string) bool {
	return target == events.TargetAll || strings.HasPrefix(target, events.ModelTarget) || s.Groups().Group(target) != nil
}

// knows refuses a filter of cells by an account or a group that a state does not
// have. given is the account as the request names it.
func (f *cellFilter) knownIn(s *projection.State, given string) error {
	switch {
	case f.account != "" && s.Account(f.account) == nil:
		return unknownAccount(given)
	case f.target != "" && !isTarget(s, f.target):
		return unknownTarget(f.target)
	}
	return nil
}

// knows refuses a filter of the history by an account or a group that the server
// does not have, unless it once did: the log still tells of it. given is the account
// as the request names it.
func (b *Backend) knows(ctx context.Context, f events.Filter, given string) error {
	s := b.Engine.State()
	if f.Account != "" && s.Account(f.Account) == nil {
		switch there, err := b.mentions(ctx, events.Filter{Account: f.Account}); {
		case err != nil:
			return err
		case !there:
			return unknownAccount(given)
		}
	}
	if f.Target != "" && !isTarget(s, f.Target) {
		switch there, err := b.mentions(ctx, events.Filter{Target: f.Target}); {
		case err != nil:
			return err
		case !there:
			return unknownTarget(f.Target)
		}
	}
	return nil
}

// mentions reports whether a record matches, or may: only the newest are looked at.
func (b *Backend) mentions(ctx context.Context, f events.Filter) (bool, error) {
	var page Page[EventRow]
	query := events.Query{Account: f.Account, Before: b.Engine.State().Head().Seq + 1, Newest: true}
	err := b.fill(ctx, &page, scan{query: query, filter: &eventFilter{Filter: f}, size: 1})
	return len(page.Items) > 0 || page.NextPageToken != nil, err
}
