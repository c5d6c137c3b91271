package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/abeyance/abeyance/api"
)

// Defaults of what one client may use of the daemon.
const (
	defaultMaxConnections = 1024
	defaultMaxChanges     = 100
)

// networkSettings are whom the daemon answers, and how much.
type networkSettings struct {
	AllowedHosts          []string
	TrustedProxies        []string // networks, as 10.0.0.0/8, or single addresses
	MaxConnectionsPerPeer int
	MaxChangesPerSecond   int
}

// networkFlags are their flags.
type networkFlags networkSettings

func (f *networkFlags) add(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.AllowedHosts, "allow-host", nil, "`host` that requests may name, beside localhost; may be repeated")
	flags.StringSliceVar(&f.TrustedProxies, "trusted-proxy", nil, "`network` whose X-Forwarded-For is believed, such as 10.0.0.0/8; may be repeated")
	flags.IntVar(&f.MaxConnectionsPerPeer, "max-connections-per-peer", 0,
		fmt.Sprintf("`connections` of one address beyond this machine; 0: any number (default %d)", defaultMaxConnections))
	flags.IntVar(&f.MaxChangesPerSecond, "max-changes-per-second", 0,
		fmt.Sprintf("`commands` of one token, reports not counted; 0: any number (default %d)", defaultMaxChanges))
}

// resolve completes the settings.
func (f *networkFlags) resolve(s *settings, given func(flag string) bool) error {
	n, file := &s.network, &s.file.file
	chooseList(s, given, listChoice{key: "allowed_hosts", to: &n.AllowedHosts, file: file.AllowedHosts, flag: "allow-host", value: f.AllowedHosts})
	chooseList(s, given, listChoice{key: "trusted_proxies", to: &n.TrustedProxies, file: file.TrustedProxies, flag: "trusted-proxy", value: f.TrustedProxies})
	choose(s, given, choice[int]{
		key: "max_connections_per_peer", to: &n.MaxConnectionsPerPeer, base: defaultMaxConnections, file: file.MaxConnectionsPerPeer,
		flag: "max-connections-per-peer", value: f.MaxConnectionsPerPeer,
	})
	choose(s, given, choice[int]{
		key: "max_changes_per_second", to: &n.MaxChangesPerSecond, base: defaultMaxChanges, file: file.MaxChangesPerSecond,
		flag: "max-changes-per-second", value: f.MaxChangesPerSecond,
	})
	for _, c := range []struct {
		flag string
		err  error
	}{
		{"allow-host", checkHosts(n.AllowedHosts)},
		{"trusted-proxy", checkProxies(n.TrustedProxies)},
		{"max-connections-per-peer", checkCount(n.MaxConnectionsPerPeer)},
		{"max-changes-per-second", checkCount(n.MaxChangesPerSecond)},
	} {
		if c.err != nil {
			return usage("--%s: %v", c.flag, c.err)
		}
	}
	return nil
}

// listChoice is choice for a list. What is given replaces what the file says.
type listChoice struct {
	key   string
	to    *[]string
	file  *[]string
	flag  string
	value []string
}

func chooseList(s *settings, given func(flag string) bool, c listChoice) {
	s.origins[c.key] = originDefault
	if c.file != nil {
		*c.to, s.origins[c.key] = *c.file, s.file.origin(c.key)
	}
	if given(c.flag) {
		*c.to, s.origins[c.key] = c.value, s.givenBy(c.flag)
	}
}

// rows lists the settings as config show does.
func (n *networkSettings) rows(s *settings) []effectiveRow {
	return []effectiveRow{
		s.row("allowed_hosts", strings.Join(n.AllowedHosts, ", ")),
		s.row("trusted_proxies", strings.Join(n.TrustedProxies, ", ")),
		s.row("max_connections_per_peer", fmt.Sprint(n.MaxConnectionsPerPeer)),
		s.row("max_changes_per_second", fmt.Sprint(n.MaxChangesPerSecond)),
	}
}

// checkNetwork finds mistakes of the file in these settings.
func (p *parsedConfig) checkNetwork(fail func(err error, path ...string)) {
	f := &p.file
	if f.AllowedHosts != nil {
		fail(checkHosts(*f.AllowedHosts), "allowed_hosts")
	}
	if f.TrustedProxies != nil {
		fail(checkProxies(*f.TrustedProxies), "trusted_proxies")
	}
	if f.MaxConnectionsPerPeer != nil {
		fail(checkCount(*f.MaxConnectionsPerPeer), "max_connections_per_peer")
	}
	if f.MaxChangesPerSecond != nil {
		fail(checkCount(*f.MaxChangesPerSecond), "max_changes_per_second")
	}
}

func checkHosts(list []string) error {
	for _, text := range list {
		if err := api.CheckHost(text); err != nil {
			return err
		}
	}
	return nil
}

func checkProxies(list []string) error {
	_, err := parseProxies(list)
	return err
}

// parseProxies reads networks and single addresses.
func parseProxies(list []string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for _, text := range list {
		p, err := netip.ParsePrefix(text)
		if a, single := netip.ParseAddr(text); single == nil && a.Zone() == "" {
			p, err = a.Prefix(a.BitLen())
		}
		switch {
		case err != nil:
			return nil, fmt.Errorf("%q is no network: write 10.0.0.0/8 or one address", text)
		case p.Masked() != p:
			return nil, fmt.Errorf("%q is no network: its address has more bits than its length says; did you mean %s?", text, p.Masked())
		case p.Bits() == 0:
			return nil, fmt.Errorf("%q is everybody: then any client could say where it comes from", text)
		case p.Addr().Is4In6():
			return nil, fmt.Errorf("%q: write it as an IPv4 network", text)
		}
		networks = append(networks, p)
	}
	return networks, nil
}

// maxCount bounds the bounds: more is a typing error.
const maxCount = 1_000_000

func checkCount(n int) error {
	if n < 0 || n > maxCount {
		return fmt.Errorf("%d is not within 0 and %d", n, maxCount)
	}
	return nil
}

// serverOptions are the settings as the server takes them.
func (s *settings) serverOptions() (o api.Options, err error) {
	o.AllowedHosts = slices.Clone(s.network.AllowedHosts)
	if host, ok := api.HostOf(s.Listen); ok {
		o.AllowedHosts = append(o.AllowedHosts, host)
	}
	o.TrustedProxies, err = parseProxies(s.network.TrustedProxies)
	o.MaxConnectionsPerPeer, o.MaxChangesPerSecond = s.network.MaxConnectionsPerPeer, s.network.MaxChangesPerSecond
	return o, err
}

// nameless reports whether the daemon listens to other machines, and none of its names
// is one that they could use.
func (s *settings) nameless() bool {
	_, named := api.HostOf(s.Listen)
	return api.CheckBind(s.Listen, false, false) != nil && !named && len(s.network.AllowedHosts) == 0
}
