package router

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/projection"
)

// check compares what a pick answered with what it may answer, and remembers it as
// the router has to. It returns what differs, and what kind of answer it was.
func (r *reference) check(q Request, got Lease, err error) (kind, difference string) {
	f := r.field(&q)
	blocked, isBlocked := errors.AsType[*BlockedError](err)
	if err != nil && !isBlocked {
		return "error", err.Error()
	}
	usable := r.top(f)
	probes, must := r.probesFor(f, &q, len(usable) == 0)
	strategy := cmp.Or(q.Strategy, r.strategies.of(f.id.Provider))
	switch {
	case isBlocked && (len(usable) > 0 || must):
		return "blocked", fmt.Sprintf("blocked by %s, want one of %v or the probe of %v", blocked.Code, names(usable), probes)
	case isBlocked:
		return string(blocked.Code), r.checkBlocked(f, &q, blocked)
	case got.Probe != 0:
		if !slices.Contains(probes, r.stored(got.Account)) {
			return "probe", fmt.Sprintf("probe of %s, want one of %v", got.Account, probes)
		}
		if !q.DryRun {
			key := [2]string{f.id.Provider, f.id.Target}
			r.probes[key] = append(r.probes[key], &probeRef{lease: got, account: r.stored(got.Account), at: q.Now})
		}
		kind = "background probe"
		if len(usable) == 0 {
			kind = "probe of an empty pool"
		}
	case must:
		return "served", fmt.Sprintf("served %s, want the probe of %v", got.Account, probes)
	case len(usable) == 0:
		return "served", fmt.Sprintf("served %s, and nobody is usable", got.Account)
	default:
		if difference = r.checkTurn(f, &q, turnOf{strategy, usable, r.stored(got.Account)}); difference != "" {
			return "served", difference
		}
		kind = string(strategy)
	}
	if q.DryRun {
		kind = "dry run"
	}
	return kind, r.checkLease(f, &q, got)
}

func (r *reference) stored(given string) string {
	if s := r.ids.Stored(given); r.engine.State().Account(s) != nil {
		return s
	}
	return given // an unknown candidate
}

func names(list []*projection.Account) (ids []string) {
	for _, a := range list {
		ids = append(ids, a.ID)
	}
	return ids
}

// checkLease compares what the lease says beside its account.
func (r *reference) checkLease(f field, q *Request, got Lease) string {
	want := Lease{
		Account: got.Account, Provider: f.id.Provider, Model: q.Model, Target: f.id.Target,
		Seq: r.engine.State().Head().Seq, Probe: got.Probe, Degraded: r.engine.View().Degraded,
	}
	if r.observe {
		for _, v := range f.verdicts {
			if v.ID == r.stored(got.Account) && v.status != projection.StatusAvailable {
				want.WouldBlock = v.status
			}
		}
	}
	if got != want {
		return fmt.Sprintf("lease %#v, want %#v", got, want)
	}
	return ""
}

// probesFor lists the accounts that a probe may go to, and says whether one must go
// out. Where an index is not exact, or none tells, probes beside usable accounts wait
// until it is: they are in no hurry, and finding one takes a look at the whole pool.
func (r *reference) probesFor(f field, q *Request, nobody bool) (accounts []string, must bool) {
	if r.observe || r.engine.View().Degraded || q.Now.Before(r.nextFree(f, q.Now)) && r.wrong != "ignores spacing" {
		return nil, false
	}
	accounts = r.dueFor(f, q, nobody)
	return accounts, len(accounts) > 0 && (nobody || len(q.Candidates) > 0 || r.indexed(f, q.Now))
}

// indexed reports whether an index tells how a pool stands at an instant.
func (r *reference) indexed(f field, now time.Time) bool {
	x := r.engine.View().Index
	p := x.PoolOf(f.id)
	return p != nil && x.Exact(now) && p.Lane(f.id) != nil
}

