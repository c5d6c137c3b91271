package plugin

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/abeyance/abeyance/router"
)

// The host tells how a request went, but not which pick it was of. Probes are kept here
// until the first record of their account comes whose request began after the pick: its
// evidence is at least as new, and the next probe may go out.

const (
	maxProbes = 64
	probeLife = 2 * time.Minute // as the router's own claim by default
)

// probes are the leases of those that are out. A pick that is none of them does not
// come here; adding and taking replace the list whole.
type probes struct{ list atomic.Pointer[[]probe] }

type probe struct {
	lease router.Lease
	at    time.Time
}

func (p *probes) add(l router.Lease, now time.Time) {
	l.Account, l.Model = strings.Clone(l.Account), strings.Clone(l.Model)
	p.change(now, func(list []probe) []probe {
		return append(list[max(0, len(list)-maxProbes+1):], probe{l, now})
	})
}

// take returns the lease of a probe that a request of an account was, and forgets it;
// false if there is none.
func (p *probes) take(account string, began, now time.Time) (lease router.Lease, found bool) {
	if list := p.list.Load(); list == nil || len(*list) == 0 {
		return router.Lease{}, false
	}
	p.change(now, func(list []probe) []probe {
		i := slices.IndexFunc(list, func(x probe) bool { return x.lease.Account == account && !began.Before(x.at) })
		lease, found = router.Lease{}, i >= 0
		if !found {
			return list
		}
		lease = list[i].lease
		return slices.Delete(list, i, i+1)
	})
	return lease, found
}

// change replaces the list by what f makes of a copy without those that are over. f may
// be called several times.
func (p *probes) change(now time.Time, f func([]probe) []probe) {
	for {
		old := p.list.Load()
		var list []probe
		if old != nil {
			for _, x := range *old {
				if now.Sub(x.at) < probeLife {
					list = append(list, x)
				}
			}
		}
		list = f(list)
		if p.list.CompareAndSwap(old, &list) {
			return
		}
	}
}

// all returns those that may be out.
func (p *probes) all() []probe {
	if list := p.list.Load(); list != nil {
		return *list
	}
	return nil
}
