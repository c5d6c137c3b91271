package compat

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// Base is the path that the routes are below.
const Base = "/v0/management"

// Engine carries requests out: a *projection.Engine.
type Engine interface {
	State() *projection.State
	Now() time.Time
	Execute(ctx context.Context, c projection.Command) (projection.Outcome, error)
}

// Status is the answer to a request that was carried out, or changed nothing.
type Status struct {
	Status string `json:"status" enum:"ok"`
}

// Done is the one [Status] there is.
func Done() Status { return Status{"ok"} }

// ErrWholeAccount refuses to lift, for one group, a suspension of the account as a whole.
var ErrWholeAccount = errors.New("the account as a whole is suspended, not this group alone")

// Request changes something: a [*Manual], [*Clear] or [*PutGroups].
type Request interface {
	// About returns the account and group that it is about, as given. No account: none. No
	// group: all of the account.
	About() (account, group string)
	// command is what is to be done about an account as it is now; nil for a request that
	// is about none.
	command(ids Identities, a *projection.Account, now time.Time) (do projection.Intent, onBehalfOf string)
}

// Service carries requests out on an engine and its identity book.
type Service struct {
	Engine     Engine
	Identities Identities
}

// Do carries a request out. as is who makes it: its actor and, if there is one, the
// idempotency key; Do adds the rest. That it is so already is no error. Errors are a
// *projection.Error, wrap [ErrWholeAccount], or are those of the engine.
func (s *Service) Do(ctx context.Context, as events.Origin, r Request) error {
	account, group := r.About()
	state := s.Engine.State()
	if err := checkNames(state, s.Identities, account, group); err != nil {
		return err
	}
	stored := s.Identities.Stored(account)
	do, onBehalfOf := r.command(s.Identities, state.Account(stored), s.Engine.Now())
	as.OnBehalfOf, as.Via = onBehalfOf, events.ViaCompat
	o, err := s.Engine.Execute(ctx, projection.Command{Origin: as, Do: do})
	if refused, ok := errors.AsType[*projection.Error](err); ok && refused.Code == projection.CodeWrongVerb {
		err = nil // there is only a block of the other kind, so that it is so already
	}
	if err != nil || len(o.Records) > 0 {
		return err
	}
	m, lifts := r.(*Manual)
	if a := s.Engine.State().Account(stored); lifts && a != nil && m.covered(a, s.Engine.Now()) {
		return fmt.Errorf("%w: lift the suspension of the account, with abeyance lift ACCOUNT '*'", ErrWholeAccount)
	}
	return nil
}

// checkNames refuses an account that is not known, and a group that is none of its
// provider.
func checkNames(s *projection.State, ids Identities, account, group string) error {
	if account == "" {
		return nil
	}
	a := s.Account(ids.Stored(account))
	if a == nil {
		return &projection.Error{Code: projection.CodeUnknownAccount, Message: fmt.Sprintf("no account %q is known", account)}
	}
	if group == "" {
		return nil
	}
	g := s.Groups().Group(projection.CanonicalGroup(group))
	if g == nil {
		return &projection.Error{Code: projection.CodeUnknownTarget, Message: fmt.Sprintf("no quota group %q is defined", group)}
	}
	if !slices.Contains(g.Providers, a.Spec.Provider) {
		return &projection.Error{
			Code:    projection.CodeUnknownTarget,
			Message: fmt.Sprintf("quota group %q is not one of provider %q, which account %q belongs to", group, a.Spec.Provider, account),
		}
	}
	return nil
}

// read decodes one JSON value, whatever other members it has.
func read(doc []byte, v any) error {
	switch {
	case len(bytes.TrimSpace(doc)) == 0:
		return errors.New("it is empty")
	case !utf8.Valid(doc):
		return errors.New("it is not UTF-8")
	}
	return json.Unmarshal(doc, v)
}

// trimmed returns an id without the spaces around it. One of spaces alone stays, and is
// known to nobody: it must not become none, which can stand for everything.
func trimmed(id string) string { return cmp.Or(strings.TrimSpace(id), id) }
