package incident

import (
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// The accounts that the stories are about.
const (
	Forgotten = "cl-03" // suspended by hand and forgotten
	Early     = "ag-04" // told to wait for 71 hours, and back after five, which took seven to find
	Checked   = "ag-07" // whose quota an operator has checked
	Banned    = "ag-09"
	Reserved  = "ag-05" // kept for batches
	Heavy     = "ag-11" // whose Gemini is spent when the groups are defined anew
)

// The operators.
const (
	mara = "operator:mara"
	wei  = "operator:wei"
)

// script puts what operators and providers do on the agenda.
func (w *world) script() {
	w.spend()
	w.at(On(1, "08:40"), func() {
		w.do(mara, events.ViaCLI, &projection.Suspend{
			Filter: projection.Filter{Account: Forgotten}, Reason: "moving billing to the new card, back in an hour", Forever: true,
		})
	})
	w.at(On(1, "14:10"), w.insist)
	w.at(On(1, "14:40"), func() { w.reserve("kept for the nightly batch", 6*time.Hour) })
	w.at(On(2, "11:30"), func() { w.reserve("kept for the batch of the quarter", 5*time.Hour) })
	w.at(On(1, "19:47"), func() { w.upstream.banned[Banned] = true })
	w.at(On(1, "13:30"), func() { w.fail(w.stop()) })
	w.at(On(1, "13:34"), func() { w.fail(w.start()) })
	w.early()
	w.at(On(2, "09:00"), func() { w.upstream.tokens["cl-06"] = true })
	w.at(On(2, "10:32"), func() {
		w.upstream.poison = "req-poison"
		w.out.Requests++
		w.try(&request{id: w.upstream.poison, provider: antigravity, model: flash, stubborn: true})
	})
	w.at(On(2, "13:00"), func() {
		w.do(wei, events.ViaCLI, &projection.DefineGroups{Config: projection.GroupsConfig{Bootstrap: projection.PresetTwoPools}})
	})
	w.at(On(2, "16:20"), func() {
		w.do(wei, events.ViaCLI, &projection.Lift{Filter: projection.Filter{Account: Forgotten}, Reason: "billing moved yesterday, says Mara"})
	})
}

// reserve keeps an account from serving Gemini Pro.
func (w *world) reserve(reason string, length time.Duration) {
	w.do(wei, events.ViaCLI, &projection.Suspend{Filter: projection.Filter{Account: Reserved, Target: "gemini-pro"}, Reason: reason, For: length})
}

// spend puts the weekly quotas for Claude where a week that began before leaves them.
func (w *world) spend() {
	for n := 1; n <= antigravityAccounts; n++ {
		q := w.upstream.quota(antigravity, id("ag", n), "claude", week)
		q.used, q.reset = q.limit-90-n*5%8*20, Begin().Add(time.Duration(60+7*n)*time.Hour+time.Duration(137*n)*time.Second)
	}
	// The account of the 71 hours has more of the 5 hours, and at 11:05 nothing of the week.
	w.upstream.quota(antigravity, Early, "claude", fiveHours).limit = 150
	q := w.upstream.quota(antigravity, Early, "claude", week)
	q.used, q.reset = 0, On(1, "11:05").Add(71*time.Hour+16*time.Minute)
	w.at(On(1, "11:05"), func() { q.used = q.limit })
	w.at(On(1, "16:05"), func() { q.used = 0 })
	// One whose Gemini is spent when the groups change.
	w.at(On(2, "12:20"), func() {
		q := w.upstream.quota(antigravity, Heavy, "gemini", fiveHours)
		q.used, q.reset = q.limit, On(2, "15:41")
	})
}

// early is the night in which the provider gives quotas back.
func (w *world) early() {
	w.at(On(2, "06:02"), func() {
		for n := 1; n <= antigravityAccounts; n++ {
			q := w.upstream.quota(antigravity, id("ag", n), "claude", week)
			q.used, q.reset = 0, w.now().Add(week)
		}
	})
	w.at(On(2, "06:08"), func() {
		w.do(mara, events.ViaCLI, &projection.Recheck{
			Filter: projection.Filter{Account: Checked, Target: "claude"}, Reason: "others say that the week began anew",
		})
	})
	w.at(On(2, "06:12"), func() {
		w.do(mara, events.ViaCLI, &projection.Clear{
			Filter: projection.Filter{Provider: antigravity, Target: "claude", Class: events.ClassQuotaExhausted},
			Reason: "the provider began the week anew: the check of " + Checked + " was served",
		})
	})
}

// ask is what the upstream answers to a request, and how long it takes.
func (w *world) ask(q *request, account string) (response, time.Duration) {
	quick := w.between(80*time.Millisecond, 900*time.Millisecond)
	if r := w.refusal(q, account); r.status != 0 {
		return r, quick
	}
	return served(), w.between(1500*time.Millisecond, 28*time.Second)
}

// refusal is why the upstream refuses a request; a status of 0: it does not.
func (w *world) refusal(q *request, account string) response {
	now, u := w.now(), w.upstream
	switch {
	case u.banned[account]:
		return googleBan()
	case q.id == u.poison:
		return googlePlain()
	case u.tokens[account]:
		return claudeExpired()
	case q.model == pro && w.storm() && !w.chance(8):
		return googleCapacity(q.model, w.shortage())
	case q.provider == claude && w.chance(1):
		return claudeOverloaded()
	case w.rand.IntN(250) == 0:
		return badGateway()
	}
	if d := u.pace(account, q.model, now).exceeded(now); d > 0 {
		return tooFast(q, now, d)
	}
	return w.quotas(q, account)
}

// storm reports whether the provider is short of capacity.
func (w *world) storm() bool {
	return !w.now().Before(On(1, "14:10")) && w.now().Before(On(1, "15:25"))
}

// shortage is what the provider says how long its shortage lasts: nothing, some seconds,
// or far too much.
func (w *world) shortage() time.Duration {
	switch r := w.rand.IntN(10); {
	case r < 5:
		return 0
	case r < 9:
		return time.Duration(12+w.rand.IntN(40)) * time.Second
	default:
		return 15 * time.Minute
	}
}

// tooFast is the answer to requests that come too fast.
func tooFast(q *request, now time.Time, d time.Duration) response {
	d += 354703 * time.Nanosecond // providers are precise about nothing
	switch q.provider {
	case antigravity:
		return googleRate(q.model, now, d)
	case claude:
		return claudeBurst()
	default:
		return codexRate(q.model, d.Truncate(time.Millisecond))
	}
}

// quotas uses the quotas of a request's family up.
func (w *world) quotas(q *request, account string) response {
	now, f := w.now(), family(q.provider, q.model)
	weekly := w.upstream.quota(q.provider, account, f, week)
	fiveHour := w.upstream.quota(q.provider, account, f, fiveHours)
	for _, x := range []*quota{weekly, fiveHour} {
		if x.spent(now) {
			return exhausted(q, now, x, claudeWindows{now: now, fiveHour: fiveHour.reset, weekly: weekly.reset})
		}
	}
	return response{}
}

// exhausted is the answer to a request whose quota is spent.
func exhausted(q *request, now time.Time, x *quota, windows claudeWindows) response {
	reset := x.reset
	switch q.provider {
	case antigravity:
		return googleQuota(q.model, now, reset, x.length == week)
	case claude:
		windows.spent = "5h"
		if x.length == week {
			windows.spent = "7d"
		}
		return claudeQuota(windows)
	default:
		limit := "codex"
		if family(q.provider, q.model) == "spark" {
			limit = "codex_bengalfox"
		}
		if x.silent {
			reset = time.Time{}
		}
		return codexQuota(limit, now, reset, x.length)
	}
}
