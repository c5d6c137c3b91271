package projection

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
)

// MaxImport bounds the entries of one import.
const MaxImport = 100_000

// Import takes over what another system knows of cells: their cooldowns and manual
// suspensions. It only adds: what blocks already stays as it is, and what ended here
// since does not come back. Importing the same entries again changes nothing.
type Import struct {
	Source  string // "cliproxyapi-config" or "cds"
	Entries []ImportEntry
	// Groups are definitions to put in force before the entries are looked at. Nil:
	// those in force stay.
	Groups *GroupsConfig
	DryRun bool
}

// ImportEntry is one account and target as the other system has them.
type ImportEntry struct {
	Account string // the stored id
	// Provider is of an account not known here. Empty: the first provider of the group.
	Provider string
	Target   string // a group id, "model:NAME" or "*"
	Model    string // whose answer began the cooldown; may be empty
	// CoolUntil is the end of a cooldown. Zero: none.
	CoolUntil time.Time
	Class     events.Class // of the cooldown
	Suspended bool         // by hand
	Reason    string       // of the suspension
	// UpdatedAt dates the entry. Zero: unknown.
	UpdatedAt time.Time
	Original  string // the source's own fields as a JSON object, scrubbed
}

// ImportOutcome is what became of an entry.
type ImportOutcome string

// The outcomes.
const (
	ImportTaken     ImportOutcome = "imported"  // a record was appended
	ImportExpired   ImportOutcome = "expired"   // what it tells of is over
	ImportUnchanged ImportOutcome = "unchanged" // it is so already
	ImportSkipped   ImportOutcome = "skipped"   // Why says why it cannot be taken
)

// ImportResult is what became of an entry. Of its halves, the cooldown and the
// suspension, one may be taken and the other not: then Why tells of that.
type ImportResult struct {
	Outcome ImportOutcome
	Why     string
	Target  string // canonical, as far as it is known
	Added   bool   // the account was not known, and was added
	// CoolUntil and Suspended are what was taken.
	CoolUntil time.Time
	Suspended bool
}

// importer decides an import entry by entry, on a state that has the entries before.
type importer struct {
	d     *decider
	state *State
}

// decide implements Intent.
func (c *Import) decide(d *decider) error {
	if len(c.Entries) > MaxImport {
		return refuse(CodeInvalid, "there are %d entries; at most %d can be imported at once: split the file", len(c.Entries), MaxImport)
	}
	if c.Groups != nil {
		if err := (&DefineGroups{Config: *c.Groups}).decide(d); err != nil {
			return err
		}
	}
	x := &importer{d: d, state: d.s.working()}
	for _, draft := range d.out.Drafts {
		x.apply(draft)
	}
	d.out.DryRun, d.out.Unchanged = c.DryRun, ""
	d.out.Imports = make([]ImportResult, 0, len(c.Entries))
	for i := range c.Entries {
		r, err := x.entry(c.Source, &c.Entries[i])
		if err != nil {
			return err
		}
		d.out.Imports = append(d.out.Imports, r)
	}
	if len(d.out.Drafts) == 0 {
		d.unchanged("nothing in it is news")
	}
	return nil
}

// emit drafts an event and applies it, so that the next entry is decided on it.
func (x *importer) emit(account string, e events.Event) {
	x.d.emit(account, e)
	x.apply(x.d.out.Drafts[len(x.d.out.Drafts)-1])
}

func (x *importer) apply(draft events.Draft) {
	head := x.state.head
	x.state.Apply(events.Record{Seq: head.Seq + 1, At: laterOf(x.d.now, head.At), Draft: draft})
	x.state.changed = nil
}

