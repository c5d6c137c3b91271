package projection

import (
	"cmp"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/tidwall/btree"

	"github.com/abeyance/abeyance/events"
)

// MaxAccounts bounds the pool.
const MaxAccounts = 100_000

// MaxRecent is how many request ids, idempotency keys and removals are remembered.
const MaxRecent = 4096

// State is the fold of a log. [Engine] publishes snapshots, which never change; a
// working state is changed by [State.Apply] alone.
//
// The trees are copy-on-write: [State.Snapshot] is cheap, and the next change
// copies only the nodes on its path.
type State struct {
	head     events.Head
	groups   *Groups
	policy   *Policy
	accounts *btree.Map[string, *Account]
	// due orders the deadlines of all live blocks. It is derived from accounts.
	due *btree.BTreeG[deadline]
	// requests :: account NUL request id → the record that observed it
	requests *recent[events.Seq]
	// keys :: idempotency key → the command it came with
	keys *recent[keyUse]
	// suspects :: request id NUL class → the accounts that gave it
	suspects *recent[suspect]
	// removed :: account id → its removal
	removed *recent[Mark]
	// returned says where probes found a quota back, which is news for its siblings.
	returned returned
	// changed lists the accounts changed since the last snapshot.
	changed []string
}

// keyUse is the command that an idempotency key was used for.
type keyUse struct {
	request     events.Hash
	first, last events.Seq
}

// deadline is the end of one block.
type deadline struct {
	at              time.Time
	account, target string
	dimension       events.Dimension
}

func (d deadline) compare(o deadline) int {
	return cmp.Or(d.at.Compare(o.at), strings.Compare(d.account, o.account), strings.Compare(d.target, o.target),
		cmp.Compare(d.dimension, o.dimension))
}

// NewState returns the state of a log without records.
func NewState() *State {
	less := func(a, b deadline) bool { return a.compare(b) < 0 }
	return &State{
		groups:   noGroups(),
		policy:   noPolicy(),
		accounts: btree.NewMap[string, *Account](0),
		due:      btree.NewBTreeGOptions(less, btree.Options{NoLocks: true}),
		requests: newRecent[events.Seq](),
		keys:     newRecent[keyUse](),
		suspects: newRecent[suspect](),
		removed:  newRecent[Mark](),
	}
}

// Snapshot returns the present value of s, which later changes of s do not touch.
func (s *State) Snapshot() *State {
	c := *s
	c.accounts, c.due = s.accounts.Copy(), s.due.Copy()
	c.requests, c.keys, c.removed, c.suspects = s.requests.copy(), s.keys.copy(), s.removed.copy(), s.suspects.copy()
	c.changed = nil
	s.changed = nil
	return &c
}

// Head identifies the newest record folded in.
func (s *State) Head() events.Head { return s.head }

// Groups returns the definitions in force.
func (s *State) Groups() *Groups { return s.groups }

// Policy returns the policy in force.
func (s *State) Policy() *Policy { return s.policy }

// Account returns an account by its stored id, or nil.
func (s *State) Account(id string) *Account {
	a, _ := s.accounts.Get(id)
	return a
}

// Len returns the number of accounts.
func (s *State) Len() int { return s.accounts.Len() }

// Accounts yields the accounts whose id is at or after from, bytewise by id.
func (s *State) Accounts(from string) iter.Seq[*Account] {
	return func(yield func(*Account) bool) {
		s.accounts.Ascend(from, func(_ string, a *Account) bool { return yield(a) })
	}
}

// NextDeadline returns the earliest end of a block at or after which something may
// become usable, including one that has come and is not yet recorded; false if
// none has an end.
func (s *State) NextDeadline() (time.Time, bool) {
	d, ok := s.due.Min()
	return d.at, ok
}

// dueBetween yields the ids of accounts with a deadline in [from, to], at times more
// than once.
func (s *State) dueBetween(from, to time.Time) iter.Seq[string] {
	return func(yield func(string) bool) {
		s.due.Ascend(deadline{at: from}, func(d deadline) bool { return !d.at.After(to) && yield(d.account) })
	}
}

// dueAfter returns the earliest deadline after t; false if there is none.
func (s *State) dueAfter(t time.Time) (at time.Time, ok bool) {
	s.due.Ascend(deadline{at: t.Add(1)}, func(d deadline) bool {
		at, ok = d.at, true
		return false
	})
	return at, ok
}

// put stores a changed account, or removes it when b is nil, and keeps what is
// derived from it.
func (s *State) put(id string, b *Account) {
	if a := s.Account(id); a != nil {
		a.deadlines(func(d deadline) { s.due.Delete(d) })
	}
	s.changed = append(s.changed, id)
	if b == nil {
		s.accounts.Delete(id)
		return
	}
	s.accounts.Set(id, b)
	b.deadlines(func(d deadline) { s.due.Set(d) })
}

func (a *Account) deadlines(f func(deadline)) {
	for i := range a.Cells {
		c := &a.Cells[i]
		if c.Cooling != nil {
			f(deadline{c.Cooling.Until, a.ID, c.Target, events.DimensionCooling})
		}
		if c.Suspended != nil && !c.Suspended.Until.IsZero() {
			f(deadline{c.Suspended.Until, a.ID, c.Target, events.DimensionSuspended})
		}
	}
}

func requestKey(account, requestID string) string { return account + "\x00" + requestID }

// recent remembers the newest MaxRecent keys. Like the state's other trees it is
// copy-on-write.
type recent[V any] struct {
	values *btree.Map[string, recentEntry[V]]
	order  *btree.Map[uint64, string] // turn → key
	turn   uint64
}

type recentEntry[V any] struct {
	turn  uint64
	value V
}

func newRecent[V any]() *recent[V] {
	return &recent[V]{values: btree.NewMap[string, recentEntry[V]](0), order: btree.NewMap[uint64, string](0)}
}

func (r *recent[V]) copy() *recent[V] {
	return &recent[V]{values: r.values.Copy(), order: r.order.Copy(), turn: r.turn}
}

func (r *recent[V]) get(key string) (V, bool) {
	e, ok := r.values.Get(key)
	return e.value, ok
}

// set makes key the newest.
func (r *recent[V]) set(key string, v V) {
	if old, ok := r.values.Get(key); ok {
		r.order.Delete(old.turn)
	}
	r.turn++
	r.values.Set(key, recentEntry[V]{r.turn, v})
	r.order.Set(r.turn, key)
	if r.order.Len() > MaxRecent {
		_, oldest, _ := r.order.PopMin()
		r.values.Delete(oldest)
	}
}

// all yields keys and values, oldest first.
func (r *recent[V]) all() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		r.order.Scan(func(_ uint64, key string) bool {
			e, _ := r.values.Get(key)
			return yield(key, e.value)
		})
	}
}

// Moment is a point in the past: a seq, or an instant if Seq is 0.
type Moment struct {
	Seq events.Seq
	At  time.Time
}

// includes reports whether a record had happened at the moment.
func (m Moment) includes(r events.Record) bool {
	if m.Seq != 0 {
		return r.Seq <= m.Seq
	}
	return !r.At.After(m.At)
}

func (m Moment) String() string {
	if m.Seq != 0 {
		return fmt.Sprintf("seq:%d", m.Seq)
	}
	return m.At.UTC().Format(time.RFC3339Nano)
}
