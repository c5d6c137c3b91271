package api

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// peers tells requests apart by where they come from.
type peers struct{ trusted []netip.Prefix }

// of returns who sent a request, as far as it can be known: the socket's peer, or, if
// that is a proxy that is trusted, the last address in X-Forwarded-For that is none.
// Everything to the left of it is the client's own invention. The zero Addr is a peer
// without an address, on a unix socket.
func (p peers) of(r *http.Request) netip.Addr {
	at := socketPeer(r.RemoteAddr)
	if !p.trust(at) {
		return at
	}
	lines := r.Header["X-Forwarded-For"]
	for i := len(lines) - 1; i >= 0; i-- {
		for rest, last := lines[i], ""; ; {
			comma := strings.LastIndexByte(rest, ',')
			last, rest = rest[comma+1:], rest[:max(comma, 0)]
			next, ok := forwarded(last)
			if !ok {
				return at // what a proxy did not write says nothing of what is to its left
			}
			if at = next; !p.trust(at) {
				return at
			}
			if comma < 0 {
				break
			}
		}
	}
	return at
}

func (p peers) trust(a netip.Addr) bool {
	for _, prefix := range p.trusted {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

// forwarded reads one address of a list; some proxies add its port.
func forwarded(text string) (netip.Addr, bool) {
	text = strings.Trim(text, " \t")
	if a, err := netip.ParseAddrPort(text); err == nil {
		return a.Addr().WithZone("").Unmap(), true
	}
	a, err := netip.ParseAddr(text)
	return a.WithZone("").Unmap(), err == nil
}

// socketPeer reads the address of a peer as net/http gives it.
func socketPeer(remote string) netip.Addr {
	a, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return a.Addr().WithZone("").Unmap()
}

// connPeer is socketPeer for a connection.
func connPeer(c net.Conn) netip.Addr {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().WithZone("").Unmap()
	}
	return netip.Addr{}
}

// network is what one peer can send from: of IPv6 a whole /64, in which it can give
// itself any address.
func network(a netip.Addr) netip.Addr {
	if a.Is6() && !a.IsLoopback() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}
