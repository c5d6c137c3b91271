package projection

import (
	"bytes"
	"cmp"
	"compress/flate"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/wire"
)

// DumpFormat is the version of the canonical dump. It rises with each kind of event and
// each version of a payload, too: a checkpoint stands for the records before it, and a
// version that does not know one of those must not take it.
const DumpFormat = 3

const dumpFields = 15

// Dump returns the canonical bytes of a state: two states are equal if and only if
// their dumps are. It is one value of package wire:
//
//	[format, log id, seq, hash, at, policy, its editions, groups, their editions, accounts, requests, keys, removed, suspects, returned]
//
// with accounts sorted bytewise by id, cells by target, editions and remembered ids
// oldest first, and returned quotas by provider, then target.
func (s *State) Dump() ([]byte, error) {
	c := wire.NewEncoder(nil)
	s.fields(c)
	return c.Finish()
}

// Pack returns the dump in less room, for keeping it: about a fifth.
func (s *State) Pack() ([]byte, error) {
	dump, err := s.Dump()
	if err != nil {
		return nil, err
	}
	out := bytes.NewBuffer([]byte{packed})
	w, err := flate.NewWriter(out, flate.BestSpeed)
	if err == nil {
		_, err = w.Write(dump)
	}
	if err == nil {
		err = w.Close()
	}
	return out.Bytes(), err
}

const (
	packed  = 0xc1    // begins what Pack returns, and no dump: no form of package wire has it
	maxDump = 1 << 30 // bytes: a state of ten million cells
)

// Load returns the state that a dump is of, packed or not. A dump of another format, or
// bytes that are none, are an error; whether they are the dump of a certain record, the
// caller must know.
func Load(dump []byte) (*State, error) {
	if len(dump) > 0 && dump[0] == packed {
		var err error
		if dump, err = io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(dump[1:])), maxDump)); err != nil {
			return nil, fmt.Errorf("the packed dump of a state: %w", err)
		}
	}
	s := NewState()
	c := wire.NewDecoder(dump)
	c.Share(wire.NewStrings())
	s.fields(c)
	if _, err := c.Finish(); err != nil {
		return nil, fmt.Errorf("the dump of a state: %w", err)
	}
	s.changed = nil
	return s, nil
}

// fields describes the dump, for writing it and for reading it into a new state.
func (s *State) fields(c *wire.Codec) {
	fields, format := c.Len(dumpFields, 1<<16), uint64(DumpFormat)
	if c.Uint64(&format); format != DumpFormat { // another has other fields
		c.Fail(fmt.Errorf("format %d, and this version of Abeyance reads %d", format, DumpFormat))
		return
	}
	if fields != dumpFields {
		c.Fail(fmt.Errorf("%w: %d fields where %d are due", wire.ErrMalformed, fields, dumpFields))
		return
	}
	c.String(&s.head.Log, events.MaxName)
	wire.Uint(c, &s.head.Seq)
	c.Fixed(s.head.Hash[:])
	c.Time(&s.head.At)
	s.definitions(c)
	n := c.Len(s.Len(), MaxAccounts)
	if !c.Decoding() {
		for a := range s.Accounts("") {
			a.fields(c)
		}
	} else {
		for i := 0; i < n && c.Err() == nil; i++ {
			a := new(Account)
			a.fields(c)
			s.put(a.ID, a)
		}
	}
	recentFields(c, &s.requests, requestKeyText(), func(seq *events.Seq) { wire.Uint(c, seq) })
	recentFields(c, &s.keys, plainText(), func(u *keyUse) {
		c.Array(3)
		c.Fixed(u.request[:])
		wire.Uint(c, &u.first)
		wire.Uint(c, &u.last)
	})
	recentFields(c, &s.removed, plainText(), func(m *Mark) { m.fields(c) })
	recentFields(c, &s.suspects, suspectKeyText(), func(x *suspect) {
		c.Array(2)
		wire.Slice(c, &x.blamed, maxBlamed, func(c *wire.Codec, b *blame) {
			c.Array(2)
			c.String(&b.account, events.MaxID)
			c.Time(&b.at)
		})
		c.Bool(&x.cleared)
	})
	s.returned.fields(c)
}

