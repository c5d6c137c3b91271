package projection

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
)

// PolicyConfig is the operator's part of the policy: what a config file or a PUT
// says. Everything omitted is the default's.
type PolicyConfig struct {
	RulesConfig `yaml:",inline"`
	// Providers overrides the rules per provider ("codex") or group of a provider
	// ("codex/codex-main"); the latter inherits from the former.
	Providers map[string]RulesConfig `json:"providers,omitempty" yaml:"providers,omitempty"`
}

// RulesConfig overrides some rules. A nil class is inherited.
type RulesConfig struct {
	QuotaExhausted *ClassConfig  `json:"quota_exhausted,omitempty" yaml:"quota_exhausted,omitempty"`
	RateLimited    *ClassConfig  `json:"rate_limited,omitempty" yaml:"rate_limited,omitempty"`
	Capacity       *ClassConfig  `json:"capacity,omitempty" yaml:"capacity,omitempty"`
	Auth           *ClassConfig  `json:"auth,omitempty" yaml:"auth,omitempty"`
	Payment        *ClassConfig  `json:"payment,omitempty" yaml:"payment,omitempty"`
	Forbidden      *ClassConfig  `json:"forbidden,omitempty" yaml:"forbidden,omitempty"`
	Overloaded     *ClassConfig  `json:"overloaded,omitempty" yaml:"overloaded,omitempty"`
	ServerError    *ClassConfig  `json:"server_error,omitempty" yaml:"server_error,omitempty"`
	NotFound       *ClassConfig  `json:"not_found,omitempty" yaml:"not_found,omitempty"`
	BadRequest     *ClassConfig  `json:"bad_request,omitempty" yaml:"bad_request,omitempty"`
	Poison         *PoisonConfig `json:"poison,omitempty" yaml:"poison,omitempty"`
	Probe          *ProbeConfig  `json:"probe,omitempty" yaml:"probe,omitempty"`
}

// ClassConfig is what one class does: the word "none", or the fields.
type ClassConfig struct {
	None   bool         `json:"-" yaml:"-"`
	Bound  *BoundConfig `json:"bound,omitempty" yaml:"bound,omitempty"`
	Ladder []Duration   `json:"ladder,omitempty" yaml:"ladder,omitempty"` // first step, cap
	Jitter *Duration    `json:"jitter,omitempty" yaml:"jitter,omitempty"`
	After  *int         `json:"after,omitempty" yaml:"after,omitempty"`
	Within *Duration    `json:"within,omitempty" yaml:"within,omitempty"`
	Hold   *[]string    `json:"hold,omitempty" yaml:"hold,omitempty"`
}

// BoundConfig is one duration for every window, or one per window.
type BoundConfig struct {
	All      *Duration `json:"-" yaml:"-"`
	FiveHour *Duration `json:"5h,omitempty" yaml:"5h,omitempty"`
	Daily    *Duration `json:"daily,omitempty" yaml:"daily,omitempty"`
	Weekly   *Duration `json:"weekly,omitempty" yaml:"weekly,omitempty"`
	Monthly  *Duration `json:"monthly,omitempty" yaml:"monthly,omitempty"`
	Unknown  *Duration `json:"unknown,omitempty" yaml:"unknown,omitempty"`
}

// PoisonConfig overrides the poison guard; accounts 0 turns it off.
type PoisonConfig struct {
	Accounts *int      `json:"accounts,omitempty" yaml:"accounts,omitempty"`
	Within   *Duration `json:"within,omitempty" yaml:"within,omitempty"`
}

// ProbeConfig overrides the pacing of probes.
type ProbeConfig struct {
	Mode           *string    `json:"mode,omitempty" yaml:"mode,omitempty"` // off, when-empty, always
	Empty          []Duration `json:"empty,omitempty" yaml:"empty,omitempty"`
	Background     []Duration `json:"background,omitempty" yaml:"background,omitempty"`
	OnlyLongerThan *Duration  `json:"only_longer_than,omitempty" yaml:"only_longer_than,omitempty"`
	Spacing        *Duration  `json:"spacing,omitempty" yaml:"spacing,omitempty"`
	Claim          *Duration  `json:"claim,omitempty" yaml:"claim,omitempty"`
}

type plainClass ClassConfig

// UnmarshalYAML takes "none" or the fields. The decoder's own strictness applies.
func (c *ClassConfig) UnmarshalYAML(decode func(any) error) error {
	var word string
	if decode(&word) == nil {
		return c.word(word)
	}
	return decode((*plainClass)(c))
}

