package linear

// execute returns what a command or report makes of the account, and what it is to be
// answered.
func (a account) execute(c call, at stamp) (account, want) {
	if m := a.memory[c.id]; m.want.what != "" {
		if !c.verb.reports() && m.call != c {
			return a, want{what: "idempotency_key_reused"}
		}
		w := m.want
		w.records, w.earlier, w.repeated = 0, 0, true
		return a, w
	}
	var w want
	switch c.verb {
	case verbLimit:
		w = a.limit(c, at)
	case verbBan:
		w = a.ban(c, at)
	case verbServe:
		w = a.serve(c, at)
	case verbSuspend:
		w = a.suspend(c)
	case verbLift:
		w = a.lift(c)
	case verbClear:
		w = a.clear(c, at)
	case verbPut:
		w = a.put(c)
	case verbRemove:
		w = a.remove(c, at)
	}
	if c.id > 0 && w.records > 0 {
		a.memory[c.id] = memo{c, w, at}
	}
	return a, w
}

// gone reports whether a report's request was sent before the account was removed.
func (a *account) gone(c call) bool { return c.lease > 0 && c.lease < a.removed }

// recorded is the answer to a report that is recorded, on an account that may not have
// been known.
func (a *account) recorded(w want) want {
	w.records = 1
	if !a.present {
		a.present, a.observed = true, true
		w.records, w.earlier = 2, 1
	}
	return w
}

func (a *account) limit(c call, at stamp) want {
	if a.gone(c) {
		return want{what: "account_removed"}
	}
	k := &a.cells[c.target]
	switch {
	case c.lease > 0 && c.lease < k.ended:
		return a.recorded(want{what: "none", why: "stale"}) // a 429 is always recorded
	case k.hours == 0:
		k.hours, k.last = c.hours, at.of(0)
		return a.recorded(want{what: "started", cells: 1 << c.target})
	case c.hours > k.hours:
		k.hours, k.last = c.hours, at.of(0)
		return a.recorded(want{what: "extended", cells: 1 << c.target})
	default:
		k.last = at.of(0)
		return a.recorded(want{what: "kept", cells: 1 << c.target})
	}
}

func (a *account) ban(c call, at stamp) want {
	k := &a.cells[targetAll]
	switch {
	case a.gone(c):
		return want{what: "account_removed"}
	case c.lease > 0 && c.lease < k.ended:
		return want{what: "none", why: "stale"}
	case k.held:
		return want{what: "kept", cells: 1 << targetAll}
	default:
		k.held, k.last = true, at.of(0)
		return a.recorded(want{what: "held", cells: 1 << targetAll})
	}
}

// serve ends what the served request disproves: one that was sent after the newest
// evidence.
func (a *account) serve(c call, at stamp) want {
	if a.gone(c) {
		return want{what: "account_removed"}
	}
	w := want{what: "none", why: "nothing_blocked"}
	for _, t := range []int{targetAll, c.target} {
		k := &a.cells[t]
		switch {
		case !k.automatic():
		case c.lease > 0 && c.lease >= k.last:
			if w.records == 0 {
				w = want{what: "recovered", cells: 1 << t}
			}
			k.end(at.of(w.records))
			w.records++
		case w.records == 0:
			w.why = "older_success"
		}
	}
	return w
}

func (a *account) suspend(c call) want {
	k := &a.cells[c.target]
	switch {
	case !a.present:
		return want{what: "unknown_account"}
	case k.reason == c.reason:
		return want{what: "unchanged"}
	default:
		k.reason = c.reason
		return want{what: "suspended", cells: 1 << c.target, records: 1}
	}
}

// lift ends suspensions and nothing else.
func (a *account) lift(c call) want {
	return a.end(c, "lifted", (*cell).automatic, func(k *cell, _ int) bool {
		was := k.reason > 0
		k.reason = 0
		return was
	})
}

// clear ends cooldowns and holds and nothing else.
func (a *account) clear(c call, at stamp) want {
	return a.end(c, "cooldown_cleared", func(k *cell) bool { return k.reason > 0 }, func(k *cell, n int) bool {
		was := k.automatic()
		if was {
			k.end(at.of(n))
		}
		return was
	})
}

// end ends blocks of one kind. Where there are only other ones the verb is the wrong
// one.
func (a *account) end(c call, what string, other func(*cell) bool, ends func(k *cell, n int) bool) want {
	if !a.present {
		return want{what: "unknown_account"}
	}
	w, others := want{what: what}, false
	for t := range a.cells {
		if c.target != everyTarget && c.target != t {
			continue
		}
		k := &a.cells[t]
		others = others || other(k)
		if ends(k, w.records) {
			w.cells |= 1 << t
			w.records++
		}
	}
	switch {
	case w.records > 0:
		return w
	case others:
		return want{what: "wrong_verb"}
	default:
		return want{what: "unchanged"}
	}
}

func (a *account) put(c call) want {
	switch {
	case !a.present:
		a.present, a.disabled = true, c.disabled
		return want{what: "account_added", records: 1}
	case a.disabled == c.disabled && !a.observed:
		return want{what: "unchanged"}
	default:
		a.disabled, a.observed = c.disabled, false
		return want{what: "account_changed", records: 1}
	}
}

func (a *account) remove(c call, at stamp) want {
	if !a.present {
		return want{what: "unknown_account"}
	}
	for _, k := range a.cells {
		if k.reason > 0 && !c.force {
			return want{what: "manual_suspension_live"}
		}
	}
	a.present, a.observed, a.disabled, a.removed = false, false, false, at.of(0)
	a.cells = [targets]cell{} // what is added again starts clean
	return want{what: "account_removed", records: 1}
}
