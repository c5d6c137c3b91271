package projection

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
)

// NoticeKind is what a notice is of, in the words of a configuration file.
type NoticeKind string

// The kinds. All but the last three begin and end: the end of one is a notice of the
// same kind with Over set.
const (
	NoticeExhausted NoticeKind = "exhausted" // no configured account can serve a group
	NoticeFrozen    NoticeKind = "frozen"    // a cooldown has lasted for longer than some time
	NoticeHeld      NoticeKind = "held"      // a hold began: a human must act
	NoticeSuspended NoticeKind = "suspended" // a manual suspension has lasted for over LongByHand
	NoticeClamped   NoticeKind = "clamped"   // the policy cut what a provider asked for
	NoticeRecovered NoticeKind = "recovered" // one of the first four is over
	NoticeDegraded  NoticeKind = "degraded"  // the log cannot be written; of an engine, not of records
)

// NoticeKinds lists every kind.
func NoticeKinds() []NoticeKind {
	return []NoticeKind{
		NoticeExhausted, NoticeFrozen, NoticeHeld, NoticeSuspended, NoticeClamped, NoticeRecovered, NoticeDegraded,
	}
}

// LongByHand is how long a manual suspension lasts before it is told of: it may have
// been forgotten.
const LongByHand = 24 * time.Hour

// NoticeFilter says what is worth a notice. The end of what has one is derived whether or
// not recoveries are asked for: it may be told together with its beginning.
type NoticeFilter struct {
	On []NoticeKind
	// Provider and Group are canonical; empty: all. What covers a whole account concerns
	// every group of its provider.
	Provider, Group string
	// LongerThan is how long a cooldown must have lasted.
	LongerThan time.Duration
}

// Check refuses a provider or a group that can never be one.
func (f *NoticeFilter) Check() error {
	if f.Provider != "" {
		if err := checkProvider(f.Provider); err != nil {
			return err
		}
	}
	if f.Group != "" && !validGroupID(f.Group) {
		return fmt.Errorf("the group %q is no group id: 1 to 64 of a-z, 0-9, '.', '_', '-'", f.Group)
	}
	return nil
}

func (f *NoticeFilter) has(k NoticeKind) bool { return slices.Contains(f.On, k) }

// follows reports whether the beginnings and ends of a kind matter. A filter that asks
// for recoveries alone means those of everything that can recover.
func (f *NoticeFilter) follows(k NoticeKind) bool {
	if f.has(k) {
		return true
	}
	others := f.has(NoticeExhausted) || f.has(NoticeFrozen) || f.has(NoticeHeld) || f.has(NoticeSuspended)
	return f.has(NoticeRecovered) && !others
}

// Position is a point of the timeline that notices are of: after a record, at an
// instant. Both only grow along the timeline.
type Position struct {
	Seq  events.Seq
	Hash events.Hash // of the record
	At   time.Time
}

// Notice is a fact worth telling an operator.
type Notice struct {
	Kind NoticeKind
	// Over: it tells of the end.
	Over bool
	// Subject names what it is of, the same at the beginning and the end: an episode of
	// a cell, or a group.
	Subject string
	// Before is the point that it is told after: to follow the log from there tells it
	// again, with the same ID.
	Before Position

	// At is when it happened, Seq the newest record then.
	At  time.Time
	Seq events.Seq

	Provider string
	Account  string // stored id; empty of a group
	Target   string // empty of a group
	Group    string // empty for a block on more or less than a group
	Class    events.Class
	Reason   string // of a suspension, or of a hold's signal
	Actor    string // who suspended
	// Since is the beginning of what it is of; zero at the end of an exhausted group.
	Since time.Time
	// Until is when it ends by itself, as far as is known then; zero: it does not.
	Until time.Time
	How   EpisodeEnd // of an end
	// Sentence says it in plain words, with stored ids.
	Sentence string

	// trigger tells apart what else would be of one subject: exhausted groups.
	trigger string
}

// ID is the same whenever a notice is derived from the same log, and of no other notice:
// 32 hex digits.
func (n *Notice) ID(log string) string {
	return digestOf(log, string(n.Kind), fmt.Sprint(n.Over), n.Subject, n.trigger)
}

// Key is the same for the beginning and the end of one subject, and of no other one of
// the log: 16 hex digits.
func (n *Notice) Key(log string) string { return digestOf(log, string(n.Kind), n.Subject)[:16] }

// digestOf is a hash of texts that hold no NUL.
func digestOf(texts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(texts, "\x00")))
	return hex.EncodeToString(sum[:16])
}
