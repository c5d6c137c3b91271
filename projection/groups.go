package projection

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/abeyance/abeyance/events"
)

// maxResolved bounds the names whose resolution is remembered.
const maxResolved = 4096

// Groups is a set of definitions in force: immutable, but for a cache of
// resolutions that has no influence on answers.
type Groups struct {
	Version    uint64
	Seq        events.Seq // of the record that defined them
	Preset     string
	List       []events.Group // sorted by id
	Aliases    []events.Alias // sorted by provider, name
	Configured []byte

	// byProvider :: provider → its enabled groups, highest priority first, then id
	byProvider map[string][]events.Group
	providers  []string // those of byProvider, sorted
	// aliases :: provider → name → model
	aliases map[string]map[string]string
	// resolved :: (provider, model) as given → its resolution; replaced whole, so
	// that reading it takes no lock.
	resolved atomic.Pointer[map[ModelName]*Resolution]
}

// ModelName is a model as a request or a record names it.
type ModelName struct{ Provider, Model string }

// Resolution is what a (provider, model) stands for.
type Resolution struct {
	Provider string // canonical
	Model    string // the alias target, normalised
	Group    string // the id of its group; empty if none matches
	// Target is what a group-scope signal blocks: the group, or ModelTarget if there
	// is none. Empty for an empty model.
	Target string
	// ModelTarget is "model:" and the model; empty for an empty model.
	ModelTarget string

	lane int // of the provider's pools: 0 without a group, else 1 + the group's place
	pool int // the provider's place in Groups.providers; -1 for one without groups
}

func noGroups() *Groups { return newGroups(&events.GroupsDefined{}) }

// newGroups indexes the definitions of an event.
func newGroups(e *events.GroupsDefined) *Groups {
	g := &Groups{
		Version: e.Version, Preset: e.Preset, List: e.Groups, Aliases: e.Aliases, Configured: e.Configured,
		byProvider: map[string][]events.Group{}, aliases: map[string]map[string]string{},
	}
	for _, group := range e.Groups {
		for _, p := range group.Providers {
			if group.Enabled {
				g.byProvider[p] = append(g.byProvider[p], group)
			}
		}
	}
	for _, list := range g.byProvider {
		slices.SortFunc(list, func(a, b events.Group) int {
			return cmp.Or(cmp.Compare(b.Priority, a.Priority), strings.Compare(a.ID, b.ID))
		})
	}
	g.providers = sortedKeys(g.byProvider)
	for _, a := range e.Aliases {
		if g.aliases[a.Provider] == nil {
			g.aliases[a.Provider] = map[string]string{}
		}
		g.aliases[a.Provider][a.Name] = a.Model
	}
	g.resolved.Store(&map[ModelName]*Resolution{})
	return g
}

// Group returns the definition of an id, or nil.
func (g *Groups) Group(id string) *events.Group {
	i, ok := slices.BinarySearchFunc(g.List, id, func(x events.Group, id string) int { return strings.Compare(x.ID, id) })
	if !ok {
		return nil
	}
	return &g.List[i]
}

// Of returns the enabled groups of a canonical provider, highest priority first,
// then by id.
func (g *Groups) Of(provider string) []events.Group { return g.byProvider[provider] }

// serves reports whether a group id is enabled for a canonical provider.
func (g *Groups) serves(id, provider string) bool {
	d := g.Group(id)
	return d != nil && d.Enabled && slices.Contains(d.Providers, provider)
}

