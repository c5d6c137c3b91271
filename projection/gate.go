package projection

import "sync"

// gates wake those who wait for a provider to have something usable.
type gates struct {
	mu   sync.Mutex
	shut map[string]*wakeup
}

type wakeup struct {
	opened  chan struct{}
	waiting int
}

// wait returns a channel that is closed when the provider's gate opens next. Call
// leave when it is of no more use.
func (g *gates) wait(provider string) (opened <-chan struct{}, leave func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	x := g.shut[provider]
	if x == nil {
		if g.shut == nil {
			g.shut = map[string]*wakeup{}
		}
		x = &wakeup{opened: make(chan struct{})}
		g.shut[provider] = x
	}
	x.waiting++
	return x.opened, func() { g.leave(provider, x) }
}

// leave forgets a gate that nobody waits at.
func (g *gates) leave(provider string, x *wakeup) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if x.waiting--; x.waiting == 0 && g.shut[provider] == x {
		delete(g.shut, provider)
	}
}

// open lets those pass who wait for the providers that gained.
func (g *gates) open(by gains) {
	if !by.all && len(by.providers) == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for provider, x := range g.shut {
		if by.has(provider) {
			close(x.opened)
			delete(g.shut, provider)
		}
	}
}
