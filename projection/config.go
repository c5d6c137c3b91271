package projection

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"golang.org/x/text/unicode/norm"

	"github.com/abeyance/abeyance/events"
)

// GroupsConfig is the operator's part of the definitions: what a config file or a
// PUT says. Groups override the bootstrap set by id and inherit what they omit.
type GroupsConfig struct {
	// Bootstrap names the set merged in: default, two-pools or none. Empty: default.
	Bootstrap string        `json:"bootstrap,omitempty" yaml:"bootstrap,omitempty"`
	Groups    []GroupConfig `json:"groups,omitempty" yaml:"groups,omitempty"`
	// Aliases :: provider → name as clients send it → the provider's model
	Aliases map[string]map[string]string `json:"aliases,omitempty" yaml:"aliases,omitempty"`
}

// GroupConfig defines or overrides one group. An omitted field is inherited from
// the bootstrap group of the same id; a new group needs providers and patterns.
type GroupConfig struct {
	ID        string   `json:"id" yaml:"id"`
	Label     *string  `json:"label,omitempty" yaml:"label,omitempty"`
	Providers []string `json:"providers,omitempty" yaml:"providers,omitempty"`
	Patterns  []string `json:"patterns,omitempty" yaml:"patterns,omitempty"`
	Priority  *int     `json:"priority,omitempty" yaml:"priority,omitempty"`
	Enabled   *bool    `json:"enabled,omitempty" yaml:"enabled,omitempty"`
	Replaces  []string `json:"replaces,omitempty" yaml:"replaces,omitempty"`
}

// groupID is the form of a group's id.
func validGroupID(id string) bool {
	ok := len(id) >= 1 && len(id) <= 64
	for i, r := range id {
		alnum := r >= 'a' && r <= 'z' || r >= '0' && r <= '9'
		ok = ok && (alnum || i > 0 && (r == '.' || r == '_' || r == '-'))
	}
	return ok
}

// CheckID returns an error unless s is fit to be an account, model or request id:
// 1 to 256 bytes of NFC text without control characters.
func CheckID(what, s string) error {
	switch {
	case s == "":
		return fmt.Errorf("%s is empty", what)
	case len(s) > events.MaxID:
		return fmt.Errorf("%s has %d bytes; at most %d", what, len(s), events.MaxID)
	case printable(s): // which nearly all are: nothing more can be wrong with it
	case !utf8.ValidString(s):
		return fmt.Errorf("%s is not valid UTF-8", what)
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }):
		return fmt.Errorf("%s has a control character", what)
	case !norm.NFC.IsNormalString(s):
		return fmt.Errorf("%s is not in Unicode normal form C", what)
	}
	return nil
}

// printable reports whether a text is printable ASCII.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// opaque returns an id as it may stand in the log: itself, or a hash of it if it
// holds what looks like a secret or an e-mail address. Ids are only compared.
func opaque(id string) string {
	if events.Scrub(id, len(id)) == id || CheckID("id", id) != nil {
		return id // plain, or not fit to be an id at all, which is somebody else's to refuse
	}
	sum := sha256.Sum256([]byte(id))
	return "sha256-" + hex.EncodeToString(sum[:16])
}

// define merges the configuration over its bootstrap set and checks the result.
// The event lacks its version and counts.
func (c *GroupsConfig) define() (*events.GroupsDefined, error) {
	name := c.Bootstrap
	if name == "" {
		name = PresetDefault
	}
	if !slices.Contains(Presets(), name) {
		return nil, fmt.Errorf("bootstrap %q is not one of %s", name, strings.Join(Presets(), ", "))
	}
	groups := map[string]events.Group{}
	for _, g := range preset(name) {
		groups[g.ID] = g
	}
	seen := map[string]bool{}
	for i, g := range c.Groups {
		id := CanonicalGroup(g.ID)
		if seen[id] {
			return nil, fmt.Errorf("groups[%d]: the id %q is given twice", i, id)
		}
		seen[id] = true
		base, inherits := groups[id]
		merged, err := g.over(base, inherits)
		if err != nil {
			return nil, fmt.Errorf("groups[%d] %q: %w", i, g.ID, err)
		}
		groups[id] = merged
	}
	aliases, err := c.aliases()
	if err != nil {
		return nil, err
	}
	e := &events.GroupsDefined{Preset: name, Aliases: aliases, Configured: canonicalJSON(c)}
	for _, id := range sortedKeys(groups) {
		e.Groups = append(e.Groups, groups[id])
	}
	return e, nil
}

