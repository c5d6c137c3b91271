package linear

import (
	"fmt"
	"strings"
)

// verb is what a client does.
type verb uint8

const (
	verbPick    verb = iota // may the account serve a model of the group?
	verbLook                // all that is known of the account
	verbLimit               // report: the group's quota is spent, for one or two hours
	verbBan                 // report: the provider has banned the account
	verbServe               // report: a request for the group was served
	verbSuspend             // forever, with a reason
	verbLift
	verbClear
	verbPut
	verbRemove
	// What follows is nobody's wish, but changes what picks answer.
	verbUnrecorded // the router remembers a limit that could not be recorded
	verbReopen     // another engine and router, over the log
)

func (v verb) String() string {
	return [...]string{
		"pick", "look", "limit", "ban", "serve", "suspend", "lift", "clear", "put", "remove", "unrecorded", "reopen",
	}[v]
}

func (v verb) reports() bool { return v == verbLimit || v == verbBan || v == verbServe }

// The targets of the cells, in the order of their names.
const (
	targetAll    = iota // "*"
	targetClaude        // "claude"
	targetPro           // "gemini-pro"
	targets
	everyTarget = targets // of a lift or clear: all cells of the account
)

// call is what a client asks for.
type call struct {
	verb     verb
	account  string
	target   int    // of a report or pick: the group of the model
	hours    int    // of a limit
	lease    uint64 // of a report; 0: none
	reason   int    // of a suspension, from 1
	disabled bool   // put
	force    bool   // remove
	named    bool   // pick: the account is the only candidate, else the provider's only account
	id       int    // request id or idempotency key, from 1; 0: none
}

// answer is what the client was told.
type answer struct {
	what string // a status, an effect, the kind of the first record, "unchanged", or the code of a refusal
	why  string // of the effect "none"
	// cells are the targets concerned, one bit each.
	cells uint8
	// seq is of the record that the answer names, or of the snapshot that a pick or look
	// saw; 0: none. If pending it is that of the log's head when it was opened anew.
	seq      uint64
	repeated bool // as it was answered the first time
	volatile bool // blocked by what the router alone remembers
	// pending: the client was told that the outcome is unknown. All it can rely on is
	// that the command is in the log once that is opened anew, or never will be.
	pending bool
	before  uint64 // pending: the log's head before the append that failed
	seen    sight  // by a look
}

// sight is what a look sees.
type sight struct {
	present, observed, disabled bool
	cells                       [targets]struct {
		hours  int
		held   bool
		reason int
	}
}

// account is the model: one account, its cells, and what it remembers of calls.
type account struct {
	head                        uint64 // the newest record or snapshot in the order so far
	present, observed, disabled bool
	removed                     uint64 // the record; 0: never
	cells                       [targets]cell
	volatile                    [targets]bool
	memory                      [maxIDs]memo
}

// cell is one target of the account. Cooldown, hold and suspension are independent.
type cell struct {
	hours  int    // how long it cools; 0: it does not
	held   bool   //
	last   uint64 // the newest evidence of the cooldown or hold
	ended  uint64 // when a clear or recovery ended one
	reason int    // of the suspension; 0: none
}

func (c *cell) automatic() bool { return c.hours > 0 || c.held }

func (c *cell) end(record uint64) { c.hours, c.held, c.last, c.ended = 0, false, 0, record }

// memo is a call that was recorded under an id.
type memo struct {
	call call
	want want
	at   stamp
}

// maxIDs bounds the ids used on one account.
const maxIDs = 48

// stamp says where a call's records are in the log: from seq on, or, if the outcome
// was unknown, somewhere after the head of then and no later than seq. No snapshot lies
// between, so that seq orders them towards every lease.
type stamp struct {
	seq     uint64
	unknown bool
}

// of returns the place of the record that is n after the one named.
func (s stamp) of(n int) uint64 {
	if s.unknown {
		return s.seq
	}
	return s.seq + uint64(n)
}

// want is what must be answered.
type want struct {
	what, why string
	cells     uint8
	records   int // appended
	earlier   int // of them before the one that the answer names
	repeated  bool
}

