package projection

import (
	"fmt"
	"iter"
	"time"

	"github.com/abeyance/abeyance/events"
)

// MaxAccounts bounds the pool.
const MaxAccounts = 100_000

// MaxRecent is how many request ids, idempotency keys and removals are remembered.
const MaxRecent = 4096

// State is the fold of a log. [Engine] publishes snapshots, which never change; a
// working state is changed by [State.Apply] alone.
//
// What grows is copy-on-write: [State.Snapshot] is cheap, and the next change copies
// only the pages that it touches.
type State struct {
	head   events.Head
	groups *Groups
	policy *Policy
	// groupsEditions and policyEditions say since which record each version was in force,
	// up to those that are.
	groupsEditions, policyEditions editions
	accounts                       accounts
	// due orders the accounts by their deadlines, from which it is derived. It is nil in
	// a snapshot, and where nothing is decided: only who decides is driven by deadlines.
	due *dueQueue
	// requests :: request on an account → the record that observed it
	requests recent[requestKey, events.Seq]
	// keys :: idempotency key → the command it came with
	keys recent[string, keyUse]
	// suspects :: class of a request's answers → the accounts that gave it
	suspects recent[suspectKey, suspect]
	// removed :: account id → its removal
	removed recent[string, Mark]
	// returned says where probes found a quota back, which is news for its siblings.
	returned returned
	// changed lists the accounts changed since the last snapshot.
	changed []string
	// owner marks the accounts that were copied since the last snapshot, which change in
	// place; nil in a snapshot.
	owner *owner
}

// owner is a working state from one snapshot to the next. It has a size, so that no two
// have one address.
type owner struct{ _ byte }

// hold keeps the accounts as they are from changing in place: somebody looks at them as
// they were.
func (s *State) hold() { s.owner = new(owner) }

// requestKey names an observation: one request may be tried on several accounts.
type requestKey struct{ account, request string }

// keyUse is the command that an idempotency key was used for.
type keyUse struct {
	request     events.Hash
	first, last events.Seq
}

// NewState returns the state of a log without records.
func NewState() *State {
	return &State{groups: noGroups(), policy: noPolicy(), accounts: newAccounts(), due: new(dueQueue), owner: new(owner)}
}

// Snapshot returns the present value of s, which later changes of s do not touch.
func (s *State) Snapshot() *State {
	c := *s
	c.accounts, c.due, c.changed, c.owner = s.accounts.share(), nil, nil, nil
	c.requests, c.keys, c.removed, c.suspects = s.requests.share(), s.keys.share(), s.removed.share(), s.suspects.share()
	s.changed, s.owner = make([]string, 0, len(s.changed)), new(owner)
	return &c
}

// working returns a working state of the value of a published one, in time that grows
// with the pool.
func (s *State) working() *State {
	w := NewState()
	w.head, w.groups, w.policy, w.returned = s.head, s.groups, s.policy, s.returned
	w.groupsEditions, w.policyEditions = s.groupsEditions, s.policyEditions
	for a := range s.Accounts("") {
		w.put(a.ID, a)
	}
	refill(&w.requests, &s.requests)
	refill(&w.keys, &s.keys)
	refill(&w.suspects, &s.suspects)
	refill(&w.removed, &s.removed)
	w.changed = nil
	return w
}

// onlyFollow makes s a state that records are folded into and nothing is decided by, which
// takes less time and room: it knows of no deadlines in order, and forgets the ids that
// commands alone ask for.
func (s *State) onlyFollow() {
	s.due = nil
	s.requests, s.keys = recent[requestKey, events.Seq]{}, recent[string, keyUse]{}
	s.suspects, s.removed = recent[suspectKey, suspect]{}, recent[string, Mark]{}
}

// decides reports whether commands may be decided by a working state.
func (s *State) decides() bool { return s.due != nil }

func refill[K comparable, V any](to, from *recent[K, V]) {
	for key, v := range from.all() {
		to.set(key, v)
	}
}

// Head identifies the newest record folded in.
func (s *State) Head() events.Head { return s.head }

// Groups returns the definitions in force.
func (s *State) Groups() *Groups { return s.groups }

// Policy returns the policy in force.
func (s *State) Policy() *Policy { return s.policy }

// Account returns an account by its stored id, or nil.
func (s *State) Account(id string) *Account {
	_, a := s.accounts.find(id)
	return a
}

// accountAt is Account for one that is likely to be in a slot.
func (s *State) accountAt(k slot, id string) *Account {
	if a := s.accounts.slots.find(uint32(k)); a != nil && a.ID == id {
		return a
	}
	return s.Account(id)
}

// Len returns the number of accounts.
func (s *State) Len() int { return s.accounts.len() }

// Accounts yields the accounts whose id is at or after from, bytewise by id.
func (s *State) Accounts(from string) iter.Seq[*Account] {
	return func(yield func(*Account) bool) {
		for _, a := range s.accounts.from(from) {
			if !yield(a) {
				return
			}
		}
	}
}

// put stores a changed account, or removes it when b is nil, and keeps what is
// derived from it.
func (s *State) put(id string, b *Account) {
	k, a := s.accounts.find(id)
	switch {
	case b != nil && a != nil:
		s.replace(k, b)
	case b != nil:
		s.replace(s.accounts.add(b), b)
	case a != nil:
		s.accounts.remove(k)
		s.noteDeadlines(k, nil)
		s.changed = append(s.changed, id)
	}
}

// replace stores a changed account in the slot it has.
func (s *State) replace(k slot, b *Account) {
	s.accounts.set(k, b)
	s.noteDeadlines(k, b)
	s.changed = append(s.changed, b.ID)
}

// noteDeadlines keeps the deadlines of the account in a slot in order; nil has none.
func (s *State) noteDeadlines(k slot, a *Account) {
	if s.decides() {
		s.due.set(dueOf(k, a))
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