// With returns the configuration with some definitions in the place of those that have
// the same ids.
func (c *GroupsConfig) With(groups []GroupConfig) *GroupsConfig {
	with := *c
	with.Groups = slices.DeleteFunc(slices.Clone(c.Groups), func(old GroupConfig) bool {
		return slices.ContainsFunc(groups, func(g GroupConfig) bool { return CanonicalGroup(g.ID) == CanonicalGroup(old.ID) })
	})
	with.Groups = append(with.Groups, groups...)
	return &with
}

// Replaced returns the configuration with other groups in the place of all of its own.
// What a group replaces is kept for those that stay and do not say.
func (c *GroupsConfig) Replaced(groups []GroupConfig) *GroupsConfig {
	with := *c
	with.Groups = slices.Clone(groups)
	for i := range with.Groups {
		g := &with.Groups[i]
		was := slices.IndexFunc(c.Groups, func(old GroupConfig) bool { return CanonicalGroup(old.ID) == CanonicalGroup(g.ID) })
		if was >= 0 && g.Replaces == nil {
			g.Replaces = c.Groups[was].Replaces
		}
	}
	return &with
}

// over returns the group that c makes of base.
func (c *GroupConfig) over(base events.Group, inherits bool) (events.Group, error) {
	g := base
	if !inherits {
		g = events.Group{Enabled: true}
	}
	g.ID = CanonicalGroup(c.ID)
	if c.Label != nil {
		g.Label = *c.Label
	}
	if c.Providers != nil {
		g.Providers = canonicalList(c.Providers, CanonicalProvider)
	}
	if c.Patterns != nil {
		g.Patterns = slices.Clone(c.Patterns)
		for i, p := range g.Patterns {
			g.Patterns[i] = strings.ToLower(strings.TrimSpace(p))
		}
	}
	if c.Priority != nil {
		g.Priority = *c.Priority
	}
	if c.Enabled != nil {
		g.Enabled = *c.Enabled
	}
	if c.Replaces != nil {
		g.Replaces = canonicalList(c.Replaces, CanonicalGroup)
	}
	return g, checkGroup(&g)
}