// step returns the accounts that the answer may leave behind: none if it is wrong, and
// two if nobody knows.
func (a account) step(c call, r answer) []account {
	switch c.verb {
	case verbPick:
		return a.pick(c, r)
	case verbLook:
		if r.seen != a.sight() {
			return nil
		}
		return a.seenAt(r.seq)
	case verbUnrecorded:
		for t := range a.volatile {
			a.volatile[t] = a.volatile[t] || r.cells&(1<<t) != 0
		}
		return []account{a}
	case verbReopen:
		a.volatile = [targets]bool{}
		return []account{a}
	}
	if r.pending {
		return a.maybe(c, r)
	}
	next, w := a.execute(c, stamp{seq: r.seq})
	if w.what != r.what || w.why != r.why || w.cells != r.cells || w.repeated != r.repeated {
		return nil
	}
	switch {
	case w.repeated:
		if first := a.memory[c.id].at; r.seq > first.seq || r.seq < first.seq && !first.unknown {
			return nil
		}
	case w.records == 0:
		if r.seq != 0 {
			return nil
		}
	default:
		first := r.seq - uint64(w.earlier)
		if first <= a.head {
			return nil
		}
		next.head = first + uint64(w.records) - 1
	}
	return []account{next}
}

// maybe is the step of a command whose outcome is unknown.
func (a account) maybe(c call, r answer) []account {
	next, w := a.execute(c, stamp{seq: r.seq, unknown: true})
	if w.records == 0 || r.seq <= r.before { // it changes nothing, or nothing was stored
		return []account{a}
	}
	next.head = max(a.head, r.seq)
	return []account{a, next}
}

// seenAt is the account once a snapshot was seen: all its records so far are in it, and
// none that follows is.
func (a account) seenAt(snapshot uint64) []account {
	if snapshot < a.head {
		return nil
	}
	a.head = snapshot
	return []account{a}
}

// pick judges the answer to a pick.
func (a account) pick(c call, r answer) []account {
	volatile := a.volatile[targetAll] || a.volatile[c.target]
	if r.volatile {
		// What the router remembers is read after the snapshot, which may have said
		// that the account is usable a moment before; so no more than this holds.
		if volatile && r.what == "cooling" {
			return []account{a}
		}
		return nil
	}
	offered := c.named || a.present && !a.observed
	statuses := a.statuses(c.target)
	switch {
	case r.what == "available":
		if !offered || volatile || len(statuses) > 0 {
			return nil
		}
		return a.seenAt(r.seq)
	case !offered && r.what == "none" || offered && strings.Contains(statuses, r.what):
		return []account{a}
	default:
		return nil
	}
}

// statuses are those that may be shown of an account that cannot serve a group: those
// of the blocks that last longest. None if it can.
func (a *account) statuses(group int) string {
	all, own := &a.cells[targetAll], &a.cells[group]
	var endless []string
	for _, c := range []*cell{all, own} {
		if c.reason > 0 {
			endless = append(endless, "suspended")
		} else if c.held {
			endless = append(endless, "held")
		}
	}
	switch {
	case a.disabled:
		return "disabled"
	case len(endless) > 0:
		return strings.Join(endless, " ")
	case all.hours > 0 || own.hours > 0:
		return "cooling"
	}
	return ""
}

func (a *account) sight() sight {
	s := sight{present: a.present, observed: a.observed, disabled: a.disabled}
	for t, c := range a.cells {
		s.cells[t].hours, s.cells[t].held, s.cells[t].reason = c.hours, c.held, c.reason
	}
	return s
}

// String tells the account as a line of a dump.
func (a account) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "head %d", a.head)
	switch {
	case !a.present:
		b.WriteString(" absent")
	case a.observed:
		b.WriteString(" observed")
	}
	if a.disabled {
		b.WriteString(" disabled")
	}
	if a.removed > 0 {
		fmt.Fprintf(&b, " removed %d", a.removed)
	}
	for t, k := range a.cells {
		if k != (cell{}) || a.volatile[t] {
			fmt.Fprintf(&b, "; %s cools %d h, held %t, last %d, ended %d, reason %d, volatile %t",
				targetName(t), k.hours, k.held, k.last, k.ended, k.reason, a.volatile[t])
		}
	}
	return b.String()
}

func targetName(t int) string { return [...]string{"*", "claude", "gemini-pro", "every target"}[t] }
