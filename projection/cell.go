package projection

import (
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
)

// Status is a cell's state as shown. It is derived from (state, now), never
// stored. The order of the constants is the order of precedence when shown;
// manual and automatic blocks are independent and may both hold.
type Status string

// The statuses.
const (
	StatusDisabled  Status = "disabled"
	StatusSuspended Status = "suspended"
	StatusHeld      Status = "held"
	StatusCooling   Status = "cooling"
	StatusAvailable Status = "available"
)

// Statuses lists every status in order of precedence.
func Statuses() []Status {
	return []Status{StatusDisabled, StatusSuspended, StatusHeld, StatusCooling, StatusAvailable}
}

// MaxModelCells is how many model cells one account keeps. The unblocked one with
// the lowest last seq makes room for another.
const MaxModelCells = 64

// Account is one credential of the pool with its cells. Values reached through a
// published state never change.
type Account struct {
	ID   string // the stored id
	Spec events.AccountSpec
	// AddedSeq and AddedAt are of the record that added it.
	AddedSeq events.Seq
	AddedAt  time.Time
	// Cells are sorted bytewise by target.
	Cells []Cell

	owner *owner // what made this copy; nil: unknown
}

// Cell is what is known of one (account, target).
type Cell struct {
	Target    string
	Cooling   *Cooling    // nil: none; it blocks while now is before Until
	Held      *Held       // nil: none
	Suspended *Suspension // nil: none
	Ladder    Ladder
	Strikes   Strikes
	// Ended is when a clear or a recovery last ended an automatic block: older
	// evidence is stale.
	Ended Mark
	// Lifted is when a manual suspension last ended, by a lift or by its time: what
	// another system knew before of the cell is old.
	Lifted Mark
	// Recheck is when an operator last asked for a probe of this cell.
	Recheck Mark
	// Detail is a digest of the evidence and losing hints last stored.
	Detail uint64
	// LastSeq is the newest record about the cell.
	LastSeq events.Seq
}

// Mark is a point of the log.
type Mark struct {
	Seq events.Seq
	At  time.Time
}

// Cooling is an automatic block with a deadline.
type Cooling struct {
	Until     time.Time
	Reset     time.Time // the chosen hint's instant before clamp and jitter; zero: none
	StartedAt time.Time // of the freeze, not of its extensions
	Started   events.Seq
	Decided   events.Seq // the record that set Until
	Last      Mark       // the newest evidence: a success must be newer to end it
	Class     events.Class
	Source    string // a hint's source, "ladder", "window", "import"
	Clamped   bool
	Step      int
	Provider  string
	Model     string // the model whose answer set Until
	// Sent is the newest snapshot that a 429 of this freeze was sent from, as far as its
	// lease tells, else the record's: what is asked for later is not answered by it.
	Sent events.Seq
	// Probes counts the probes of this freeze that found the quota still spent, the
	// last of them at Probed.
	Probes int
	Probed time.Time
}

// Held is an automatic block without a deadline, because a human must act.
type Held struct {
	Since    time.Time
	Started  events.Seq
	Last     Mark
	Class    events.Class
	Reason   string
	Provider string
	Model    string
}

// Suspension is an operator's block.
type Suspension struct {
	Reason     string
	By         string // the actor
	OnBehalfOf string
	Since      time.Time
	Until      time.Time // zero: forever
	Seq        events.Seq
}

// Ladder is where a cell stands on the ladder of a class: what the next signal
// without a hint starts from.
type Ladder struct {
	Class    events.Class
	Step     int // 0: at the foot
	Length   time.Duration
	Deadline time.Time // of the last cooldown, whatever it followed
}

// Strikes counts signals of a class that blocks only when repeated.
type Strikes struct {
	Count int
	Last  time.Time
}

// cooling returns the cooldown if it blocks at now.
func (c *Cell) cooling(now time.Time) *Cooling {
	if c.Cooling != nil && now.Before(c.Cooling.Until) {
		return c.Cooling
	}
	return nil
}

// suspended returns the suspension if it blocks at now.
func (c *Cell) suspended(now time.Time) *Suspension {
	if c.Suspended != nil && (c.Suspended.Until.IsZero() || now.Before(c.Suspended.Until)) {
		return c.Suspended
	}
	return nil
}

// Live returns the blocks in force at now, each nil if it is not.
func (c *Cell) Live(now time.Time) (*Cooling, *Held, *Suspension) {
	return c.cooling(now), c.Held, c.suspended(now)
}

// Status returns the cell's own status at now; the account's disabled flag is not
// the cell's.
func (c *Cell) Status(now time.Time) Status {
	switch {
	case c.suspended(now) != nil:
		return StatusSuspended
	case c.Held != nil:
		return StatusHeld
	case c.cooling(now) != nil:
		return StatusCooling
	default:
		return StatusAvailable
	}
}

// Returns says when the cell's blocks end by themselves: at the zero Time if
// nothing blocks at now, and never is true if something blocks without an end.
func (c *Cell) Returns(now time.Time) (at time.Time, never bool) {
	if c.Held != nil {
		return time.Time{}, true
	}
	if s := c.suspended(now); s != nil {
		if s.Until.IsZero() {
			return time.Time{}, true
		}
		at = s.Until
	}
	if k := c.cooling(now); k != nil && k.Until.After(at) {
		at = k.Until
	}
	return at, false
}