func checkGroup(g *events.Group) error {
	switch {
	case !validGroupID(g.ID):
		return errors.New("the id must be 1 to 64 of a-z, 0-9, '.', '_' and '-', and begin with a letter or digit")
	case len(g.Label) > events.MaxID || strings.ContainsFunc(g.Label, unicode.IsControl):
		return fmt.Errorf("the label must be at most %d bytes without control characters", events.MaxID)
	case len(g.Providers) == 0:
		return errors.New("providers is empty: a group belongs to at least one provider")
	case len(g.Patterns) == 0:
		return errors.New("patterns is empty: a group without a pattern never matches")
	case g.Priority != int(int32(g.Priority)):
		return fmt.Errorf("priority %d is beyond 32 bits", g.Priority)
	}
	if opaque(g.Label) != g.Label {
		return errors.New("the label holds what looks like a secret or an e-mail address, which would stand in the log")
	}
	for _, p := range g.Providers {
		if err := checkProvider(p); err != nil {
			return err
		}
	}
	for _, p := range g.Patterns {
		if err := CheckID("a pattern", p); err != nil {
			return err
		}
		if opaque(p) != p {
			return fmt.Errorf("the pattern %q holds what looks like a secret or an e-mail address, which would stand in the log", p)
		}
		if strings.Count(p, "*") > 8 {
			return fmt.Errorf("pattern %q has more than 8 stars", p)
		}
		if strings.Contains(p, `\`) {
			return fmt.Errorf("pattern %q has a backslash: only * and ? are special, and nothing needs escaping", p)
		}
	}
	for _, r := range g.Replaces {
		if !validGroupID(r) {
			return fmt.Errorf("replaces %q, which is no group id", r)
		}
		if r == g.ID {
			return errors.New("replaces itself")
		}
	}
	return nil
}

func checkProvider(p string) error {
	if err := CheckID("the provider", p); err != nil {
		return err
	}
	if len(p) > events.MaxName || strings.ContainsAny(p, "/ @") {
		return fmt.Errorf("the provider must be at most %d bytes without spaces, slashes and at signs", events.MaxName)
	}
	return nil
}

func (c *GroupsConfig) aliases() ([]events.Alias, error) {
	var list []events.Alias
	for _, p := range sortedKeys(c.Aliases) {
		provider := CanonicalProvider(p)
		if err := checkProvider(provider); err != nil {
			return nil, fmt.Errorf("aliases: %w", err)
		}
		for _, name := range sortedKeys(c.Aliases[p]) {
			a := events.Alias{Provider: provider, Name: CanonicalModel(name), Model: CanonicalModel(c.Aliases[p][name])}
			if err := errors.Join(CheckID("the name", a.Name), CheckID("the model", a.Model)); err != nil {
				return nil, fmt.Errorf("aliases.%s: %q: %w", p, name, err)
			}
			list = append(list, a)
		}
	}
	slices.SortFunc(list, func(a, b events.Alias) int {
		return strings.Compare(a.Provider+"\x00"+a.Name, b.Provider+"\x00"+b.Name)
	})
	for i := 1; i < len(list); i++ {
		if list[i].Provider == list[i-1].Provider && list[i].Name == list[i-1].Name {
			return nil, fmt.Errorf("aliases.%s: %q is given twice", list[i].Provider, list[i].Name)
		}
	}
	return list, nil
}

// ParseGroupsConfig reads what Groups.Configured holds, or a request's body.
// Unknown fields are refused.
func ParseGroupsConfig(doc []byte) (*GroupsConfig, error) {
	c := new(GroupsConfig)
	return c, strictJSON(doc, c)
}

// Config returns the operator's part of the definitions in force.
func (g *Groups) Config() (*GroupsConfig, error) { return ParseGroupsConfig(g.Configured) }

// Duration is a time.Duration written as "90s", "1h30m", "2d" or "1w".
type Duration time.Duration

// UnmarshalText parses a duration of at most 366 days; "0s" is none.
func (d *Duration) UnmarshalText(text []byte) error {
	if s := string(text); s == "0" || s == "0s" {
		*d = 0
		return nil
	}
	v, err := ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// MarshalText writes the shortest form that parses back.
func (d Duration) MarshalText() ([]byte, error) { return []byte(model.Duration(d).String()), nil }

// ParseDuration reads a duration such as "90m", "2d" or "1h30m": positive, at most
// 366 days.
func ParseDuration(s string) (time.Duration, error) {
	d, err := model.ParseDuration(s)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%q is no duration: write 90s, 15m, 1h30m or 2d", s)
	case d <= 0:
		return 0, fmt.Errorf("the duration %q is not positive", s)
	case time.Duration(d) > 366*24*time.Hour:
		return 0, fmt.Errorf("the duration %q is over 366 days", s)
	}
	return time.Duration(d), nil
}

func canonicalList(in []string, canonical func(string) string) []string {
	out := make([]string, 0, len(in))
	for _, s := range in {
		out = append(out, canonical(s))
	}
	slices.Sort(out)
	if out = slices.Compact(out); len(out) == 0 {
		return nil // as an empty list reads back
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// canonicalJSON returns the one form of a configuration: struct fields in order,
// map keys sorted.
func canonicalJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		// unreachable: the configuration types hold nothing that cannot be marshalled
		panic(err)
	}
	return b
}

func strictJSON(doc []byte, v any) error {
	if len(bytes.TrimSpace(doc)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("text after the JSON value")
	}
	return nil
}
