package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whatever changes about a webhook is told by the reload that brings it, also what must
// not be shown.
func TestReloadTellsEveryChangeOfAWebhook(t *testing.T) {
	b := newInbox(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(webhookSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := func(more string) string {
		return "webhooks:\n  - {name: ops, url: " + b.URL + "/T0KEN1, secret_file: " + secret + ", on: [held, frozen]" + more + "}\n"
	}
	c := startConfigured(t, file(""))
	c.follow.stop()
	for _, step := range []struct {
		text string
		want []string
	}{
		{file(", longer_than: 2h"), []string{"webhooks.ops"}},
		{file(", longer_than: 2h, provider: codex"), []string{"webhooks.ops"}},
		{file(", longer_than: 2h, provider: codex, group: codex"), []string{"webhooks.ops"}},
		{file(", given_ids: true"), []string{"webhooks.ops"}},
		{file(", insecure: true"), []string{"webhooks.ops"}},
		{file(""), []string{"webhooks.ops"}},
		{strings.Replace(file(""), "T0KEN1", "T0KEN2", 1), []string{"webhooks.ops.url"}},
		{strings.Replace(file(""), "T0KEN1", "T0KEN2", 1), nil},
		{"", []string{"webhooks.ops"}},
		{file(""), []string{"webhooks.ops"}},
	} {
		c.edit(step.text)
		would, err := c.reload(true)
		if err != nil {
			t.Fatal(err)
		}
		done, err := c.reload(false)
		if err != nil || !slices.Equal(changedKeys(done.Changed), step.want) || cmp.Diff(would.Changed, done.Changed) != "" {
			t.Errorf("%s\nchanged %v, would change %v, error %v; want %q", step.text, done.Changed, would.Changed, err, step.want)
		}
	}
	if err := os.WriteFile(secret, []byte(webhookSecret+"\n"+"whsec_"+strings.Repeat("QUJD", 8)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	done, err := c.reload(false)
	if err != nil || !slices.Equal(changedKeys(done.Changed), []string{"webhooks.ops.secret_file"}) || done.Changed[0].Origin == "" {
		t.Errorf("another secret: changed %v, error %v", done.Changed, err)
	}
	if logs := c.logs.String(); strings.Contains(logs, "T0KEN") || strings.Contains(logs, "whsec") || !strings.Contains(logs, "webhooks.ops.secret_file") {
		t.Errorf("the log:\n%s", logs)
	}
}
