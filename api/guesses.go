package api

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// Bounds of wrong tokens. They keep a guesser from filling the log and the metrics; a
// token of 32 random bytes needs no help against guessing. A right token passes at any
// time, and none at all is no guess: else a health probe could lock an operator out who
// sits behind the same address.
const (
	guessEvery = 6 * time.Second // of one peer, once its burst is spent
	guessBurst = 10
	// maxGuessers bounds the peers that are remembered; the ones that guessed least
	// recently are forgotten first.
	maxGuessers = 10_000
)

// guesses counts the wrong tokens of each peer.
type guesses struct {
	mu sync.Mutex
	// peers :: network of the peer → its element of order
	peers map[netip.Addr]*list.Element
	order *list.List // of *guesser, the latest first
}

type guesser struct {
	peer netip.Addr
	debt time.Time
	over bool // it was told to wait
}

func newGuesses() *guesses {
	return &guesses{peers: map[netip.Addr]*list.Element{}, order: list.New()}
}

// wrong notes a wrong token and returns how long its peer has to wait; 0: it may guess
// on. first is true if it did not have to wait before.
func (g *guesses) wrong(from netip.Addr, now time.Time) (wait time.Duration, first bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.peer(network(from))
	p.debt, wait = pace{guessEvery, guessBurst}.take(p.debt, now)
	first = wait > 0 && !p.over
	p.over = wait > 0
	return wait, first
}

// peer returns the entry of a peer, as the latest.
func (g *guesses) peer(key netip.Addr) *guesser {
	if e, ok := g.peers[key]; ok {
		g.order.MoveToFront(e)
		return e.Value.(*guesser)
	}
	if g.order.Len() >= maxGuessers {
		oldest := g.order.Back()
		delete(g.peers, g.order.Remove(oldest).(*guesser).peer)
	}
	p := &guesser{peer: key}
	g.peers[key] = g.order.PushFront(p)
	return p
}
