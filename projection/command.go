package projection

import (
	"fmt"
	"slices"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Command is what someone wants. [Decide] turns it into events.
type Command struct {
	events.Origin
	Do Intent
}

// Intent is the wish itself: [*Report], [*Suspend], [*Lift], [*Clear], [*Recheck],
// [*Expire], [*PutAccount], [*PatchAccount], [*RemoveAccount], [*DefineGroups],
// [*DefinePolicy], [*Configure] or [*Import].
type Intent interface {
	decide(d *decider) error
}

// Decision is what a command leads to. Without drafts nothing happens, and
// Unchanged says why.
type Decision struct {
	// Drafts are what is to be recorded; in the [Outcome] of a command they are in its
	// Records, and Drafts is nil.
	Drafts    []events.Draft
	Unchanged string
	// Report answers a report.
	Report *ReportResult
	// Cells are those a suspend, lift, clear or recheck is about, sorted by account, target.
	Cells []events.Cell
	// Usable counts, per group of the providers concerned, the usable accounts
	// before and after.
	Usable []UsableChange
	// Plan says what new groups change.
	Plan *GroupsPlan
	// Imports say what became of each entry of an import.
	Imports []ImportResult
	// DryRun: nothing happens, and Drafts is nil.
	DryRun bool

	earlier keyUse // the records of the same command, done before
}

// UsableChange is how many accounts can serve a group before and after a command.
type UsableChange struct {
	Provider string
	Group    string
	Total    int
	Before   int
	After    int
}

// Code names a refusal. The set is closed, and part of every surface.
type Code string

// The codes of refusals.
const (
	CodeInvalid          Code = "invalid"                // malformed: nothing about it can be right
	CodeEmptyFilter      Code = "empty_filter"           // a filter that would mean everything
	CodeUnknownAccount   Code = "unknown_account"        //
	CodeUnknownTarget    Code = "unknown_target"         //
	CodeWrongVerb        Code = "wrong_verb"             // lift of a cooldown, or clear of a suspension
	CodeAccountRemoved   Code = "account_removed"        // a report from before the removal
	CodeProviderMismatch Code = "provider_mismatch"      // a report or change under another provider
	CodeKeyReused        Code = "idempotency_key_reused" // the same key with another request
	CodeSuspensionLive   Code = "manual_suspension_live" // would drop an operator's suspension
	CodePoolFull         Code = "pool_full"              // MaxAccounts
	CodeModelCellsFull   Code = "model_cells_full"       // MaxModelCells, all blocked
	CodeTooLarge         Code = "definition_too_large"   // over events.MaxDefinitions
	CodeInvalidGroups    Code = "invalid_groups"         // a definition refused, with the reason
	CodeInvalidPolicy    Code = "invalid_policy"         // a definition refused, with the reason
)

// Error is a refused command: nothing was stored. Message says what is wrong and
// what to do.
type Error struct {
	Code    Code
	Message string
	Cells   []events.Cell // those in the way, where that is the reason
}

func (e *Error) Error() string { return e.Message }

func refuse(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Decide turns a command into events. It is pure: the state is not changed, now is
// the only clock, and the same arguments give the same decision. Errors are
// *Error.
func Decide(s *State, c Command, now time.Time) (Decision, error) {
	return new(decider).run(s, c, now)
}

// run decides a command. A decider may be used again for the next, which overwrites the
// drafts of this one.
func (d *decider) run(s *State, c Command, now time.Time) (Decision, error) {
	*d = decider{s: s, origin: c.Origin, now: now.UTC(), out: Decision{Drafts: d.out.Drafts[:0]}}
	if key := c.IdempotencyKey; key != "" {
		if err := CheckID("the idempotency key", key); err != nil {
			return Decision{}, refuse(CodeInvalid, "%v", err)
		}
		key = opaque(key)
		d.origin.IdempotencyKey = key
		if use, ok := s.keys.get(key); ok {
			if use.request != c.RequestHash {
				return Decision{}, refuse(CodeKeyReused,
					"the idempotency key %q was used for another request (record %d); use a new key", key, use.first)
			}
			return Decision{earlier: use}, nil
		}
	}
	if err := c.Do.decide(d); err != nil {
		return Decision{}, err
	}
	out := d.out
	if out.DryRun {
		out.Drafts = nil
	}
	return out, nil
}

// forget gives up the drafts of the last run. Room for those of a usual command is kept.
func (d *decider) forget() {
	if cap(d.out.Drafts) > maxBatch {
		d.out.Drafts = nil
	}
	clear(d.out.Drafts)
}

// decider is one run of Decide.
type decider struct {
	s      *State
	origin events.Origin
	now    time.Time
	out    Decision
	added  int    // accounts added by the drafts so far
	report Report // the one being decided, which may be changed
}

func (d *decider) emit(account string, e events.Event) {
	d.out.Drafts = append(d.out.Drafts, events.Draft{Origin: d.origin, Account: account, Event: e})
}

func (d *decider) unchanged(why string) { d.out.Unchanged = why }

// account returns a known account, or a refusal.
func (d *decider) account(id string) (*Account, error) {
	if a := d.s.Account(id); a != nil {
		return a, nil
	}
	return nil, refuse(CodeUnknownAccount, "no account %q is known", id)
}

// overlay returns a state of the accounts given, as the drafts so far leave them.
// d.s is only read.
func (d *decider) overlay(accounts []string) *State {
	t := NewState()
	t.head, t.groups, t.policy = d.s.head, d.s.groups, d.s.policy
	for _, id := range accounts {
		if a := d.s.Account(id); a != nil {
			t.put(id, a)
		}
	}
	for _, draft := range d.out.Drafts {
		t.Apply(events.Record{Seq: t.head.Seq + 1, At: laterOf(d.now, t.head.At), Draft: draft})
	}
	return t
}

func laterOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// countUsable fills d.out.Usable for the providers of the accounts concerned. Call
// it after the drafts are complete.
func (d *decider) countUsable(accounts []string) {
	var providers []string
	for _, id := range accounts {
		if a := d.s.Account(id); a != nil && !slices.Contains(providers, a.Spec.Provider) {
			providers = append(providers, a.Spec.Provider)
		}
	}
	slices.Sort(providers)
	after := d.overlay(accounts)
	before := NewState()
	for _, id := range accounts {
		before.put(id, d.s.Account(id))
	}
	for _, p := range providers {
		for _, g := range d.s.groups.Of(p) {
			u := UsableChange{Provider: p, Group: g.ID}
			u.Before, u.Total = d.s.Usable(p, g.ID, d.now)
			was, _ := before.Usable(p, g.ID, d.now)
			is, _ := after.Usable(p, g.ID, d.now)
			u.After = u.Before - was + is
			d.out.Usable = append(d.out.Usable, u)
		}
	}
}

// Usable returns how many of a canonical provider's configured accounts can serve a
// group at now, and how many there are.
func (s *State) Usable(provider, group string, now time.Time) (usable, total int) {
	r := &Resolution{Provider: provider, Group: group, Target: group}
	for a := range s.Accounts("") {
		if a.Spec.Provider == provider && a.Spec.Origin == events.OriginConfigured {
			total++
			if a.Usable(r, now) {
				usable++
			}
		}
	}
	return usable, total
}
