package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
)

// configure returns the command that puts in force what of the file belongs into the
// log: at start and at every reload the same. What the state does not let stand, such as
// an account of another provider, is named with its line; those errors are *projection.Error
// too. Accounts are named by their stored ids, whether or not the book has them.
func (p *parsedConfig) configure(s *projection.State, ids *identity.Book, now time.Time) (*projection.Configure, error) {
	f := &p.file
	c := &projection.Configure{Groups: f.groups(), Policy: f.Policy, WholePool: f.Accounts != nil}
	var errs []error
	check := func(do projection.Intent, path ...string) {
		if err := tryAt(s, do, now); err != nil {
			errs = append(errs, &misfit{p.mistake(err, path...), err})
		}
	}
	if c.Groups != nil {
		check(&projection.DefineGroups{Config: *c.Groups}, p.groupsKey())
	}
	if c.Policy != nil {
		check(&projection.DefinePolicy{Config: *c.Policy}, "policy")
	}
	before := len(errs)
	for i, a := range f.accounts() {
		put := a.put(ids.Stored(a.ID))
		check(&put, "accounts", strconv.Itoa(i))
		c.Accounts = append(c.Accounts, put)
	}
	if len(errs) == before && c.WholePool {
		check(&projection.Configure{Accounts: c.Accounts, WholePool: true}, "accounts")
	}
	return c, errors.Join(errs...)
}

// misfit is a mistake that only shows on the state of the log.
type misfit struct {
	error
	cause error
}

// Unwrap returns what it is at its place, and why.
func (m *misfit) Unwrap() []error { return []error{m.error, m.cause} }

// groupsKey is the first of the keys by which a file owns the groups; empty: it does not.
func (p *parsedConfig) groupsKey() string {
	f := &p.file
	key := ""
	for name, is := range map[string]bool{"bootstrap": f.Bootstrap != nil, "groups": f.Groups != nil, "aliases": f.Aliases != nil} {
		if is && (key == "" || p.at(name) < p.at(key)) {
			key = name
		}
	}
	return key
}

// owned returns the sections that the file has, each with its place.
func (p *parsedConfig) owned() map[api.Section]string {
	owned := map[api.Section]string{}
	if p.file.Accounts != nil {
		owned[api.SectionAccounts] = p.origin("accounts")
	}
	if key := p.groupsKey(); key != "" {
		owned[api.SectionGroups] = p.origin(key)
	}
	if p.file.Policy != nil {
		owned[api.SectionPolicy] = p.origin("policy")
	}
	return owned
}

func (f *configFile) accountIDs() (ids []string) {
	for _, a := range f.accounts() {
		ids = append(ids, a.ID)
	}
	return ids
}

// logChanges lists what drafts change of what a state has in force. Accounts are called by
// the ids that they were given, or else by those that are stored.
func (s *settings) logChanges(before *projection.State, drafts []events.Draft, ids *identity.Book, given bool) []api.SettingChange {
	var list []api.SettingChange
	// places :: stored id → the account's place in the file
	places := map[string]int{}
	for i, a := range s.file.file.accounts() {
		places[ids.Stored(a.ID)] = i
	}
	account := func(stored string, spec *events.AccountSpec) {
		name, c := stored, api.SettingChange{}
		if given {
			name = ids.Given(stored)
		}
		if i, listed := places[stored]; listed {
			c.Origin = s.file.origin("accounts", strconv.Itoa(i))
			if given { // the book need not have it yet
				name = s.file.file.accounts()[i].ID
			}
		}
		c.Key = "accounts." + name
		if a := before.Account(stored); a != nil {
			c.From = describeSpec(&a.Spec)
		}
		if spec != nil {
			c.To = describeSpec(spec)
		}
		list = append(list, c)
	}
	for _, d := range drafts {
		switch e := d.Event.(type) {
		case *events.AccountAdded:
			account(d.Account, &e.Spec)
		case *events.AccountChanged:
			account(d.Account, &e.Spec)
		case *events.AccountRemoved:
			account(d.Account, nil)
		case *events.GroupsDefined:
			list = append(list, s.groupChanges(before.Groups(), e)...)
		case *events.PolicyDefined:
			list = append(list, s.policyChanges(before.Policy(), e)...)
		}
	}
	return list
}

func (s *settings) groupChanges(before *projection.Groups, after *events.GroupsDefined) []api.SettingChange {
	c := s.file.file.groups()
	if c == nil {
		c = &projection.GroupsConfig{} // unreachable: who defines groups has some
	}
	was := s.groupRowsOf(c, &events.GroupsDefined{Preset: before.Preset, Groups: before.List, Aliases: before.Aliases})
	return differences(was, s.groupRowsOf(c, after))
}

// policyChanges compares the rules for all, and those for each provider and group that
// has rules of its own before or after, with what it inherits.
func (s *settings) policyChanges(before *projection.Policy, after *events.PolicyDefined) []api.SettingChange {
	is := &projection.Policy{Policy: after.Policy}
	rows := func(p *projection.Policy, match, key string) (rows []effectiveRow) {
		rules, under := &p.Default, []string{"policy"}
		if match != "" {
			provider, group, _ := strings.Cut(match, "/")
			rules, under = p.Rules(provider, group), []string{"policy", "providers", key}
		}
		for _, v := range ruleValues(rules) {
			rows = append(rows, s.ruleRow(v, under...))
		}
		return rows
	}
	list := differences(rows(before, "", ""), rows(is, "", ""))
	for match, key := range s.policyKeys(before, is) {
		list = append(list, differences(rows(before, match, key), rows(is, match, key))...)
	}
	return list
}

// policyKeys maps what either policy has rules of its own for to its key, as the file has
// it or as it is stored.
func (s *settings) policyKeys(policies ...*projection.Policy) map[string]string {
	keys := map[string]string{}
	for _, p := range policies {
		for i := range p.Overrides {
			keys[p.Overrides[i].Match] = p.Overrides[i].Match
		}
	}
	if c := s.file.file.Policy; c != nil {
		for key := range c.Providers {
			keys[canonicalMatch(key)] = key
		}
	}
	return keys
}

// differences lists the keys whose values differ, with the origins after.
func differences(before, after []effectiveRow) (list []api.SettingChange) {
	was := map[string]string{}
	for _, r := range before {
		was[r.Key] = r.Value
	}
	for _, r := range after {
		if from := was[r.Key]; from != r.Value {
			list = append(list, api.SettingChange{Key: r.Key, From: from, To: r.Value, Origin: r.Origin})
		}
		delete(was, r.Key)
	}
	for _, key := range slices.Sorted(maps.Keys(was)) {
		if was[key] != "" {
			list = append(list, api.SettingChange{Key: key, From: was[key]})
		}
	}
	return list
}

// describeOwned says in a line what a file owns.
func describeOwned(owned map[api.Section]string) string {
	if len(owned) == 0 {
		return "accounts, groups and policy are the log's"
	}
	var names []string
	for _, section := range []api.Section{api.SectionAccounts, api.SectionGroups, api.SectionPolicy} {
		if _, is := owned[section]; is {
			names = append(names, string(section))
		}
	}
	return fmt.Sprintf("it owns %s", strings.Join(names, ", "))
}
