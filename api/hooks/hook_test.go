package hooks

import (
	"strings"
	"testing"

	"github.com/abeyance/abeyance/projection"
)

func TestCheckURL(t *testing.T) {
	for _, c := range []struct {
		url      string
		insecure bool
		want     string // of the error; empty: none
	}{
		{"https://hooks.example.com/abeyance?x=1", false, ""},
		{"https://hooks.example.com:8443", false, ""},
		{"http://127.0.0.1:9000/x", false, ""},
		{"http://127.8.8.8/x", false, ""},
		{"http://localhost:9000/x", false, ""},
		{"http://LOCALHOST./x", false, ""},
		{"http://[::1]:9000/x", false, ""},
		{"http://hooks.example.com/x", true, ""},
		{"http://hooks.example.com/x", false, "plain http"},
		{"http://localhost.example.com/x", false, "plain http"},
		{"http://0.0.0.0/x", false, "plain http"},
		{"http://10.0.0.1/x", false, "plain http"},
		{"http://2130706433/x", false, "plain http"},
		{"", false, "missing"},
		{"hooks.example.com/x", false, "no address"},
		{"https:///x", false, "no address"},
		{"https://:443/x", false, "no address"},
		{"https:hooks.example.com", false, "no address"},
		{"https://bob:hunter2@hooks.example.com", false, "user or password"},
		{"https://hooks.example.com/#x", false, "fragment"},
		{"ftp://hooks.example.com/x", true, "scheme"},
		{"file://localhost/etc/passwd", true, "scheme"},
		{"https://hooks.example.com/%zz", false, "no address"},
	} {
		err := CheckURL(c.url, c.insecure)
		switch {
		case (err == nil) != (c.want == ""), err != nil && !strings.Contains(err.Error(), c.want):
			t.Errorf("%q, insecure %t: error %v, want one with %q", c.url, c.insecure, err, c.want)
		case err != nil && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%q: the error shows the password", c.url)
		}
	}
}

func TestCheckKinds(t *testing.T) {
	for want, on := range map[string][]projection.NoticeKind{
		"missing": nil,
		"is none": {projection.NoticeHeld, "helt"},
		"twice":   {projection.NoticeHeld, projection.NoticeFrozen, projection.NoticeHeld},
	} {
		if err := CheckKinds(on); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one with %q", on, err, want)
		}
	}
	if err := CheckKinds(projection.NoticeKinds()); err != nil {
		t.Errorf("all kinds: %v", err)
	}
}

func TestCheckName(t *testing.T) {
	for name, good := range map[string]bool{
		"ops": true, "a": true, "0-x.y_z": true, strings.Repeat("a", 64): true, strings.Repeat("a", 65): false, "": false,
		"Ops": false, "-a": false, "a b": false, "a\n": false, "ä": false,
	} {
		if err := CheckName(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestHooksThatNoConfigurationHas(t *testing.T) {
	good := Hook{
		Name: "ops", URL: "https://hooks.example.com", Secret: mustSecret(t, publishedSecret),
		Filter: projection.NoticeFilter{On: []projection.NoticeKind{projection.NoticeHeld}},
	}
	if err := check([]Hook{good}); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Hook){
		"no secret":  func(h *Hook) { h.Secret = Secret{} },
		"plain http": func(h *Hook) { h.URL = "http://hooks.example.com" },
		"is missing": func(h *Hook) { h.Filter.On = nil },
		"no name":    func(h *Hook) { h.Name = "" },
	} {
		bad := good
		change(&bad)
		if err := check([]Hook{bad}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if err := check([]Hook{good, good}); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("the same twice: %v", err)
	}
	if err := check(make([]Hook, MaxHooks+1)); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("too many: %v", err)
	}
}
