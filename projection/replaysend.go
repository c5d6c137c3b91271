package projection

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/abeyance/abeyance/events"
)

// sends are the instants at which the requests behind the observations of a range were
// sent: what either world would have said then decides whether they are sent at all.
type sends struct {
	list []send // in the order of the records that they follow
	next int
	// unsent :: record of the range → the request would not have been sent, and was
	unsent map[events.Seq]bool
}

// send is one request.
type send struct {
	after  events.Seq // the newest record at that time
	record events.Seq // of its answer
	at     time.Time
	account,
	provider, model string
	probe bool
}

// foresee reads the range once, to know what was sent when and which models the
// accounts were asked for.
func (x *replayer) foresee(records recordRange) error {
	x.models, x.sends.unsent = map[string][]asked{}, map[events.Seq]bool{}
	ats := []int64{x.was.head.At.UnixNano()}
	for r, err := range records() {
		if err != nil {
			return err
		}
		ats = append(ats, r.At.UnixNano())
		s := send{record: r.Seq, account: r.Account}
		var lease events.Seq
		switch e := r.Event.(type) {
		case *events.LimitObserved:
			s.provider, s.model, s.at, s.probe, lease = e.Provider, e.Model, e.StartedAt, e.Probe, e.Lease
		case *events.Recovered:
			s.provider, s.model, s.at, s.probe, lease = e.Provider, e.Model, e.StartedAt, e.Probe, e.Lease
		default:
			continue
		}
		if a := x.was.Account(s.account); a != nil {
			s.account = a.ID // the record's own text is let go
		}
		x.ask(s)
		if x.date(&s, lease, ats) {
			x.sends.list = append(x.sends.list, s)
		}
	}
	slices.SortStableFunc(x.sends.list, func(a, b send) int { return cmp.Compare(a.after, b.after) })
	return nil
}

// ask notes that an account was asked for a model.
func (x *replayer) ask(s send) {
	if m := (asked{s.provider, s.model}); !slices.Contains(x.models[s.account], m) {
		x.models[s.account] = append(x.models[s.account], m)
	}
}

// date finds what had been recorded when a request was sent, by its lease, else by its
// time. It returns false for a request that cannot be dated, or from before the range.
func (x *replayer) date(s *send, lease events.Seq, ats []int64) bool {
	switch {
	case lease > 0 && lease < x.start || lease == 0 && s.at.IsZero():
		return false
	case lease > 0:
		s.after = min(lease, s.record-1)
	default:
		i := sort.Search(len(ats), func(i int) bool { return ats[i] > s.at.UnixNano() })
		if i == 0 {
			return false
		}
		s.after = min(x.start+events.Seq(i-1), s.record-1)
	}
	s.at = laterOf(s.at, time.Unix(0, ats[s.after-x.start]).UTC())
	return true
}

// send asks both worlds, which have come to a record, about the requests sent then.
func (x *replayer) send(seq events.Seq) {
	for ; x.sends.next < len(x.sends.list); x.sends.next++ {
		s := &x.sends.list[x.sends.next]
		if s.after > seq {
			return
		}
		if x.stops(s) {
			x.sends.unsent[s.record] = true
		}
	}
}

// stops reports whether a request that was sent would not have been.
func (x *replayer) stops(s *send) bool {
	if !x.would.blocks(s) {
		return false
	}
	return !x.was.blocks(s) || s.probe && !x.probes(s)
}

// blocks reports whether an account is blocked for a request in a world.
func (w *world) blocks(s *send) bool {
	a := w.Account(s.account)
	return a != nil && !a.Usable(w.groups.Resolve(s.provider, s.model), s.at)
}

// probes reports whether a request that was let through as a probe would have been one.
// The schedule that it followed tells, of those while nobody and while somebody else can
// serve; how far apart the probes of a pool are is the router's, and taken as it was.
func (x *replayer) probes(s *send) bool {
	wasEmpty, wasBackground := x.was.due(s)
	empty, background := x.would.due(s)
	switch {
	case empty == background:
		return empty || !wasEmpty && !wasBackground // not due at all: nothing tells why it was sent
	case wasEmpty && wasBackground && NewOutlook(x.was.State, s.at).somebody(*x.was.groups.Resolve(s.provider, s.model)):
		return background
	case wasEmpty:
		return empty
	default:
		return background || !wasBackground
	}
}

// due reports whether a probe is due in a world, while nobody and while somebody else
// can serve.
func (w *world) due(s *send) (empty, background bool) {
	now, r := InstantOf(s.at), w.groups.Resolve(s.provider, s.model)
	st := w.Standing(w.Account(s.account), r, s.at)
	return st.Empty <= now, st.Background <= now
}

// unsent reports whether the request that a record answers would not have been sent.
func (x *replayer) unsent(record events.Seq) bool { return x.sends.unsent[record] }

// settle adds up for how long an account was, and would have been, free for the models
// it was asked for, up to an instant at which something about it changes.
func (x *replayer) settle(account string, at time.Time) {
	from := laterOf(x.settled[account], x.out.FromAt)
	if len(x.models[account]) == 0 || !at.After(from) {
		return
	}
	x.settled[account] = at
	for _, m := range x.models[account] {
		was, would := x.was.blockedFor(account, m, from, at), x.would.blockedFor(account, m, from, at)
		x.out.ExtraFree += max(was-would, 0)
		x.out.ExtraBlocked += max(would-was, 0)
	}
}

// blockedFor is how long an account is blocked for a model in [from, to), in which
// nothing about it changes but the time.
func (w *world) blockedFor(account string, m asked, from, to time.Time) time.Duration {
	a := w.Account(account)
	if a == nil {
		return 0
	}
	end, never := a.Returns(w.groups.Resolve(m.provider, m.model), from)
	switch {
	case never || a.Spec.Disabled || end.After(to):
		return to.Sub(from)
	case end.After(from):
		return end.Sub(from)
	default:
		return 0
	}
}
