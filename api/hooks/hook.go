package hooks

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/abeyance/abeyance/projection"
)

// MaxHooks bounds the receivers: each follows the log with a state of its own.
const MaxHooks = 16

// Hook is one receiver and what it is told of.
type Hook struct {
	Name    string // a label of the metrics, too
	URL     string
	Secret  Secret
	Filter  projection.NoticeFilter
	Version string // of Abeyance, for the User-Agent
	// GivenIDs shows account ids as they were given, which may be e-mail addresses.
	GivenIDs bool
	// Insecure allows plain HTTP beyond this machine.
	Insecure bool
}

func (h *Hook) equal(o *Hook) bool {
	return h.Name == o.Name && h.URL == o.URL && h.Secret.Equal(o.Secret) && h.Version == o.Version && h.GivenIDs == o.GivenIDs &&
		h.Insecure == o.Insecure && slices.Equal(h.Filter.On, o.Filter.On) && h.Filter.Provider == o.Filter.Provider &&
		h.Filter.Group == o.Filter.Group && h.Filter.LongerThan == o.Filter.LongerThan
}

func (h *Hook) wants(k projection.NoticeKind) bool { return slices.Contains(h.Filter.On, k) }

var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)

// CheckName refuses a name that no hook can have.
func CheckName(name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("%q is no name: 1 to 64 of a-z, 0-9, '.', '_' and '-', the first a letter or digit", name)
	}
	return nil
}

// CheckURL refuses an address that nothing is sent to: anything but https, or, if it is
// insecure or on this machine, http. The error does not show it: it may be a secret.
func CheckURL(raw string, insecure bool) error {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return errors.New("it is missing")
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return errors.New("it is no address: write https://HOST/PATH")
	case u.User != nil:
		return errors.New("it holds a user or password; a receiver knows messages by their signature")
	case u.Fragment != "":
		return errors.New("it has a fragment (#), which is never sent")
	case u.Scheme == "https":
		return nil
	case u.Scheme != "http":
		return fmt.Errorf("its scheme is %q: write https://", u.Scheme)
	case insecure || isLoopback(u.Hostname()):
		return nil
	}
	return errors.New("plain http leaves this machine readable: write https://, or insecure: true")
}

// isLoopback reports whether a host names this machine. What a name resolves to is
// checked when it is connected to.
func isLoopback(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// CheckKinds refuses a list of kinds that asks for nothing, or for what there is not.
func CheckKinds(on []projection.NoticeKind) error {
	if len(on) == 0 {
		return fmt.Errorf("it is missing: list some of %s", kindList())
	}
	for i, k := range on {
		if !slices.Contains(projection.NoticeKinds(), k) {
			return fmt.Errorf("%q is none of %s", k, kindList())
		}
		if slices.Contains(on[:i], k) {
			return fmt.Errorf("%q is listed twice", k)
		}
	}
	return nil
}

func kindList() string {
	var names []string
	for _, k := range projection.NoticeKinds() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}
