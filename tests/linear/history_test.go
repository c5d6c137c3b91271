package linear

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/anishathalye/porcupine"
)

// history is what clients asked and were told, in the making.
type history struct {
	*counts
	clock atomic.Int64 // ticks at each call and each answer
	told  atomic.Int64 // answers noted

	mu      sync.Mutex
	ops     []porcupine.Operation // guarded by mu
	pending []int                 // guarded by mu: of ops, to be settled when the log is opened anew
	leases  []uint64              // guarded by mu: the snapshots seen, in the order of the answers
}

func (h *history) tick() int64 { return h.clock.Add(1) }

// note adds an operation that has been answered.
func (h *history) note(client int, called int64, c call, r answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	op := porcupine.Operation{ClientId: client, Input: c, Call: called, Output: r, Return: h.tick()}
	if r.pending {
		op.ClientId += clients // for the drawing: the client goes on
		h.pending = append(h.pending, len(h.ops))
	}
	if c.verb == verbLook || c.verb == verbPick && r.what == "available" {
		h.leases = append(h.leases, r.seq)
	}
	h.ops = append(h.ops, op)
	if c.verb < verbUnrecorded {
		h.told.Add(1)
	}
	h.count(c.verb.String())
	h.count("answer: " + outline(c, r))
}

// outline is an answer as it is counted.
func outline(c call, r answer) string {
	text := r.what
	if r.why != "" {
		text = r.why
	}
	switch {
	case r.pending:
		return "pending"
	case c.verb == verbLook:
		return "look"
	case r.volatile:
		return "volatile"
	case r.repeated:
		return "repeated"
	}
	return text
}

// settle notes that the log was opened anew, at a head: what was pending until then is
// in it, or will never be.
func (h *history) settle(called int64, head uint64) {
	for _, account := range accounts() {
		h.note(clients-1, called, call{verb: verbReopen, account: account}, answer{what: "reopened"})
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, i := range h.pending {
		r := h.ops[i].Output.(answer)
		r.seq = head
		h.ops[i].Output, h.ops[i].Return = r, h.tick()
	}
	h.pending = nil
}

// lease returns the snapshot that was seen n answers ago, 0 if there is none.
func (h *history) lease(n int) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n >= len(h.leases) {
		return 0
	}
	return h.leases[len(h.leases)-1-n]
}

// counts is what happened how often.
type counts struct {
	mu sync.Mutex
	n  map[string]int // guarded by mu
}

func (c *counts) count(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[what]++
}

func (c *counts) of(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[what]
}

// String lists the counts by name.
func (c *counts) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var lines []string
	for _, what := range slices.Sorted(maps.Keys(c.n)) {
		lines = append(lines, fmt.Sprintf("%7d %s", c.n[what], what))
	}
	return strings.Join(lines, "\n")
}