// entry decides one entry.
func (x *importer) entry(source string, e *ImportEntry) (ImportResult, error) {
	a, why := x.account(e)
	if why != "" {
		return ImportResult{Outcome: ImportSkipped, Why: why, Target: CanonicalTarget(e.Target)}, nil
	}
	cell := a.Cell(x.state.targetOn(a, CanonicalTarget(e.Target)))
	cool, suspend := x.cooldown(a, &cell, e), x.suspension(&cell, e)
	r := settleImport(cool, suspend)
	r.Target = cell.Target
	if _, ok := a.roomFor(cell.Target, x.d.now); !ok && r.Outcome == ImportTaken {
		r.Outcome, r.Why = ImportSkipped, fmt.Sprintf("the account has %d model cells, all blocked", MaxModelCells)
	}
	if r.Outcome != ImportTaken {
		return r, nil
	}
	if r.Added = x.state.Account(a.ID) == nil; r.Added {
		if x.state.Len() >= MaxAccounts {
			return r, refuse(CodePoolFull, "the pool has %d accounts, the most there can be", MaxAccounts)
		}
		x.emit(a.ID, &events.AccountAdded{Spec: a.Spec})
	}
	i := &events.Imported{
		Source: source, Target: cell.Target, Provider: a.Spec.Provider, Model: events.Scrub(e.Model, events.MaxID), Original: e.Original,
	}
	if cool.news {
		i.CoolUntil, i.Class = cool.until, e.Class
	}
	if suspend.news {
		i.Suspended, i.Reason, i.SuspendedAt = true, importedReason(e.Reason), x.date(e)
	}
	r.CoolUntil, r.Suspended = i.CoolUntil, i.Suspended
	x.emit(a.ID, i)
	return r, nil
}

// NoReason stands where another system does not ask for a reason, and none was given.
const NoReason = "no reason given"

func importedReason(reason string) string {
	return cmp.Or(events.Scrub(reason, events.MaxText), NoReason)
}

// account returns the account of an entry, or the one that an import would add; why is
// not empty if neither can be, or the target is none of the account.
func (x *importer) account(e *ImportEntry) (a *Account, why string) {
	if err := x.state.checkTarget(CanonicalTarget(e.Target)); err != nil {
		return nil, err.Error()
	}
	if CanonicalTarget(e.Target) == "" {
		return nil, "it names no target"
	}
	group := x.state.groups.Group(CanonicalTarget(e.Target))
	provider := CanonicalProvider(e.Provider)
	if a = x.state.Account(e.Account); a != nil {
		if provider != "" && provider != a.Spec.Provider {
			return nil, fmt.Sprintf("the account belongs to provider %q, not %q", a.Spec.Provider, provider)
		}
	} else {
		if provider == "" && group != nil {
			provider = group.Providers[0]
		}
		a = &Account{ID: e.Account, Spec: events.AccountSpec{Provider: provider, Weight: 1, Origin: events.OriginObserved}}
		if why = newAccount(a); why != "" {
			return nil, why
		}
	}
	switch m, removed := x.state.removed.get(e.Account); {
	case removed && (!x.dated(e) || e.UpdatedAt.Before(m.At)):
		return nil, fmt.Sprintf("the account was removed since (record %d)", m.Seq)
	case group != nil && !slices.Contains(group.Providers, a.Spec.Provider):
		return nil, fmt.Sprintf("group %q is not one of provider %q", group.ID, a.Spec.Provider)
	}
	return a, ""
}

