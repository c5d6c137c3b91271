package projection

import (
	"fmt"
	"slices"
	"strings"

	"github.com/abeyance/abeyance/events"
)

// PutAccount adds an account, or replaces the settings of one. An observed account
// is adopted by it.
type PutAccount struct {
	ID   string // the stored id
	Spec events.AccountSpec
}

// PatchAccount changes the settings that are set. It does not adopt an observed
// account: a PutAccount does.
type PatchAccount struct {
	ID                string
	Priority          *int
	Weight            *int
	Disabled          *bool
	DisableCooling    *bool
	CredentialVersion *string
}

// RemoveAccount takes an account out of the pool. Its history stays.
type RemoveAccount struct {
	ID     string
	Reason string
	// Force removes it although a manual suspension is live.
	Force bool
}

// DefineGroups puts a set of groups and aliases in force: the operator's part over
// its bootstrap set. Nothing is appended if that gives what is in force already.
type DefineGroups struct {
	Config GroupsConfig
	// GroupsOnly: Config has groups alone, and the rest of the operator's part stays as it
	// is when the command is decided; see [GroupsConfig.Replaced].
	GroupsOnly bool
	DryRun     bool

	abandon bool // for a replay: manual suspensions may be dropped
}

// DefinePolicy puts a policy in force: the operator's part over the default.
type DefinePolicy struct {
	Config PolicyConfig
	DryRun bool
}

// decide implements Intent.
func (c *PutAccount) decide(d *decider) error {
	spec := c.Spec
	spec.Provider = CanonicalProvider(spec.Provider)
	spec.Origin = events.OriginConfigured
	if spec.Weight == 0 {
		spec.Weight = 1
	}
	if err := checkAccount(c.ID, spec); err != nil {
		return err
	}
	a := d.s.Account(c.ID)
	if a == nil {
		if err := checkPlain(c.ID); err != nil {
			return err
		}
	}
	switch {
	case a == nil && d.s.Len()+d.added >= MaxAccounts:
		return refuse(CodePoolFull, "the pool has %d accounts, the most there can be", MaxAccounts)
	case a == nil:
		d.added++
		d.emit(c.ID, &events.AccountAdded{Spec: spec})
	case a.Spec.Provider != spec.Provider:
		return refuse(CodeProviderMismatch, "account %q belongs to provider %q; to move it to %q remove it first", c.ID, a.Spec.Provider, spec.Provider)
	default:
		d.settle(a, spec)
	}
	return nil
}

// putAccounts puts the accounts of a config file as one command: one commit and one
// new index, however many there are.
type putAccounts []PutAccount

// decide implements Intent.
func (c putAccounts) decide(d *decider) error {
	seen := make(map[string]bool, len(c))
	for i := range c {
		if seen[c[i].ID] {
			return refuse(CodeInvalid, "account %q is given twice", c[i].ID)
		}
		seen[c[i].ID] = true
		if err := c[i].decide(d); err != nil {
			return err
		}
	}
	return nil
}

// checkPlain refuses an id for a new account that would put a credential or an
// address into every record about it.
func checkPlain(id string) error {
	if opaque(id) == id {
		return nil
	}
	return refuse(CodeInvalid, "the account's id looks like a credential or an e-mail address; give it a name")
}

func checkAccount(id string, spec events.AccountSpec) error {
	if err := CheckID("the account", id); err != nil {
		return refuse(CodeInvalid, "%v", err)
	}
	if err := checkProvider(spec.Provider); err != nil {
		return refuse(CodeInvalid, "%v", err)
	}
	switch {
	case spec.Weight < 1 || spec.Weight > 16:
		return refuse(CodeInvalid, "weight %d is not within 1 and 16", spec.Weight)
	case spec.Priority != int(int32(spec.Priority)):
		return refuse(CodeInvalid, "priority %d is beyond 32 bits", spec.Priority)
	case len(spec.CredentialVersion) > events.MaxName || events.Scrub(spec.CredentialVersion, events.MaxName) != spec.CredentialVersion:
		return refuse(CodeInvalid, "credential_version must be at most %d bytes of plain text and no credential itself; a counter or a date will do", events.MaxName)
	}
	return nil
}

// decide implements Intent.
func (c *PatchAccount) decide(d *decider) error {
	a, err := d.account(c.ID)
	if err != nil {
		return err
	}
	spec := a.Spec
	setIf(&spec.Priority, c.Priority)
	setIf(&spec.Weight, c.Weight)
	setIf(&spec.Disabled, c.Disabled)
	setIf(&spec.DisableCooling, c.DisableCooling)
	setIf(&spec.CredentialVersion, c.CredentialVersion)
	if c.Weight != nil && *c.Weight == 0 {
		return refuse(CodeInvalid, "weight 0 is not within 1 and 16; disable the account instead")
	}
	if err := checkAccount(c.ID, spec); err != nil {
		return err
	}
	d.settle(a, spec)
	return nil
}