// definitions describes the policy and the groups in force, as their events do, and since
// when which version was: the newest editions are those in force.
func (s *State) definitions(c *wire.Codec) {
	policy := &events.PolicyDefined{Version: s.policy.Version, Policy: s.policy.Policy, Configured: s.policy.Configured}
	events.Payload(c, policy)
	s.policyEditions.fields(c)
	groups := &events.GroupsDefined{
		Version: s.groups.Version, Preset: s.groups.Preset, Groups: s.groups.List, Aliases: s.groups.Aliases, Configured: s.groups.Configured,
	}
	events.Payload(c, groups)
	s.groupsEditions.fields(c)
	if groups.Kept != 0 || groups.Moved != 0 || groups.Merged != 0 {
		c.Fail(errors.New("it counts moved cells, which a state does not")) // a record's, not a dump's
	}
	if c.Decoding() && c.Err() == nil {
		s.policy = &Policy{
			Version: policy.Version, Seq: s.policyEditions.newest().seq, Policy: policy.Policy, Configured: policy.Configured,
		}
		s.groups = newGroups(groups)
		s.groups.Seq = s.groupsEditions.newest().seq
	}
}

func (r *returned) fields(c *wire.Codec) {
	list := slices.SortedFunc(maps.Keys(*r), func(a, b pool) int {
		return cmp.Or(strings.Compare(a.provider, b.provider), strings.Compare(a.target, b.target))
	})
	wire.Slice(c, &list, maxReturned, func(c *wire.Codec, p *pool) {
		m := (*r)[*p]
		c.Array(3)
		c.String(&p.provider, events.MaxName)
		c.String(&p.target, events.MaxTarget)
		m.fields(c)
		if c.Decoding() {
			*r = r.with(*p, m)
		}
	})
}

// Hash returns the SHA-256 of the canonical dump.
func (s *State) Hash() (events.Hash, error) {
	b, err := s.Dump()
	return sha256.Sum256(b), err
}

// keyText is how the key of a memory is dumped.
type keyText[K any] struct {
	write func(K) string
	read  func(string) K
}

func plainText() keyText[string] {
	same := func(k string) string { return k }
	return keyText[string]{same, same}
}

// Keys of two parts are joined by a NUL, which neither holds.

func requestKeyText() keyText[requestKey] {
	return keyText[requestKey]{
		func(k requestKey) string { return k.account + "\x00" + k.request },
		func(text string) requestKey {
			account, request, _ := strings.Cut(text, "\x00")
			return requestKey{account, request}
		},
	}
}

func suspectKeyText() keyText[suspectKey] {
	return keyText[suspectKey]{
		func(k suspectKey) string { return k.request + "\x00" + string(k.class) },
		func(text string) suspectKey {
			request, class, _ := strings.Cut(text, "\x00")
			return suspectKey{request: request, class: events.Class(class)}
		},
	}
}

func recentFields[K comparable, V any](c *wire.Codec, r *recent[K, V], text keyText[K], value func(*V)) {
	n := c.Len(r.len(), MaxRecent)
	entry := func(k K, v V) (K, V) {
		c.Array(2)
		key := ""
		if !c.Decoding() {
			key = text.write(k)
		}
		c.String(&key, 2*events.MaxID+1)
		value(&v)
		return text.read(key), v
	}
	if !c.Decoding() {
		for k, v := range r.all() {
			entry(k, v)
		}
		return
	}
	for i := 0; i < n && c.Err() == nil; i++ {
		var k K
		var v V
		r.set(entry(k, v))
	}
}

// maxCells bounds the cells of one account when a dump is read: one per model, group
// and "*", with much room.
const maxCells = 1 << 16

func (a *Account) fields(c *wire.Codec) {
	c.Array(5)
	c.String(&a.ID, events.MaxID)
	added := &events.AccountAdded{Spec: a.Spec}
	events.Payload(c, added)
	if c.Decoding() {
		a.Spec = added.Spec // a published account is only read
	}
	wire.Uint(c, &a.AddedSeq)
	c.Time(&a.AddedAt)
	wire.Slice(c, &a.Cells, maxCells, func(c *wire.Codec, k *Cell) { k.fields(c) })
}

func (m *Mark) fields(c *wire.Codec) {
	c.Array(2)
	wire.Uint(c, &m.Seq)
	c.Time(&m.At)
}

func (k *Cell) fields(c *wire.Codec) {
	c.Array(11)
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
	k.Lifted.fields(c)
	k.Recheck.fields(c)
	c.Uint64(&k.Detail)
	wire.Uint(c, &k.LastSeq)
}

func coolingFields(c *wire.Codec, k *Cooling) {
	c.Array(15)
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
	wire.Uint(c, &k.Sent)
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