// newAccount says why an account cannot be added; empty: it can.
func newAccount(a *Account) (why string) {
	if a.Spec.Provider == "" {
		return "the account is not known, and the entry names no provider"
	}
	err := checkAccount(a.ID, a.Spec)
	if err == nil {
		err = checkPlain(a.ID)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// dated reports whether it is known when the entry was written.
func (x *importer) dated(e *ImportEntry) bool {
	return e.UpdatedAt.Year() >= 2000 && !e.UpdatedAt.After(x.d.now)
}

// date returns when the entry was written; zero if that is not known.
func (x *importer) date(e *ImportEntry) time.Time {
	if !x.dated(e) {
		return time.Time{}
	}
	return e.UpdatedAt.Round(0).UTC()
}

// half is what becomes of an entry's cooldown or suspension. The zero value: there is
// none.
type half struct {
	news    bool
	until   time.Time // of a cooldown that is news
	outcome ImportOutcome
	why     string
}

func skipped(format string, args ...any) half {
	return half{outcome: ImportSkipped, why: fmt.Sprintf(format, args...)}
}

// cooldown decides the automatic half. A deadline never shrinks, and what was cleared
// or recovered after the entry was written stays so.
func (x *importer) cooldown(a *Account, c *Cell, e *ImportEntry) half {
	now := x.d.now
	if e.CoolUntil.IsZero() {
		return half{}
	}
	if !slices.Contains(events.Classes(), e.Class) {
		return skipped("class %q is none of %v", e.Class, events.Classes())
	}
	until, cut, why := x.bounded(a, c, e)
	switch k := c.cooling(now); {
	case why != "":
		return skipped("%s", why)
	case !e.CoolUntil.After(now):
		return half{outcome: ImportExpired, why: "the cooldown ended " + clockTime(e.CoolUntil)}
	case !until.After(now): // and the source has it for longer
		longest := roundUp(until.Sub(x.date(e)))
		return half{outcome: ImportExpired, why: fmt.Sprintf("under the policy's bound (%s from when it was written) it ended %s", longest, clockTime(until))}
	case a.Spec.DisableCooling:
		return skipped("the account takes no automatic blocks")
	case k != nil && !until.After(k.Until):
		return half{outcome: ImportUnchanged, why: "it cools already, until " + clockTime(k.Until)}
	case c.Ended.Seq > 0 && (!x.dated(e) || !e.UpdatedAt.After(c.Ended.At)):
		return skipped("it was cleared or recovered since (record %d)", c.Ended.Seq)
	}
	h := half{news: true, until: until, outcome: ImportTaken}
	if cut {
		h.why = "its end was cut to the policy's bound"
	}
	return h
}

// bounded returns the end of a cooldown within the longest bound that the policy has for
// its class, counted from when the entry was written.
func (x *importer) bounded(a *Account, c *Cell, e *ImportEntry) (until time.Time, cut bool, why string) {
	group := ""
	if x.state.groups.Group(c.Target) != nil {
		group = c.Target
	}
	rule := classRule(x.state.policy.Rules(a.Spec.Provider, group), e.Class)
	if !rule.Blocks {
		return until, false, fmt.Sprintf("class %s blocks nothing under the policy", e.Class)
	}
	b := rule.Bound
	longest := max(b.FiveHour, b.Daily, b.Weekly, b.Monthly, b.Unknown)
	until = e.CoolUntil.Round(0).UTC()
	switch {
	case x.dated(e) && until.After(e.UpdatedAt.Add(longest)):
		return x.date(e).Add(longest), true, ""
	case !x.dated(e) && until.After(x.d.now.Add(longest)):
		return until, false, fmt.Sprintf("it has no date, and its end is further off than the policy believes (%s)", roundUp(longest))
	}
	return until, false, ""
}

// suspension decides the manual half. A suspension in force here stays as it is, and one
// that ended here after the entry was written does not come back.
func (x *importer) suspension(c *Cell, e *ImportEntry) half {
	if !e.Suspended {
		return half{}
	}
	if s := c.suspended(x.d.now); s != nil {
		return half{outcome: ImportUnchanged, why: fmt.Sprintf("it is suspended already, by %s (record %d)", by(s), s.Seq)}
	}
	ended := c.Lifted
	if s := c.Suspended; s != nil { // over, and not recorded yet
		ended = Mark{s.Seq, s.Until}
	}
	if ended.Seq > 0 && (!x.dated(e) || !e.UpdatedAt.After(ended.At)) {
		return skipped("it was lifted, or its time came, since (record %d)", ended.Seq)
	}
	return half{news: true, outcome: ImportTaken}
}

// settleImport puts the halves of an entry together: what was taken of it counts, then
// what could not be.
func settleImport(halves ...half) ImportResult {
	r := ImportResult{Outcome: ImportUnchanged}
	var whys []string
	rank := func(o ImportOutcome) int {
		return slices.Index([]ImportOutcome{"", ImportExpired, ImportUnchanged, ImportSkipped, ImportTaken}, o)
	}
	best := ImportOutcome("")
	for _, h := range halves {
		if rank(h.outcome) > rank(best) {
			best = h.outcome
		}
		if h.why != "" {
			whys = append(whys, h.why)
		}
	}
	if best == "" {
		r.Why = "nothing blocks it there"
		return r
	}
	r.Outcome, r.Why = best, strings.Join(whys, "; ")
	return r
}
