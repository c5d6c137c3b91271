package tests

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// planted makes secrets of the shapes that upstream answers leak: tokens, keys,
// JWTs and e-mail addresses. They are random, so that none is known by its text.
func planted(n int) []string {
	random := rand.New(rand.NewPCG(35, 35))
	word := func(length int) string {
		const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
		b := make([]byte, length)
		for i := range b {
			b[i] = letters[random.IntN(len(letters))]
		}
		return string(b)
	}
	shapes := []func() string{
		func() string { return "sk-ant-" + word(40) },
		func() string { return "sk-proj-" + word(32) },
		func() string { return "AIza" + word(35) },
		func() string { return "ya29." + word(60) },
		func() string { return "ghp_" + word(36) },
		func() string { return "xai-" + word(40) },
		func() string { return "eyJ" + word(20) + "." + word(60) + "." + word(43) },
		func() string { return strings.ToLower(word(9)) + "@" + strings.ToLower(word(7)) + ".example.com" },
	}
	var list []string
	for i := range n {
		list = append(list, shapes[i%len(shapes)]())
	}
	return list
}

// leaks lists the secrets found in a text.
func leaks(secrets []string, text []byte) (found []string) {
	for _, s := range secrets {
		if bytes.Contains(text, []byte(s)) {
			found = append(found, s)
		}
	}
	return found
}

// Rule 35 and the threat model: 200 secrets in bodies, headers and reasons, and an
// e-mail as an account id, reach neither the log nor any surface.
func TestRule35NoSecretLeaves(t *testing.T) {
	d := startDaemon(t, t.TempDir(), "--log-access", "--log-format", "json")
	secrets := planted(200)
	const account = "claude-maria.silva@example.org.json"
	d.must(200, "PUT", "/v1/accounts/"+strings.ReplaceAll(account, "@", "%40"), map[string]any{"provider": "antigravity"})
	for i, s := range secrets {
		report := limit(account, fmt.Sprintf("model-%d", i%40), 429, fmt.Sprintf(
			`{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"quota of %s spent, Bearer %s refused. Resets in %dh","details":[`+
				`{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"QUOTA_EXHAUSTED","metadata":{"model":%q,"user":%q}}]}}`, s, s, i%99+1, s, s))
		report["headers"] = map[string]any{"X-Request-Owner": s, "Retry-After": "soon, " + s, "Authorization": "Bearer " + s}
		d.must(200, "POST", "/v1/reports", report)
		d.must(200, "POST", "/v1/suspend", map[string]any{
			"account": account, "target": "claude", "reason": "token " + s + " leaked", "forever": true, "on_behalf_of": s,
		})
	}
	shown := map[string][]byte{"output": nil}
	for _, path := range []string{
		"/v1/events?page_size=1000", "/v1/cells", "/v1/summary", "/metrics", "/v1/groups",
		"/v1/why?account=" + strings.ReplaceAll(account, "@", "%40"),
	} {
		a, err := d.call(t.Context(), "GET", path, nil)
		if err != nil || a.status != 200 {
			t.Fatalf("GET %s answered %d: %v\n%s", path, a.status, err, a.body)
		}
		shown[path] = a.body
	}
	d.kill()
	shown["output"] = []byte(d.out.String())
	for _, name := range []string{"log.db", "head"} {
		doc, err := os.ReadFile(filepath.Join(d.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		shown[name] = doc
		if bytes.Contains(doc, []byte("maria.silva@")) {
			t.Errorf("%s holds the e-mail address of the account", name)
		}
	}
	for where, text := range shown {
		if found := leaks(secrets, text); len(found) > 0 {
			t.Errorf("%s holds %d of %d secrets, such as %q", where, len(found), len(secrets), found[0])
		}
	}
	for _, where := range []string{"output", "/metrics"} {
		if bytes.Contains(shown[where], []byte("maria.silva")) {
			t.Errorf("%s names the account by its e-mail address", where)
		}
	}
	// The search itself must be able to find one.
	if len(leaks(secrets, []byte("x "+secrets[7]+" y"))) != 1 || !bytes.Contains(shown["log.db"], []byte("QUOTA_EXHAUSTED")) {
		t.Error("the search finds nothing where there is something")
	}
}