// UnmarshalJSON takes "none" or the fields; unknown ones are refused.
func (c *ClassConfig) UnmarshalJSON(doc []byte) error {
	var word string
	if json.Unmarshal(doc, &word) == nil {
		return c.word(word)
	}
	return strictJSON(doc, (*plainClass)(c))
}

func (c *ClassConfig) word(w string) error {
	if w != "none" {
		return fmt.Errorf("%q is neither the word none nor a set of rules", w)
	}
	c.None = true
	return nil
}

// MarshalJSON writes what UnmarshalJSON reads.
func (c ClassConfig) MarshalJSON() ([]byte, error) {
	if c.None {
		return json.Marshal("none")
	}
	return json.Marshal(plainClass(c))
}

type plainBound BoundConfig

// UnmarshalYAML takes one duration, or one per window.
func (b *BoundConfig) UnmarshalYAML(decode func(any) error) error {
	var word string
	if decode(&word) == nil {
		return b.one(word)
	}
	return decode((*plainBound)(b))
}

// UnmarshalJSON takes one duration, or one per window; unknown ones are refused.
func (b *BoundConfig) UnmarshalJSON(doc []byte) error {
	var word string
	if json.Unmarshal(doc, &word) == nil {
		return b.one(word)
	}
	return strictJSON(doc, (*plainBound)(b))
}

func (b *BoundConfig) one(word string) error {
	d, err := ParseDuration(word)
	b.All = new(Duration(d))
	return err
}

// MarshalJSON writes what UnmarshalJSON reads.
func (b BoundConfig) MarshalJSON() ([]byte, error) {
	if b.All != nil {
		return json.Marshal(b.All)
	}
	return json.Marshal(plainBound(b))
}

// define merges the configuration over the defaults and checks the result. The
// event lacks its version.
func (c *PolicyConfig) define() (*events.PolicyDefined, error) {
	e := &events.PolicyDefined{Configured: canonicalJSON(c)}
	var err error
	if e.Policy.Default, err = c.over(defaultRules()); err != nil {
		return nil, err
	}
	// Providers come before their groups in the sorted keys, so a group's parent is
	// merged when it is needed.
	merged := map[string]events.Rules{}
	keys, err := c.matches()
	if err != nil {
		return nil, err
	}
	for _, match := range sortedKeys(keys) {
		provider, _, _ := strings.Cut(match, "/")
		base, ok := merged[provider]
		if !ok {
			base = e.Policy.Default
		}
		if merged[match], err = new(c.Providers[keys[match]]).over(base); err != nil {
			return nil, fmt.Errorf("providers.%s: %w", keys[match], err)
		}
	}
	for _, match := range sortedKeys(merged) {
		e.Policy.Overrides = append(e.Policy.Overrides, events.Override{Match: match, Rules: merged[match]})
	}
	return e, nil
}

// matches returns the canonical form of each key of Providers, with the key as it
// is written.
func (c *PolicyConfig) matches() (map[string]string, error) {
	keys := map[string]string{}
	for _, key := range sortedKeys(c.Providers) {
		provider, group, isGroup := strings.Cut(key, "/")
		match := CanonicalProvider(provider)
		if err := checkProvider(match); err != nil {
			return nil, fmt.Errorf("providers.%s: %w", key, err)
		}
		if isGroup {
			id := CanonicalGroup(group)
			if !validGroupID(id) {
				return nil, fmt.Errorf("providers.%s: %q is no group id", key, group)
			}
			match += "/" + id
		}
		if other, twice := keys[match]; twice {
			return nil, fmt.Errorf("providers.%s: says the same as providers.%s", key, other)
		}
		keys[match] = key
	}
	return keys, nil
}

// over returns base with the configured rules over it.
func (c *RulesConfig) over(base events.Rules) (events.Rules, error) {
	r := base
	r.Classes = slices.Clone(base.Classes)
	for i := range r.Classes {
		rule := &r.Classes[i]
		if k := c.class(rule.Class); k != nil {
			if err := k.apply(rule); err != nil {
				return r, fmt.Errorf("%s: %w", rule.Class, err)
			}
		}
	}
	if err := c.Poison.apply(&r.Poison); err != nil {
		return r, fmt.Errorf("poison: %w", err)
	}
	if err := c.Probe.apply(&r.Probe); err != nil {
		return r, fmt.Errorf("probe: %w", err)
	}
	return r, nil
}

