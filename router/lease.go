package router

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// Lease is the answer to a pick. It is a value, kept nowhere and not a credential:
// it dates the evidence of the report that follows. One that is never reported costs
// nothing and blocks nothing.
type Lease struct {
	Account  string // the id as given
	Provider string // canonical
	Model    string // as requested
	Target   string // the group, or the model's own target
	Seq      events.Seq
	// Probe is not 0 if the request tests whether a quota is back: the number of the
	// claim, which the report or Router.Release frees.
	Probe uint64
	// Degraded: the log cannot be written, so that limits and recoveries since then are
	// known only to this router, and only for a while.
	Degraded bool
	// WouldBlock is the status that would have kept the account from being picked,
	// if the engine only observes; empty otherwise.
	WouldBlock projection.Status
}

// String returns the form that travels beside a request: SEQ, or SEQ.pN of a probe.
func (l Lease) String() string {
	text := strconv.FormatUint(uint64(l.Seq), 10)
	if l.Probe != 0 {
		text += ".p" + strconv.FormatUint(l.Probe, 10)
	}
	return text
}

// ParseLease reads what Lease.String writes: only the seq and the probe are known of
// it.
func ParseLease(s string) (Lease, error) {
	seq, probe, isProbe := strings.Cut(s, ".p")
	var l Lease
	n, err := strconv.ParseUint(seq, 10, 64)
	l.Seq = events.Seq(n)
	if err == nil && isProbe {
		l.Probe, err = strconv.ParseUint(probe, 10, 64)
	}
	if err != nil || l.Seq == 0 || l.String() != s {
		return Lease{}, fmt.Errorf("%q is no lease: it is what a pick returned, such as 17 or 17.p2", s)
	}
	return l, nil
}
