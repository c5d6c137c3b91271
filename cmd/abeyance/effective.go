package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// effectiveRow is one value in force and where it comes from.
type effectiveRow struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Origin string `json:"origin"` // default, FILE:LINE, environment, a flag, or the log
}

// effective lists every setting with its origin, in the order of the example file. Of
// accounts, groups and policy that the file does not have only the log knows what is in
// force: it is not read.
func (s *settings) effective() ([]effectiveRow, error) {
	rows := []effectiveRow{
		s.row("listen", s.Listen),
		s.row("data_dir", s.DataDir),
		s.row("observe_only", strconv.FormatBool(s.ObserveOnly)),
		s.row("tls.cert", s.Cert),
		s.row("tls.key", s.Key),
		s.row("log.format", s.LogFormat),
		s.row("log.level", s.LogLevel),
		s.row("log.access", strconv.FormatBool(s.LogAccess)),
		s.row("metrics.per_account", strconv.FormatBool(s.PerAccount)),
	}
	rows = slices.Insert(rows, 3, s.network.rows(s)...)
	rows = append(append(rows, s.accountRows()...), s.strategyRows()...)
	groups, err := s.groupRows()
	if err != nil {
		return nil, err
	}
	policy, err := s.policyRows()
	if err != nil {
		return nil, err
	}
	return slices.Concat(rows, groups, policy, s.webhookRows()), nil
}

// ownRows lists the settings that are not in the log: the file, the environment and flags
// alone say what they are.
func (s *settings) ownRows() ([]effectiveRow, error) {
	rows, err := s.effective()
	return slices.DeleteFunc(rows, func(r effectiveRow) bool {
		section, _, _ := strings.Cut(r.Key, ".")
		return slices.Contains([]string{"accounts", "bootstrap", "groups", "aliases", "policy"}, section)
	}), err
}

func (s *settings) row(key, value string) effectiveRow {
	return effectiveRow{key, value, s.origins[key]}
}

// describeSpec says in one line what an account is like.
func describeSpec(a *events.AccountSpec) string {
	text := fmt.Sprintf("%s, priority %d, weight %d", a.Provider, a.Priority, max(a.Weight, 1))
	if a.Disabled {
		text += ", disabled"
	}
	if a.DisableCooling {
		text += ", disable_cooling"
	}
	if a.CredentialVersion != "" {
		text += ", credential_version " + strconv.Quote(a.CredentialVersion)
	}
	if a.Origin == events.OriginObserved {
		text += ", observed"
	}
	return text
}

// logRow stands for a section that the log owns.
func logRow(section api.Section, value string) []effectiveRow {
	return []effectiveRow{{string(section), value, originLog}}
}

// accountRows lists the accounts of the file.
func (s *settings) accountRows() []effectiveRow {
	if s.file.file.Accounts == nil {
		return logRow(api.SectionAccounts, "those of the log")
	}
	var rows []effectiveRow
	for i, a := range s.file.file.accounts() {
		spec := a.put("").Spec
		rows = append(rows, effectiveRow{"accounts." + a.ID, describeSpec(&spec), s.file.origin("accounts", strconv.Itoa(i))})
	}
	return rows
}

// groupRows lists the definitions that the file gives on its bootstrap set.
func (s *settings) groupRows() ([]effectiveRow, error) {
	c := s.file.file.groups()
	if c == nil {
		return logRow(api.SectionGroups, "those of the log, if it has any; else the defaults of this version"), nil
	}
	e, err := defined[*events.GroupsDefined](&projection.DefineGroups{Config: *c})
	if err != nil {
		return nil, err
	}
	return s.groupRowsOf(c, e), nil
}

// groupRowsOf lists definitions, each with where the file states it.
func (s *settings) groupRowsOf(c *projection.GroupsConfig, e *events.GroupsDefined) []effectiveRow {
	rows := []effectiveRow{{"bootstrap", e.Preset, s.file.origin("bootstrap")}}
	for _, g := range e.Groups {
		at := slices.IndexFunc(c.Groups, func(x projection.GroupConfig) bool { return projection.CanonicalGroup(x.ID) == g.ID })
		add := func(field, value string) {
			origin := originDefault
			if at >= 0 {
				origin = s.file.origin("groups", strconv.Itoa(at), field)
			}
			rows = append(rows, effectiveRow{"groups." + g.ID + "." + field, value, origin})
		}
		add("label", g.Label)
		add("providers", strings.Join(g.Providers, ", "))
		add("patterns", strings.Join(g.Patterns, ", "))
		add("priority", strconv.Itoa(g.Priority))
		add("enabled", strconv.FormatBool(g.Enabled))
		add("replaces", strings.Join(g.Replaces, ", "))
	}
	for _, a := range e.Aliases {
		rows = append(rows, effectiveRow{"aliases." + a.Provider + "." + a.Name, a.Model, s.file.origin("aliases", a.Provider, a.Name)})
	}
	return rows
}