func (c *RulesConfig) class(k events.Class) *ClassConfig {
	switch k {
	case events.ClassQuotaExhausted:
		return c.QuotaExhausted
	case events.ClassRateLimited:
		return c.RateLimited
	case events.ClassCapacity:
		return c.Capacity
	case events.ClassAuth:
		return c.Auth
	case events.ClassPayment:
		return c.Payment
	case events.ClassForbidden:
		return c.Forbidden
	case events.ClassOverloaded:
		return c.Overloaded
	case events.ClassServerError:
		return c.ServerError
	case events.ClassNotFound:
		return c.NotFound
	case events.ClassBadRequest:
		return c.BadRequest
	}
	return nil
}

func (c *ClassConfig) apply(r *events.ClassRule) error {
	if c.None {
		*r = events.ClassRule{Class: r.Class}
		return nil
	}
	r.Blocks = true
	if c.Bound != nil {
		c.Bound.apply(&r.Bound)
	}
	if err := setPair(c.Ladder, &r.First, &r.Cap); err != nil {
		return fmt.Errorf("ladder: %w", err)
	}
	setDuration(c.Jitter, &r.Jitter)
	setDuration(c.Within, &r.Within)
	if c.After != nil {
		r.After = *c.After
	}
	if c.Hold != nil {
		r.Hold = canonicalList(*c.Hold, strings.ToLower)
		for _, reason := range r.Hold {
			if !slices.Contains(events.Reasons(), reason) {
				return fmt.Errorf("hold: %q is none of the reasons %s", reason, strings.Join(events.Reasons(), ", "))
			}
		}
	}
	switch {
	case min(r.Bound.FiveHour, r.Bound.Daily, r.Bound.Weekly, r.Bound.Monthly, r.Bound.Unknown) == 0:
		return errors.New("a class that blocks needs a bound for every window, or one for all")
	case r.First == 0:
		return errors.New("a class that blocks needs a ladder: [first step, cap]")
	case r.After < 0 || r.After > 100:
		return fmt.Errorf("after %d is not within 0 and 100", r.After)
	case r.After > 1 && r.Within == 0:
		return errors.New("after needs within")
	}
	return nil
}

func (b *BoundConfig) apply(to *events.Bound) {
	for _, w := range []struct {
		from *Duration
		to   *time.Duration
	}{
		{b.FiveHour, &to.FiveHour},
		{b.Daily, &to.Daily},
		{b.Weekly, &to.Weekly},
		{b.Monthly, &to.Monthly},
		{b.Unknown, &to.Unknown},
	} {
		setDuration(b.All, w.to)
		setDuration(w.from, w.to)
	}
}

func (c *PoisonConfig) apply(r *events.PoisonRule) error {
	if c == nil {
		return nil
	}
	if c.Accounts != nil {
		r.Accounts = *c.Accounts
	}
	setDuration(c.Within, &r.Within)
	if r.Accounts < 0 || r.Accounts == 1 || r.Accounts > 100 {
		return fmt.Errorf("accounts %d is neither 0 nor within 2 and 100", r.Accounts)
	}
	return nil
}

func (c *ProbeConfig) apply(r *events.ProbeRule) error {
	if c == nil {
		return nil
	}
	if c.Mode != nil {
		r.Mode = *c.Mode
	}
	setDuration(c.OnlyLongerThan, &r.OnlyLongerThan)
	setDuration(c.Spacing, &r.Spacing)
	setDuration(c.Claim, &r.Claim)
	if !slices.Contains([]string{"off", "when-empty", "always"}, r.Mode) {
		return fmt.Errorf("mode %q is not off, when-empty or always", r.Mode)
	}
	return errors.Join(
		setPair(c.Empty, &r.EmptyFirst, &r.EmptyCap),
		setPair(c.Background, &r.BackgroundFirst, &r.BackgroundCap))
}

func setDuration(from *Duration, to *time.Duration) {
	if from != nil {
		*to = time.Duration(*from)
	}
}

func setPair(from []Duration, first, limit *time.Duration) error {
	if from == nil {
		return nil
	}
	if len(from) != 2 || from[0] > from[1] {
		return errors.New("is not [first step, cap] with the first at most the cap")
	}
	*first, *limit = time.Duration(from[0]), time.Duration(from[1])
	return nil
}

// ParsePolicyConfig reads what Policy.Configured holds, or a request's body.
// Unknown fields are refused.
func ParsePolicyConfig(doc []byte) (*PolicyConfig, error) {
	c := new(PolicyConfig)
	return c, strictJSON(doc, c)
}

// Config returns the operator's part of the policy in force.
func (p *Policy) Config() (*PolicyConfig, error) { return ParsePolicyConfig(p.Configured) }