// settle emits an account's new settings, if they are new.
func (d *decider) settle(a *Account, spec events.AccountSpec) {
	if a.Spec == spec {
		d.unchanged("the account is so already")
		return
	}
	d.emit(a.ID, &events.AccountChanged{Spec: spec})
}

func setIf[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// decide implements Intent.
func (c *RemoveAccount) decide(d *decider) error {
	a, err := d.account(c.ID)
	if err != nil {
		return err
	}
	live := a.suspensions(d.now)
	if len(live) > 0 && !c.Force {
		return &Error{
			Code: CodeSuspensionLive, Cells: live,
			Message: fmt.Sprintf("account %q is suspended by hand on %s; lift that first, or force the removal", c.ID, targets(live)),
		}
	}
	d.emit(c.ID, &events.AccountRemoved{Reason: events.Scrub(c.Reason, events.MaxText), Forced: len(live) > 0})
	return nil
}

func targets(cells []events.Cell) string {
	var names []string
	for _, c := range cells {
		names = append(names, c.Target)
	}
	return strings.Join(names, ", ")
}

// decide implements Intent.
func (c *DefineGroups) decide(d *decider) error {
	config := &c.Config
	if c.GroupsOnly {
		now, err := d.s.groups.Config()
		if err != nil {
			return refuse(CodeInvalidGroups, "the groups in force cannot be read: %v", err) // unreachable: they were defined
		}
		config = now.Replaced(c.Config.Groups)
	}
	e, err := config.define()
	if err != nil {
		return refuse(CodeInvalidGroups, "%v", err)
	}
	e.Version = d.s.groups.Version + 1
	now := newGroups(e)
	plan := &GroupsPlan{Version: e.Version, was: d.s.groups, now: now, known: d.s.models()}
	var dropped []events.Cell
	for a := range d.s.Accounts("") {
		_, moves := a.regroup(now, d.now)
		for _, m := range moves {
			switch {
			case m.dropped:
				dropped = append(dropped, events.Cell{Account: m.account, Target: m.from})
			case m.merged:
				e.Merged++
			default:
				e.Moved++
			}
			if !m.dropped {
				plan.Cells = append(plan.Cells, CellMove{m.account, m.from, m.to, m.merged})
			}
		}
		e.Kept += d.s.keptCells(a, now, d)
	}
	if len(dropped) > 0 && !c.abandon {
		return &Error{
			Code: CodeSuspensionLive, Cells: dropped,
			Message: fmt.Sprintf("the definition would drop %d manual %s, the first of account %q on %q; lift them, or name the old group in the replaces of a new one",
				len(dropped), plural(len(dropped), "suspension"), dropped[0].Account, dropped[0].Target),
		}
	}
	d.out.Plan, d.out.DryRun = plan, c.DryRun
	if d.s.groups.same(now) {
		plan.Version = d.s.groups.Version
		d.unchanged("the groups are so already")
		return nil
	}
	if n := len(canonicalJSON(e)); n > events.MaxDefinitions {
		return refuse(CodeTooLarge, "the definition has %d bytes; at most %d", n, events.MaxDefinitions)
	}
	d.emit("", e)
	return nil
}

// keptCells counts the live cells that keep their group.
func (s *State) keptCells(a *Account, now *Groups, d *decider) (n int) {
	for i := range a.Cells {
		if c := &a.Cells[i]; now.Group(c.Target) != nil && c.blockedAt(d.now) {
			n++
		}
	}
	return n
}

// same reports whether two definitions are equal in their canonical form.
func (g *Groups) same(o *Groups) bool {
	strip := func(g *Groups) []byte {
		return canonicalJSON(&events.GroupsDefined{Preset: g.Preset, Groups: g.List, Aliases: g.Aliases})
	}
	return g.Version > 0 && slices.Equal(strip(g), strip(o))
}

// decide implements Intent.
func (c *DefinePolicy) decide(d *decider) error {
	e, err := c.Config.define()
	if err != nil {
		return refuse(CodeInvalidPolicy, "%v", err)
	}
	d.out.DryRun = c.DryRun
	e.Version = d.s.policy.Version
	if e.Version > 0 && slices.Equal(canonicalJSON(d.s.policy.Policy), canonicalJSON(e.Policy)) {
		d.unchanged("the policy is so already")
		return nil
	}
	e.Version++
	if n := len(canonicalJSON(e)); n > events.MaxDefinitions {
		return refuse(CodeTooLarge, "the definition has %d bytes; at most %d", n, events.MaxDefinitions)
	}
	d.emit("", e)
	return nil
}

// acceptLoss records that the log lacks records: what an operator decided at start.
type acceptLoss struct{ loss events.LossAccepted }

// decide implements Intent.
func (c *acceptLoss) decide(d *decider) error {
	d.emit("", &c.loss)
	return nil
}