// turnOf is a strategy's choice among usable accounts of one priority.
type turnOf struct {
	strategy Strategy
	usable   []*projection.Account
	got      string
}

// checkTurn checks whose turn it was.
func (r *reference) checkTurn(f field, q *Request, t turnOf) string {
	turn := turnRef{f.id.Provider, f.id.Target, t.usable[0].Spec.Priority, len(q.Candidates) > 0}
	var want string
	switch {
	case t.strategy == FillFirst:
		want = t.usable[0].ID
	case t.strategy == Sticky && q.Session != "":
		want = slices.MaxFunc(t.usable, func(a, b *projection.Account) int {
			session := projection.Hash64(q.Session)
			return cmp.Compare(nearness(session, projection.Hash64(a.ID)), nearness(session, projection.Hash64(b.ID)))
		}).ID
	case t.strategy == Weighted && turn.named:
		slot := nextSlot(slotsOf(t.usable), r.points[turn])
		if want = slot.account; want == t.got && !q.DryRun {
			r.points[turn] = slot.at
		}
	case t.strategy == Weighted && uneven(f):
		return r.checkWheel(f, q, t)
	default:
		if want = after(t.usable, r.served[turn]); want == t.got && !q.DryRun {
			r.served[turn] = want
		}
	}
	if want != t.got {
		return fmt.Sprintf("%s served %s, want %s of %v", t.strategy, t.got, want, names(t.usable))
	}
	return ""
}

// after is the next account by id after the one served last, or the first.
func after(list []*projection.Account, last string) string {
	for _, a := range list {
		if last != "" && a.ID > last {
			return a.ID
		}
	}
	return list[0].ID
}

// slotRef is one of an account's slots of a turn: the part of the turn that has
// passed when it comes, of 2^64.
type slotRef struct {
	at      uint64
	account string
}

// slotsOf lists the slots of all accounts in order. Those of one account are as far
// apart as its weight says, from where its hash puts the first.
func slotsOf(list []*projection.Account) (slots []slotRef) {
	for _, a := range list {
		weight := uint64(min(max(a.Spec.Weight, 1), 16))
		gap := math.MaxUint64 / weight
		for n := range weight {
			slots = append(slots, slotRef{projection.Hash64(a.ID)%gap + n*gap, a.ID})
		}
	}
	slices.SortFunc(slots, func(a, b slotRef) int { return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.account, b.account)) })
	return slots
}

// nextSlot is the first slot after a point of the turn, or of the next turn.
func nextSlot(slots []slotRef, point uint64) slotRef {
	for _, s := range slots {
		if s.at > point {
			return s
		}
	}
	return slots[0]
}

// uneven reports whether the accounts of a pool differ in weight.
func uneven(f field) bool {
	return slices.ContainsFunc(f.verdicts, func(v verdict) bool { return v.Spec.Weight != f.verdicts[0].Spec.Weight })
}

// wheelAt is where a pool's wheel may stand: the slots that may have been served last.
// Which, is known only while the accounts and their weights stay the same.
type wheelAt struct {
	roster string
	slots  []slotRef
}

// checkWheel checks that the account is the next usable one on the wheel after a slot
// that the wheel may stand at.
func (r *reference) checkWheel(f field, q *Request, t turnOf) string {
	turn := turnRef{f.id.Provider, f.id.Target, t.usable[0].Spec.Priority, false}
	var all []*projection.Account
	var roster strings.Builder
	for _, v := range f.verdicts {
		roster.WriteString(fmt.Sprint(v.ID, v.Spec.Priority, v.Spec.Weight, ";"))
		if v.Spec.Priority == turn.priority {
			all = append(all, v.Account)
		}
	}
	wheel := r.wheels[turn]
	if wheel == nil || wheel.roster != roster.String() {
		wheel = &wheelAt{roster.String(), slotsOf(all)}
	}
	usable := slotsOf(t.usable)
	var now []slotRef
	for _, last := range wheel.slots {
		if next := nextSlot(usable, last.at); next.account == t.got && !slices.Contains(now, next) {
			now = append(now, next)
		}
	}
	if len(now) == 0 {
		return fmt.Sprintf("weighted served %s, want the next after one of %d slots, of %v", t.got, len(wheel.slots), names(t.usable))
	}
	if !q.DryRun {
		r.wheels[turn] = &wheelAt{roster.String(), now}
	}
	return ""
}

