package api

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

// hosts are the names that requests may be addressed to. A page that makes a name of
// its own resolve to this machine (DNS rebinding) gets past every check of origins,
// because for the browser that name is the page's own; it cannot make it one of these.
type hosts []hostName

// hostName is one name, in lower case.
type hostName struct {
	name string // an IPv6 address without its brackets
	port string // empty: that of the connection, or none, as behind a proxy on a standard port
	// local names are those of this machine for itself: their port must be the
	// connection's.
	local bool
}

// newHosts returns the names of this machine for itself and those that are configured.
func newHosts(configured []string) (hosts, error) {
	list := hosts{{name: "localhost", local: true}, {name: "127.0.0.1", local: true}, {name: "::1", local: true}}
	for _, text := range configured {
		h, err := parseHost(text)
		if err != nil {
			return nil, err
		}
		list = append(list, h)
	}
	return list, nil
}

// CheckHost refuses what no request can be addressed to: a host is a name or an IP
// address, with a port or without, such as abeyance.example.org or [2001:db8::1]:8417.
// There are no wildcards.
func CheckHost(text string) error {
	_, err := parseHost(text)
	return err
}

func parseHost(text string) (hostName, error) {
	name, port, ok := splitHost(strings.ToLower(text))
	fail := func(why string) (hostName, error) {
		return hostName{}, fmt.Errorf("%q is no host: %s", text, why)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case !ok:
		return fail("write a name or an IP address, with :PORT or without; an IPv6 address in [ ]")
	case port != "" && (err != nil || n == 0):
		return fail("its port is not within 1 and 65535")
	case strings.HasSuffix(name, "."):
		return fail("leave the dot at its end out")
	}
	if ip, err := netip.ParseAddr(name); err == nil {
		if ip.IsUnspecified() || ip.Zone() != "" || ip.String() != name {
			return fail("write the address as browsers do, such as 192.0.2.1 or [2001:db8::1]")
		}
		return hostName{name: name, port: port}, nil
	}
	if strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
	}) {
		return fail("a name has letters, digits, '-', '_' and '.'; there are no wildcards")
	}
	return hostName{name: name, port: port}, nil
}

// splitHost takes a Host header apart. Not ok is what has neither form.
func splitHost(text string) (name, port string, ok bool) {
	rest := ""
	if inner, bracketed := strings.CutPrefix(text, "["); bracketed {
		name, rest, ok = strings.Cut(inner, "]")
		ok = ok && strings.Contains(name, ":")
	} else {
		colon := strings.IndexByte(text, ':')
		if colon < 0 {
			return text, "", text != ""
		}
		name, rest, ok = text[:colon], text[colon:], true
	}
	if !ok || name == "" || rest == "" {
		return name, "", ok && name != ""
	}
	port, ok = strings.CutPrefix(rest, ":")
	return name, port, ok && digits(port)
}

// digits reports whether a text is one to five digits.
func digits(text string) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return len(text) >= 1 && len(text) <= 5
}

// allow reports whether a request is addressed to one of the names. The comparison is
// exact but for case: localhost. and 127.1 are other names to a browser.
func (h hosts) allow(r *http.Request) bool {
	name, port, ok := splitHost(strings.ToLower(r.Host))
	if !ok {
		return false
	}
	own := ownPort(r)
	for i := range h {
		if h[i].name == name && h[i].takes(port, own, r.TLS != nil) {
			return true
		}
	}
	return false
}

// takes reports whether a port belongs to the name. own is the connection's: 0 for one
// that has none, such as a unix socket, which no browser can use.
func (n *hostName) takes(port string, own int, secure bool) bool {
	given, _ := strconv.Atoi(port) // digits
	switch {
	case n.port != "":
		return n.port == port
	case own == 0 || given == own && port != "":
		return true
	case n.local:
		return port == "" && (secure && own == 443 || !secure && own == 80)
	default:
		return port == ""
	}
}

// ownPort is the port that a request came in on; 0: none.
func ownPort(r *http.Request) int {
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}

// misdirected answers a request to a host that is not ours.
func misdirected(host string) *Problem {
	return newProblem(CodeMisdirected, fmt.Sprintf("this server does not answer to the host %q: "+
		"use one of its names, or give it this one with --allow-host (allowed_hosts in its configuration)", host[:min(len(host), 100)]))
}

// HostOf returns what requests to an address to listen on name, if that address is one
// machine's: it needs no configuration, for it is named already.
func HostOf(listen string) (host string, ok bool) {
	name, _, err := net.SplitHostPort(listen)
	if err != nil || name == "" || strings.HasPrefix(listen, unixScheme) {
		return "", false
	}
	if ip, err := netip.ParseAddr(name); err == nil {
		if ip.IsUnspecified() {
			return "", false
		}
		if name = ip.WithZone("").Unmap().String(); strings.Contains(name, ":") {
			name = "[" + name + "]"
		}
	}
	return name, CheckHost(name) == nil
}
