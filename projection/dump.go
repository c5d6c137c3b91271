package projection

import (
	"cmp"
	"crypto/sha256"
	"maps"
	"slices"
	"strings"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/wire"
)

// DumpFormat is the version of the canonical dump.
const DumpFormat = 1

// Dump returns the canonical bytes of a state: two states are equal if and only if
// their dumps are. It is one value of package wire:
//
//	[format, log id, seq, hash, at, policy, groups, accounts, requests, keys, removed, suspects, returned]
//
// with accounts sorted bytewise by id, cells by target, remembered ids oldest
// first, and returned quotas by provider, then target.
func (s *State) Dump() ([]byte, error) {
	c := wire.NewEncoder(nil)
	c.Array(13)
	format := uint64(DumpFormat)
	c.Uint64(&format)
	c.String(&s.head.Log, events.MaxName)
	wire.Uint(c, &s.head.Seq)
	c.Fixed(s.head.Hash[:])
	c.Time(&s.head.At)
	policy := &events.PolicyDefined{Version: s.policy.Version, Policy: s.policy.Policy, Configured: s.policy.Configured}
	events.Payload(c, policy)
	groups := &events.GroupsDefined{
		Version: s.groups.Version, Preset: s.groups.Preset, Groups: s.groups.List, Aliases: s.groups.Aliases, Configured: s.groups.Configured,
	}
	events.Payload(c, groups)
	c.Len(s.Len(), MaxAccounts)
	for a := range s.Accounts("") {
		a.fields(c)
	}
	dumpRecent(c, &s.requests, requestKey.joined, func(seq *events.Seq) { wire.Uint(c, seq) })
	dumpRecent(c, &s.keys, plainKey, func(u *keyUse) {
		c.Array(3)
		c.Fixed(u.request[:])
		wire.Uint(c, &u.first)
		wire.Uint(c, &u.last)
	})
	dumpRecent(c, &s.removed, plainKey, func(m *Mark) { m.fields(c) })
	dumpRecent(c, &s.suspects, suspectKey.joined, func(x *suspect) {
		c.Array(2)
		wire.Slice(c, &x.blamed, maxBlamed, func(c *wire.Codec, b *blame) {
			c.Array(2)
			c.String(&b.account, events.MaxID)
			c.Time(&b.at)
		})
		c.Bool(&x.cleared)
	})
	s.returned.fields(c)
	return c.Finish()
}

func (r returned) fields(c *wire.Codec) {
	c.Len(len(r), maxReturned)
	pools := slices.SortedFunc(maps.Keys(r), func(a, b pool) int {
		return cmp.Or(strings.Compare(a.provider, b.provider), strings.Compare(a.target, b.target))
	})
	for _, p := range pools {
		m := r[p]
		c.Array(3)
		c.String(&p.provider, events.MaxName)
		c.String(&p.target, events.MaxTarget)
		m.fields(c)
	}
}

// Hash returns the SHA-256 of the canonical dump.
func (s *State) Hash() (events.Hash, error) {
	b, err := s.Dump()
	return sha256.Sum256(b), err
}

// joined is how a key of two parts is dumped: neither holds a NUL.
func (k requestKey) joined() string { return k.account + "\x00" + k.request }
func (k suspectKey) joined() string { return k.request + "\x00" + string(k.class) }
func plainKey(key string) string    { return key }

func dumpRecent[K comparable, V any](c *wire.Codec, r *recent[K, V], key func(K) string, value func(*V)) {
	c.Len(r.len(), MaxRecent)
	for k, v := range r.all() {
		c.Array(2)
		text := key(k)
		c.String(&text, 2*events.MaxID+1)
		value(&v)
	}
}

func (a *Account) fields(c *wire.Codec) {
	c.Array(5)
	c.String(&a.ID, events.MaxID)
	added := &events.AccountAdded{Spec: a.Spec}
	events.Payload(c, added)
	wire.Uint(c, &a.AddedSeq)
	c.Time(&a.AddedAt)
	c.Len(len(a.Cells), len(a.Cells))
	for i := range a.Cells {
		a.Cells[i].fields(c)
	}
}

func (m *Mark) fields(c *wire.Codec) {
	c.Array(2)
	wire.Uint(c, &m.Seq)
	c.Time(&m.At)
}

func (k *Cell) fields(c *wire.Codec) {
	c.Array(10)
	c.String(&k.Target, events.MaxTarget)
	wire.Optional(c, &k.Cooling, coolingFields)
	wire.Optional(c, &k.Held, heldFields)
	wire.Optional(c, &k.Suspended, suspensionFields)
	c.Array(4)
	wire.Text(c, &k.Ladder.Class, events.MaxName)
	wire.Int(c, &k.Ladder.Step)
	c.Duration(&k.Ladder.Length)
	c.Time(&k.Ladder.Deadline)
	c.Array(2)
	wire.Int(c, &k.Strikes.Count)
	c.Time(&k.Strikes.Last)
	k.Ended.fields(c)
	k.Recheck.fields(c)
	c.Uint64(&k.Detail)
	wire.Uint(c, &k.LastSeq)
}

func coolingFields(c *wire.Codec, k *Cooling) {
	c.Array(14)
	c.Time(&k.Until)
	c.Time(&k.Reset)
	c.Time(&k.StartedAt)
	wire.Uint(c, &k.Started)
	wire.Uint(c, &k.Decided)
	k.Last.fields(c)
	wire.Text(c, &k.Class, events.MaxName)
	c.String(&k.Source, events.MaxName)
	c.Bool(&k.Clamped)
	wire.Int(c, &k.Step)
	c.String(&k.Provider, events.MaxName)
	c.String(&k.Model, events.MaxID)
	wire.Int(c, &k.Probes)
	c.Time(&k.Probed)
}

func heldFields(c *wire.Codec, h *Held) {
	c.Array(7)
	c.Time(&h.Since)
	wire.Uint(c, &h.Started)
	h.Last.fields(c)
	wire.Text(c, &h.Class, events.MaxName)
	c.String(&h.Reason, events.MaxName)
	c.String(&h.Provider, events.MaxName)
	c.String(&h.Model, events.MaxID)
}

func suspensionFields(c *wire.Codec, x *Suspension) {
	c.Array(6)
	c.String(&x.Reason, events.MaxText)
	c.String(&x.By, events.MaxName)
	c.String(&x.OnBehalfOf, events.MaxID)
	c.Time(&x.Since)
	c.Time(&x.Until)
	wire.Uint(c, &x.Seq)
}
