package api_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/api"
)

func forwardedBy(socket string, lines ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = socket
	r.Header["X-Forwarded-For"] = lines
	return r
}

// inside are the networks that the tests trust.
func inside() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
}

func TestForwardedAddressesAreReadFromTheRight(t *testing.T) {
	for _, c := range []struct {
		name, socket string
		lines        []string
		want         string
	}{
		{"no header", "10.0.0.1:1", nil, "10.0.0.1"},
		{"of one that is not trusted", "192.0.2.1:1", []string{"127.0.0.1"}, "192.0.2.1"},
		{"of this machine, which is not trusted", "127.0.0.1:1", []string{"192.0.2.9"}, "127.0.0.1"},
		{"the client", "10.0.0.1:1", []string{"192.0.2.9"}, "192.0.2.9"},
		{"what the client made up", "10.0.0.1:1", []string{"127.0.0.1, 192.0.2.9"}, "192.0.2.9"},
		{"through two proxies", "10.0.0.1:1", []string{"127.0.0.1, 192.0.2.9, 10.0.0.2"}, "192.0.2.9"},
		{"on several lines", "10.0.0.1:1", []string{"127.0.0.1, 192.0.2.9", "10.0.0.2", "10.0.0.3"}, "192.0.2.9"},
		{"from inside", "10.0.0.1:1", []string{"10.0.0.7,10.0.0.8"}, "10.0.0.7"},
		{"with a port", "10.0.0.1:1", []string{"192.0.2.9:4711"}, "192.0.2.9"},
		{"IPv6", "[2001:db8::1]:1", []string{"2001:67c::5"}, "2001:67c::5"},
		{"IPv6 with a port", "[2001:db8::1]:1", []string{"[2001:67c::5]:80"}, "2001:67c::5"},
		{"IPv6 with a zone", "[2001:db8::1]:1", []string{"fe80::1%eth0\x1b"}, "fe80::1"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:1", []string{"::ffff:192.0.2.9"}, "192.0.2.9"},
		{"no address", "10.0.0.1:1", []string{"192.0.2.9, unknown"}, "10.0.0.1"},
		{"no address behind a proxy", "10.0.0.1:1", []string{"192.0.2.9, unknown, 10.0.0.2"}, "10.0.0.2"},
		{"empty", "10.0.0.1:1", []string{""}, "10.0.0.1"},
		{"empty elements", "10.0.0.1:1", []string{"192.0.2.9,,"}, "10.0.0.1"},
		{"a name", "10.0.0.1:1", []string{"localhost"}, "10.0.0.1"},
		{"a unix socket", "@", []string{"127.0.0.1"}, "invalid IP"},
	} {
		if got := api.ClientOf(inside(), forwardedBy(c.socket, c.lines...)); got.String() != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if got := api.ClientOf(nil, forwardedBy("10.0.0.1:1", "192.0.2.9")); got.String() != "10.0.0.1" {
		t.Errorf("nobody is trusted: %s", got)
	}
}

// FuzzForwarded: from a peer that is not trusted the header says nothing, and from one
// that is, nothing that a client puts before its own address does.
func FuzzForwarded(f *testing.F) {
	for _, text := range []string{"127.0.0.1", "1.2.3.4, 10.0.0.1", ",,", "[::1]:80, fe80::1%x", "unknown", strings.Repeat("10.1.1.1,", 100)} {
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		if got := api.ClientOf(inside(), forwardedBy("192.0.2.1:1", one, two)); got.String() != "192.0.2.1" {
			t.Fatalf("%q, %q: %s", one, two, got)
		}
		if got := api.ClientOf(inside(), forwardedBy("10.0.0.1:1", one, two+",198.51.100.7, 10.9.9.9")); got.String() != "198.51.100.7" {
			t.Fatalf("%q, %q: %s", one, two, got)
		}
		got := api.ClientOf(inside(), forwardedBy("10.0.0.1:1", one, two))
		if !got.IsValid() || got.Zone() != "" || got.Is4In6() {
			t.Fatalf("%q, %q: %s", one, two, got)
		}
	})
}