// policyRows lists the rules; of a provider's own only those that the file states.
func (s *settings) policyRows() ([]effectiveRow, error) {
	c := s.file.file.Policy
	if c == nil {
		return logRow(api.SectionPolicy, "that of the log, if it has one; else the default of this version"), nil
	}
	e, err := defined[*events.PolicyDefined](&projection.DefinePolicy{Config: *c})
	if err != nil {
		return nil, err
	}
	var rows []effectiveRow
	for _, v := range ruleValues(&e.Policy.Default) {
		rows = append(rows, s.ruleRow(v, "policy"))
	}
	for _, provider := range sortedProviders(c) {
		match := canonicalMatch(provider)
		i := slices.IndexFunc(e.Policy.Overrides, func(o events.Override) bool { return o.Match == match })
		for _, v := range ruleValues(&e.Policy.Overrides[i].Rules) {
			if r := s.ruleRow(v, "policy", "providers", provider); r.Origin != originDefault {
				rows = append(rows, r)
			}
		}
	}
	return rows, nil
}

// canonicalMatch is the form in which a key of policy.providers is stored.
func canonicalMatch(key string) string {
	provider, group, ok := strings.Cut(key, "/")
	if !ok {
		return projection.CanonicalProvider(key)
	}
	return projection.CanonicalProvider(provider) + "/" + projection.CanonicalGroup(group)
}

func (s *settings) ruleRow(v ruleValue, under ...string) effectiveRow {
	path := slices.Concat(under, v.path)
	return effectiveRow{strings.Join(path, "."), v.value, s.file.origin(path...)}
}

// defined returns the event that a definition leads to on an empty log.
func defined[E events.Event](do projection.Intent) (e E, err error) {
	d, err := projection.Decide(projection.NewState(), projection.Command{Do: do}, time.Unix(0, 0))
	if err != nil {
		return e, err
	}
	return d.Drafts[0].Event.(E), nil
}

// ruleValue is one value of the policy under its path in the file.
type ruleValue struct {
	path  []string
	value string
}

// ruleValues lists rules as a file would state them.
func ruleValues(r *events.Rules) []ruleValue {
	var list []ruleValue
	add := func(value string, path ...string) { list = append(list, ruleValue{path, value}) }
	for _, class := range events.Classes() {
		i := slices.IndexFunc(r.Classes, func(c events.ClassRule) bool { return c.Class == class })
		if i >= 0 {
			classValues(&r.Classes[i], add)
		}
	}
	add(strconv.Itoa(r.Poison.Accounts), "poison", "accounts")
	add(duration(r.Poison.Within), "poison", "within")
	p := &r.Probe
	add(p.Mode, "probe", "mode")
	add(pair(p.EmptyFirst, p.EmptyCap), "probe", "empty")
	add(pair(p.BackgroundFirst, p.BackgroundCap), "probe", "background")
	add(duration(p.OnlyLongerThan), "probe", "only_longer_than")
	add(duration(p.Spacing), "probe", "spacing")
	add(duration(p.Claim), "probe", "claim")
	return list
}

func classValues(c *events.ClassRule, add func(value string, path ...string)) {
	name := string(c.Class)
	if !c.Blocks {
		add("none", name)
		return
	}
	add(duration(c.Bound.FiveHour), name, "bound", "5h")
	add(duration(c.Bound.Daily), name, "bound", "daily")
	add(duration(c.Bound.Weekly), name, "bound", "weekly")
	add(duration(c.Bound.Monthly), name, "bound", "monthly")
	add(duration(c.Bound.Unknown), name, "bound", "unknown")
	add(pair(c.First, c.Cap), name, "ladder")
	add(duration(c.Jitter), name, "jitter")
	if c.After > 0 {
		add(strconv.Itoa(c.After), name, "after")
		add(duration(c.Within), name, "within")
	}
	if len(c.Hold) > 0 {
		add("["+strings.Join(c.Hold, ", ")+"]", name, "hold")
	}
}

func duration(d time.Duration) string {
	text, err := projection.Duration(d).MarshalText()
	if err != nil {
		return d.String() // unreachable: it has no error to return
	}
	return string(text)
}

func pair(a, b time.Duration) string { return "[" + duration(a) + ", " + duration(b) + "]" }

// ruleKeys lists what rules may say something about.
func ruleKeys() []string {
	var keys []string
	for _, c := range events.Classes() {
		if c != events.ClassOK {
			keys = append(keys, string(c))
		}
	}
	return append(keys, "poison", "probe")
}

// only returns the part of rules under one key. The JSON form has the same keys as
// the file.
func only(c projection.RulesConfig, key string) (part projection.RulesConfig) {
	var all map[string]json.RawMessage
	doc, err := json.Marshal(c)
	if err == nil {
		err = json.Unmarshal(doc, &all)
	}
	if err == nil && all[key] != nil {
		doc, err = json.Marshal(map[string]json.RawMessage{key: all[key]})
		if err == nil {
			err = json.Unmarshal(doc, &part)
		}
	}
	if err != nil {
		return projection.RulesConfig{} // unreachable: what was parsed can be written and parsed again
	}
	return part
}
