package projection

import (
	"fmt"
	"slices"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Configure puts all that a configuration file says in force as one command: either
// all of it holds afterwards, or nothing of it does. Nothing is appended for what is so
// already.
type Configure struct {
	// Groups and Policy replace the operator's part of the definitions. Nil: they stay
	// as they are.
	Groups *GroupsConfig
	Policy *PolicyConfig
	// Accounts are put into the pool, each id once.
	Accounts []PutAccount
	// WholePool: Accounts are the whole configured pool, and what else was configured is
	// removed. Observed accounts stay: nobody configured them. An account that is
	// suspended by hand is not dropped: the command is refused and names it.
	WholePool bool
	// Settings are what changes besides, to be recorded: nothing here depends on them.
	Settings []events.SettingChange
}

// decide implements Intent. Definitions come before the pool, so that what they count
// among the live cells is what is there; accounts go before others come, so that a full
// pool can be exchanged. None of the parts depends on what another one appends.
func (c *Configure) decide(d *decider) error {
	if c.Groups != nil {
		if err := (&DefineGroups{Config: *c.Groups}).decide(d); err != nil {
			return err
		}
	}
	if c.Policy != nil {
		if err := (&DefinePolicy{Config: *c.Policy}).decide(d); err != nil {
			return err
		}
	}
	if c.WholePool {
		if err := c.removeOthers(d); err != nil {
			return err
		}
	}
	if err := putAccounts(c.Accounts).decide(d); err != nil {
		return err
	}
	for changes := range slices.Chunk(c.Settings, events.MaxSettings) {
		d.emit("", settingsChanged(changes))
	}
	if d.out.Unchanged = ""; len(d.out.Drafts) == 0 {
		d.unchanged("the configuration is so already")
	}
	return nil
}

// settingsChanged is the record of some changes. Values are whatever a file has.
func settingsChanged(changes []events.SettingChange) *events.SettingsChanged {
	e := &events.SettingsChanged{}
	for _, c := range changes {
		e.Changes = append(e.Changes, events.SettingChange{
			Key: events.Scrub(c.Key, events.MaxName), From: events.Scrub(c.From, events.MaxSetting), To: events.Scrub(c.To, events.MaxSetting),
		})
	}
	return e
}

// removeOthers removes the configured accounts that are not listed.
func (c *Configure) removeOthers(d *decider) error {
	listed := make(map[string]bool, len(c.Accounts))
	for i := range c.Accounts {
		listed[c.Accounts[i].ID] = true
	}
	var live []events.Cell
	for a := range d.s.Accounts("") {
		if listed[a.ID] || a.Spec.Origin != events.OriginConfigured {
			continue
		}
		if cells := a.suspensions(d.now); len(cells) > 0 {
			live = append(live, cells...)
			continue
		}
		d.added--
		d.emit(a.ID, &events.AccountRemoved{Reason: "the configuration no longer lists it"})
	}
	if len(live) == 0 {
		return nil
	}
	others := ""
	if n := countAccounts(live) - 1; n > 0 {
		others = fmt.Sprintf(" (and %d more like it)", n)
	}
	return &Error{
		Code: CodeSuspensionLive, Cells: live,
		Message: fmt.Sprintf("account %q is no longer listed and is suspended by hand on %s%s: lift that first, or list it again, with disabled if it is to serve nothing",
			live[0].Account, targets(ofAccount(live, live[0].Account)), others),
	}
}

// suspensions lists the account's cells with a live manual suspension.
func (a *Account) suspensions(now time.Time) []events.Cell {
	var live []events.Cell
	for i := range a.Cells {
		if a.Cells[i].suspended(now) != nil {
			live = append(live, events.Cell{Account: a.ID, Target: a.Cells[i].Target})
		}
	}
	return live
}

// ofAccount returns the cells of one account.
func ofAccount(cells []events.Cell, account string) []events.Cell {
	return slices.DeleteFunc(slices.Clone(cells), func(c events.Cell) bool { return c.Account != account })
}

// countAccounts counts those of cells that are sorted by account.
func countAccounts(cells []events.Cell) (n int) {
	for i := range cells {
		if i == 0 || cells[i].Account != cells[i-1].Account {
			n++
		}
	}
	return n
}