// Resolve names the group of a model. It is deterministic: provider and model are
// trimmed and lower-cased, a trailing thinking suffix "(...)" is removed, and both
// the alias target and the name itself are tried against the groups by priority,
// then id; the first match wins, disabled groups are skipped. A model that nothing
// matches stands for itself: there is no catch-all.
//
// It takes no lock, and allocates only for names not met before.
func (g *Groups) Resolve(provider, model string) *Resolution {
	name := ModelName{provider, model}
	known := g.resolved.Load()
	if r := (*known)[name]; r != nil {
		return r
	}
	r := g.resolve(provider, model)
	if len(provider) > events.MaxID || len(model) > events.MaxID {
		return r
	}
	for len(*known) < maxResolved {
		next := make(map[ModelName]*Resolution, len(*known)+1)
		maps.Copy(next, *known)
		// The key must not keep the caller's larger buffers alive.
		next[ModelName{strings.Clone(provider), strings.Clone(model)}] = r
		if g.resolved.CompareAndSwap(known, &next) {
			break
		}
		known = g.resolved.Load()
	}
	return r
}

func (g *Groups) resolve(provider, model string) *Resolution {
	r := &Resolution{Provider: CanonicalProvider(provider)}
	r.pool = slices.Index(g.providers, r.Provider)
	raw := CanonicalModel(model)
	r.Model = raw
	if to, ok := g.aliases[r.Provider][raw]; ok {
		r.Model = to
	}
	if r.Model == "" {
		return r
	}
	r.ModelTarget = events.ModelTarget + r.Model
	r.Target = r.ModelTarget
	for i, group := range g.byProvider[r.Provider] {
		if matches(group.Patterns, r.Model) || matches(group.Patterns, raw) {
			r.Group, r.Target, r.lane = group.ID, group.ID, i+1
			break
		}
	}
	return r
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matchWildcards(name, p) })
}

// matchWildcards reports whether a pattern covers the whole name. "*" stands for any
// characters, "?" for one. A mismatch goes back to the last star alone, since what
// an earlier one could take, the last one can: the work is at most the product of
// the lengths, for names are chosen by clients.
func matchWildcards(name, pattern string) bool {
	star, retry := "", "" // what follows the last star, and where in name to try it next
	starred := false
	for name != "" {
		p, pn := utf8.DecodeRuneInString(pattern)
		r, rn := utf8.DecodeRuneInString(name)
		switch {
		case pn > 0 && p == '*':
			pattern = pattern[pn:]
			star, retry, starred = pattern, name, true
		case pn > 0 && (p == '?' || p == r):
			pattern, name = pattern[pn:], name[rn:]
		case starred:
			_, n := utf8.DecodeRuneInString(retry)
			retry = retry[n:]
			pattern, name = star, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern, "*") == ""
}

// CanonicalProvider returns the id that a provider's name stands for: trimmed,
// lower case, and "gemini-api" for "gemini".
func CanonicalProvider(name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	if name == "gemini" {
		return "gemini-api"
	}
	return name
}

// CanonicalModel returns a model name trimmed, in lower case and without a
// trailing thinking suffix such as "(high)" or "(8192)". A name that holds what looks
// like a secret or an address becomes a hash: it may stand in the log as a target.
func CanonicalModel(name string) string {
	name = strings.TrimSpace(name)
	if i := strings.LastIndexByte(name, '('); i > 0 && strings.HasSuffix(name, ")") {
		name = strings.TrimSpace(name[:i])
	}
	return strings.ToLower(opaque(name))
}

// CanonicalGroup returns the id that a group's name stands for, taking the ids of
// older tools for the three families of the Google providers.
func CanonicalGroup(id string) string {
	switch id = strings.ToLower(strings.TrimSpace(id)); id {
	case "claude_45", "google-claude":
		return "claude"
	case "g3_pro", "google-gemini-pro":
		return "gemini-pro"
	case "g3_flash", "google-gemini-flash":
		return "gemini-flash"
	default:
		return id
	}
}

// CanonicalTarget returns the target that an operator's text stands for: "*",
// "model:NAME" with a canonical name, or a group id.
func CanonicalTarget(t string) string {
	t = strings.TrimSpace(t)
	if len(t) >= len(events.ModelTarget) && strings.EqualFold(t[:len(events.ModelTarget)], events.ModelTarget) {
		return events.ModelTarget + CanonicalModel(t[len(events.ModelTarget):])
	}
	if t == events.TargetAll {
		return t
	}
	return CanonicalGroup(t)
}
