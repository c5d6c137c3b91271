package api

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// connections bounds how many connections one peer may hold. Those of this machine and
// of trusted proxies are not counted: they carry everybody's requests.
type connections struct {
	limit   int // 0: none
	trusted peers
	logger  *slog.Logger
	refused prometheus.Counter

	mu sync.Mutex
	// open :: network of the peer → its connections
	open map[netip.Addr]int
	said allowance // how often refusals may be told
}

// refusalEvery keeps refusals from filling the log.
const refusalEvery = 10 * time.Second

// state is a hook of http.Server: it is called as connections come and go.
func (c *connections) state(conn net.Conn, state http.ConnState) {
	if c.limit == 0 || state != http.StateNew && state != http.StateClosed && state != http.StateHijacked {
		return
	}
	peer := connPeer(conn)
	if !peer.IsValid() || peer.IsLoopback() || c.trusted.trust(peer) {
		return
	}
	if state != http.StateNew {
		c.leave(network(peer))
		return
	}
	if c.enter(network(peer)) <= c.limit {
		return
	}
	_ = conn.Close() // the server finds it closed, and calls again with StateClosed
	c.refused.Inc()
	if c.said.take(pace{every: refusalEvery, burst: 1}, time.Now()) == 0 {
		c.logger.Warn("connections are refused: their peer has as many as one may have",
			"peer", peer.String(), "max_connections_per_peer", c.limit)
	}
}

func (c *connections) enter(peer netip.Addr) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[peer]++
	return c.open[peer]
}

func (c *connections) leave(peer netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[peer]--; c.open[peer] <= 0 {
		delete(c.open, peer)
	}
}