// checkBlocked compares the answer that nothing is usable (rule 31).
func (r *reference) checkBlocked(f field, q *Request, got *BlockedError) string {
	var want BlockedError
	var due time.Time
	for _, v := range f.verdicts {
		if v.excluded {
			want.Counts.Excluded++
			continue
		}
		switch v.status {
		case projection.StatusDisabled:
			want.Counts.Disabled++
		case projection.StatusSuspended:
			want.Counts.Suspended++
		case projection.StatusHeld:
			want.Counts.Held++
		case projection.StatusCooling:
			want.Counts.Cooling++
		}
		want.EarliestEnd, due = earliest(want.EarliestEnd, v.until), earliest(due, v.empty)
	}
	if !due.IsZero() && !r.engine.View().Degraded {
		if free := r.nextFree(f, q.Now); free.After(due) && q.Now.Before(free) {
			due = free
		}
		want.NextProbe = before(due, want.EarliestEnd)
	}
	want.Code = codeOf(want.Counts, want.EarliestEnd)
	retry := time.Duration(0)
	if want.Code == BlockCooling {
		wait := earliest(want.EarliestEnd, want.NextProbe).Sub(q.Now)
		retry = time.Duration(max(1, math.Ceil(wait.Seconds()))) * time.Second
	}
	if got.Code != want.Code || got.Counts != want.Counts || !got.EarliestEnd.Equal(want.EarliestEnd) || !got.NextProbe.Equal(want.NextProbe) ||
		got.RetryAfter() != retry || got.Provider != f.id.Provider || got.Model != q.Model || got.Target != f.id.Target {
		return fmt.Sprintf("%s %+v, ends %s, probe %s, retry after %s; want %s %+v, %s, %s, %s", got.Code, got.Counts, got.EarliestEnd, got.NextProbe,
			got.RetryAfter(), want.Code, want.Counts, want.EarliestEnd, want.NextProbe, retry)
	}
	return r.checkReasons(f, got)
}

// codeOf is the code of rule 31.
func codeOf(c Counts, end time.Time) BlockCode {
	switch {
	case !end.IsZero():
		return BlockCooling
	case c.Held > 0:
		return BlockHeld
	case c.Suspended > 0:
		return BlockSuspended
	case c.Disabled > 0:
		return BlockDisabled
	case c.Excluded > 0:
		return BlockExcluded
	default:
		return BlockNoAccounts
	}
}

// checkReasons compares why each account is not usable.
func (r *reference) checkReasons(f field, got *BlockedError) string {
	i := 0
	for reason := range got.Reasons() {
		if i == len(f.verdicts) {
			return fmt.Sprintf("a reason too many: %+v", reason)
		}
		v := f.verdicts[i]
		i++
		want := Reason{Account: r.ids.Given(v.ID), Status: string(v.status), Until: v.until, Volatile: v.volatile}
		switch {
		case v.excluded:
			want = Reason{Account: want.Account, Status: "excluded"}
		case slices.Contains(v.targets, reason.Target):
			want.Target = reason.Target
		default:
			want.Target = strings.Join(v.targets, " or ")
		}
		if reason.Until.Equal(want.Until) {
			want.Until = reason.Until // in another zone
		}
		if reason != want {
			return fmt.Sprintf("reason %+v, want %+v", reason, want)
		}
	}
	if i != len(f.verdicts) {
		return fmt.Sprintf("%d reasons, want %d", i, len(f.verdicts))
	}
	return ""
}
