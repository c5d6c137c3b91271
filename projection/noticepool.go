package projection

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
)

// noticePools counts, per provider and enabled group, the configured accounts and those
// that can serve, as of the time of the fold. It counts nothing if nobody is to be told.
type noticePools struct {
	fold *Notices
	// counts :: provider, group → its accounts
	counts  map[pool]*poolCount
	changed []pool     // since the last settle
	ended   EpisodeEnd // how what ends now does
}

// poolCount is the accounts of a pool.
type poolCount struct {
	total, usable int
	exhausted     bool // as far as was told
	group         bool // still defined and enabled
}

func (p *noticePools) begin(n *Notices) {
	p.fold = n
	if n.filter.follows(NoticeExhausted) {
		p.counts = map[pool]*poolCount{}
	}
}

// count adds an account, as it stands at the time of the fold, n times.
func (p *noticePools) count(a *Account, n int) {
	if p.counts == nil || !a.listed() {
		return
	}
	for _, g := range p.fold.state.groups.Of(a.Spec.Provider) {
		key := pool{a.Spec.Provider, g.ID}
		c := p.counts[key]
		if c == nil {
			c = new(poolCount)
			p.counts[key] = c
		}
		c.group = true
		c.total += n
		if a.Usable(&Resolution{Provider: key.provider, Group: key.target}, p.fold.at) {
			c.usable += n
		}
		p.changed = append(p.changed, key)
	}
}

// over counts the accounts anew of which blocks ended between two instants.
func (p *noticePools) over(ended []*openBlock, was, at time.Time) {
	if p.counts == nil {
		return
	}
	seen := map[string]bool{}
	for _, o := range ended {
		a := p.fold.state.Account(o.Account)
		if seen[o.Account] || !a.listed() {
			continue
		}
		seen[o.Account] = true
		for _, g := range p.fold.state.groups.Of(a.Spec.Provider) {
			r := &Resolution{Provider: a.Spec.Provider, Group: g.ID}
			if key := (pool{a.Spec.Provider, g.ID}); !a.Usable(r, was) && a.Usable(r, at) {
				p.counts[key].usable++
				p.changed = append(p.changed, key)
			}
		}
	}
}

// recount counts all accounts by new groups.
func (p *noticePools) recount() {
	if p.counts == nil {
		return
	}
	for key, c := range p.counts {
		*c = poolCount{exhausted: c.exhausted}
		p.changed = append(p.changed, key)
	}
	for a := range p.fold.state.Accounts("") {
		p.count(a, 1)
	}
}

// settle looks at the pools that changed, and tells which are exhausted now, and which
// no more.
func (p *noticePools) settle(tell bool) {
	slices.SortFunc(p.changed, func(a, b pool) int {
		return strings.Compare(a.provider+"\x00"+a.target, b.provider+"\x00"+b.target)
	})
	for _, key := range slices.Compact(p.changed) {
		c := p.counts[key]
		is := c.total > 0 && c.usable == 0
		if is != c.exhausted && tell {
			p.tell(key, c, is)
		}
		if c.exhausted = is; c.total == 0 {
			delete(p.counts, key)
		}
	}
	p.changed = p.changed[:0]
}

func (p *noticePools) tell(key pool, c *poolCount, exhausted bool) {
	n := p.fold
	if !n.concerns(key.provider, key.target) || exhausted && !n.filter.has(NoticeExhausted) {
		return
	}
	x := Notice{
		Kind: NoticeExhausted, Subject: "group\x00" + key.provider + "\x00" + key.target, At: n.at,
		Provider: key.provider, Group: key.target, Over: !exhausted, trigger: p.trigger(),
	}
	if exhausted {
		x.Since = n.at
		x.Sentence, x.Until = n.exhaustedSentence(key)
	} else {
		x.How = p.ended
		switch {
		case !c.group:
			x.How = EndRegrouped
		case c.total == 0:
			x.How = EndRemoved
		}
		x.Sentence = fmt.Sprintf("Group %s of %s can be served again by %d of %d %s.",
			key.target, key.provider, c.usable, c.total, plural(c.total, "account"))
	}
	n.emit(x)
}

// howServed says how a record lets a group be served again; empty for an account that
// came, or was switched on.
func howServed(r events.Record) EpisodeEnd {
	switch r.Event.(type) {
	case *events.AccountAdded, *events.AccountChanged, *events.Imported, *events.LimitObserved, *events.Suspended:
		return ""
	}
	return howEnded(r, nil)
}

// trigger names what made a pool change: a record, or an instant that passed.
func (p *noticePools) trigger() string {
	n := p.fold
	if n.state.head.Seq > n.before.Seq {
		return fmt.Sprintf("seq:%d", n.state.head.Seq)
	}
	return fmt.Sprintf("at:%d", n.at.UnixNano())
}

// concerns reports whether the filter lets a cell, or a group, of a provider pass.
func (n *Notices) concerns(provider, target string) bool {
	f := &n.filter
	return (f.Provider == "" || f.Provider == provider) &&
		(f.Group == "" || target == events.TargetAll || n.groupOf(provider, target) == f.Group)
}

// groupOf is the group that a target is, or is of; empty for one of no or of all groups.
func (n *Notices) groupOf(provider, target string) string {
	if model, ok := strings.CutPrefix(target, events.ModelTarget); ok {
		return n.state.groups.Resolve(provider, model).Group
	}
	if target == events.TargetAll {
		return ""
	}
	return target
}