// blockedAt reports whether anything blocks the cell at now.
func (c *Cell) blockedAt(now time.Time) bool { return c.Status(now) != StatusAvailable }

// cell returns the account's cell of a target, or nil.
func (a *Account) cell(target string) *Cell {
	if i, ok := a.find(target); ok {
		return &a.Cells[i]
	}
	return nil
}

// Cell returns the account's cell of a target; a target never touched gives an
// empty cell.
func (a *Account) Cell(target string) Cell {
	if c := a.cell(target); c != nil {
		return *c
	}
	return Cell{Target: target}
}

func (a *Account) find(target string) (int, bool) {
	i := sort.Search(len(a.Cells), func(i int) bool { return a.Cells[i].Target >= target })
	return i, i < len(a.Cells) && a.Cells[i].Target == target
}

// Covers reports whether a block on target covers requests that resolve to r.
func (r Resolution) Covers(target string) bool {
	return target == events.TargetAll || target == r.ModelTarget || r.Group != "" && target == r.Group
}

// Blocking returns the cell that decides whether the account can serve r at now:
// nil if none blocks, else the one that blocks the longest. Disabled is not
// considered.
func (a *Account) Blocking(r *Resolution, now time.Time) *Cell {
	var worst *Cell
	for i := range a.Cells {
		c := &a.Cells[i]
		if r.Covers(c.Target) && c.blockedAt(now) && (worst == nil || c.outlasts(worst, now)) {
			worst = c
		}
	}
	return worst
}

// Usable reports whether nothing blocks the account for r at now.
func (a *Account) Usable(r *Resolution, now time.Time) bool {
	if a.Spec.Disabled {
		return false
	}
	for i := range a.Cells {
		if c := &a.Cells[i]; r.Covers(c.Target) && c.blockedAt(now) {
			return false
		}
	}
	return true
}

func (c *Cell) outlasts(other *Cell, now time.Time) bool {
	at, never := c.Returns(now)
	otherAt, otherNever := other.Returns(now)
	return never && !otherNever || never == otherNever && at.After(otherAt)
}

// with returns a copy of the account in which the target's cell is changed by f.
// A cell that did not exist is made.
func (a *Account) with(target string, f func(*Cell)) *Account {
	b := *a
	i, ok := a.find(target)
	if ok {
		b.Cells = slices.Clone(a.Cells)
	} else {
		b.Cells = make([]Cell, 0, len(a.Cells)+1)
		b.Cells = append(append(append(b.Cells, a.Cells[:i]...), Cell{Target: target}), a.Cells[i:]...)
	}
	f(&b.Cells[i])
	return &b
}

// roomFor returns the target of the model cell that must go before one for target
// can be made, empty if none must, and false if there is no room.
func (a *Account) roomFor(target string, now time.Time) (evict string, ok bool) {
	if !strings.HasPrefix(target, events.ModelTarget) || a.cell(target) != nil {
		return "", true
	}
	models, oldest := 0, (*Cell)(nil)
	for i := range a.Cells {
		c := &a.Cells[i]
		if !strings.HasPrefix(c.Target, events.ModelTarget) {
			continue
		}
		models++
		if !c.blockedAt(now) && (oldest == nil || c.LastSeq < oldest.LastSeq) {
			oldest = c
		}
	}
	switch {
	case models < MaxModelCells:
		return "", true
	case oldest == nil:
		return "", false
	default:
		return oldest.Target, true
	}
}

// CellStatus returns the status of one of the account's cells at now, as shown: a
// disabled account's cells are disabled.
func (a *Account) CellStatus(c *Cell, now time.Time) Status {
	if a.Spec.Disabled {
		return StatusDisabled
	}
	return c.Status(now)
}

// Returns says when the account can serve r again by itself: at the zero Time if
// nothing blocks it at now, and never is true if something blocks it without an
// end. Disabled is not considered.
func (a *Account) Returns(r *Resolution, now time.Time) (at time.Time, never bool) {
	for i := range a.Cells {
		c := &a.Cells[i]
		if !r.Covers(c.Target) {
			continue
		}
		t, forever := c.Returns(now)
		never = never || forever
		if t.After(at) {
			at = t
		}
	}
	return at, never
}

// Recoverable reports whether an automatic block covers r at now, so that a served
// request is news.
func (a *Account) Recoverable(r *Resolution, now time.Time) bool {
	for i := range a.Cells {
		c := &a.Cells[i]
		if r.Covers(c.Target) && (c.Held != nil || c.cooling(now) != nil) {
			return true
		}
	}
	return false
}

// Unavailable reports whether the account as a whole serves nothing at now: it is
// disabled, "*" is blocked, or every enabled group of its provider is. Blocks of
// single models do not make an account unavailable.
func (g *Groups) Unavailable(a *Account, now time.Time) bool {
	all := a.Cell(events.TargetAll)
	if a.Spec.Disabled || all.blockedAt(now) {
		return true
	}
	groups := g.Of(a.Spec.Provider)
	for i := range groups {
		if c := a.cell(groups[i].ID); c == nil || !c.blockedAt(now) {
			return false
		}
	}
	return len(groups) > 0
}
