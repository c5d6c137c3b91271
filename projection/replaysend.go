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
	// asked :: send.what → what a request was for, each once
	asked []asked
	// unsent :: record of the range, to come → the request would not have been sent, and was
	unsent map[events.Seq]bool
}

// send is one request. There is one for each record of a range, nearly, so it is small.
type send struct {
	after  events.Seq // the newest record at that time
	record events.Seq // of its answer
	at     int64      // nanoseconds since 1970
	what   int32
	probe  bool
}

// asked is a model that an account was asked for.
type asked struct{ account, provider, model string }

// demand is what one account was asked for in the range.
type demand struct {
	what    []int32   // see sends.asked
	settled time.Time // since when its free time has not been added up
}

func newSends() sends { return sends{unsent: map[events.Seq]bool{}} }

// foresee reads the range once, to know what was sent when, which models the accounts
// were asked for, and when groups were defined.
func (x *replayer) foresee(records recordRange) error {
	ats := []int64{x.was.head.At.UnixNano()}
	for r, err := range records() {
		if err != nil {
			return err
		}
		ats = append(ats, r.At.UnixNano())
		s, to, lease := send{record: r.Seq}, asked{account: r.Account}, events.Seq(0)
		var sent time.Time
		switch e := r.Event.(type) {
		case *events.LimitObserved:
			to.provider, to.model, sent, s.probe, lease = e.Provider, e.Model, e.StartedAt, e.Probe, e.Lease
		case *events.Recovered:
			to.provider, to.model, sent, s.probe, lease = e.Provider, e.Model, e.StartedAt, e.Probe, e.Lease
		case *events.GroupsDefined:
			x.regroup = r.Seq
			continue
		default:
			continue
		}
		s.what = x.ask(to)
		if e, ok := r.Event.(*events.LimitObserved); ok && e.Status == 429 && lease == 0 && sent.IsZero() {
			x.out.Undated++
		}
		if x.date(&s, sent, lease, ats) {
			x.sends.list = append(x.sends.list, s)
		}
	}
	slices.SortStableFunc(x.sends.list, func(a, b send) int { return cmp.Compare(a.after, b.after) })
	return nil
}

// ask notes that an account was asked for a model, and returns its place among the sends'.
func (x *replayer) ask(m asked) int32 {
	d := x.demands[m.account]
	if d == nil {
		if a := x.was.Account(m.account); a != nil {
			m.account = a.ID // the record's own text is let go
		}
		d = &demand{}
		x.demands[m.account] = d
	}
	for _, i := range d.what {
		known := &x.sends.asked[i]
		if known.provider == m.provider && known.model == m.model {
			return i
		}
		m.account = known.account
	}
	i := int32(len(x.sends.asked))
	d.what = append(d.what, i)
	x.sends.asked = append(x.sends.asked, m)
	return i
}

// date finds what had been recorded when a request was sent, by its lease, else by its
// time. It returns false for a request that cannot be dated, or from before the range.
func (x *replayer) date(s *send, sent time.Time, lease events.Seq, ats []int64) bool {
	switch {
	case lease > 0 && lease < x.start || lease == 0 && sent.IsZero():
		return false
	case lease > 0:
		s.after = min(lease, s.record-1)
	default:
		i := sort.Search(len(ats), func(i int) bool { return ats[i] > sent.UnixNano() })
		if i == 0 {
			return false
		}
		s.after = min(x.start+events.Seq(i-1), s.record-1)
	}
	s.at = ats[s.after-x.start]
	if !sent.IsZero() {
		s.at = max(s.at, sent.UnixNano())
	}
	return true
}

// send asks both worlds, which have come to a record, about the requests sent then.
func (x *replayer) send(seq events.Seq) {
	list, n := x.sends.list, x.sends.next
	for ; n < len(list) && list[n].after <= seq; n++ {
		if s := &list[n]; x.stops(&x.sends.asked[s.what], time.Unix(0, s.at).UTC(), s.probe) {
			x.sends.unsent[s.record] = true
		}
	}
	if n > 1024 && n > len(list)/2 { // what is done makes room for what the worlds come to
		list, n = slices.Clone(list[n:]), 0
	}
	x.sends.list, x.sends.next = list, n
}

// answered forgets the request that a record answers.
func (x *sends) answered(record events.Seq) { delete(x.unsent, record) }

// stops reports whether a request that was sent would not have been.
func (x *replayer) stops(m *asked, at time.Time, probe bool) bool {
	if !x.would.blocks(m, at) {
		return false
	}
	return !x.was.blocks(m, at) || probe && !x.probes(m, at)
}

// blocks reports whether an account is blocked for a request in a world.
func (w *world) blocks(m *asked, at time.Time) bool {
	a := w.Account(m.account)
	return a != nil && !a.Usable(w.groups.Resolve(m.provider, m.model), at)
}

// probes reports whether a request that was let through as a probe would have been one.
// The schedule that it followed tells, of those while nobody and while somebody else can
// serve; how far apart the probes of a pool are is the router's, and taken as it was.
func (x *replayer) probes(m *asked, at time.Time) bool {
	wasEmpty, wasBackground := x.was.due(m, at)
	empty, background := x.would.due(m, at)
	switch {
	case empty == background:
		return empty || !wasEmpty && !wasBackground // not due at all: nothing tells why it was sent
	case wasEmpty && wasBackground && NewOutlook(x.was.State, at).somebody(*x.was.groups.Resolve(m.provider, m.model)):
		return background
	case wasEmpty:
		return empty
	default:
		return background || !wasBackground
	}
}

// due reports whether a probe is due in a world, while nobody and while somebody else
// can serve.
func (w *world) due(m *asked, at time.Time) (empty, background bool) {
	now, r := InstantOf(at), w.groups.Resolve(m.provider, m.model)
	st := w.Standing(w.Account(m.account), r, at)
	return st.Empty <= now, st.Background <= now
}

// unsent reports whether the request that a record answers would not have been sent.
func (x *replayer) unsent(record events.Seq) bool { return x.sends.unsent[record] }

// settle adds up for how long an account was, and would have been, free for the models
// it was asked for, up to an instant at which something about it changes.
func (x *replayer) settle(account string, at time.Time) {
	d := x.demands[account]
	if d == nil {
		return
	}
	from := laterOf(d.settled, x.out.FromAt)
	if !at.After(from) {
		return
	}
	d.settled = at
	for _, i := range d.what {
		m := &x.sends.asked[i]
		was, would := x.was.blockedFor(m, from, at), x.would.blockedFor(m, from, at)
		x.out.ExtraFree += max(was-would, 0)
		x.out.ExtraBlocked += max(would-was, 0)
	}
}

// blockedFor is how long an account is blocked for a model in [from, to), in which
// nothing about it changes but the time.
func (w *world) blockedFor(m *asked, from, to time.Time) time.Duration {
	a := w.Account(m.account)
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
