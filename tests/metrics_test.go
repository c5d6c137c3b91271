package tests

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// metric is one family as a daemon serves it.
type metric struct {
	kind, help string
	labels     []string // sorted
}

// servedMetrics returns the metrics that are Abeyance's own, of a daemon in which
// everything has happened that makes a series, and the text that it served.
func servedMetrics(t *testing.T) (map[string]metric, []byte) {
	t.Helper()
	work := t.TempDir()
	secret, conf := filepath.Join(work, "ops.secret"), filepath.Join(work, "abeyance.yaml")
	if err := os.WriteFile(secret, []byte("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hook := "webhooks: [{name: ops, url: 'http://127.0.0.1:1/', secret_file: " + secret + ", on: [held]}]\n"
	if err := os.WriteFile(conf, []byte(hook), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDaemon(t, filepath.Join(work, "data"), "--metrics-per-account", "--config", conf)
	do := func(status int, method, path string, body any) []byte {
		t.Helper()
		a, err := d.call(t.Context(), method, path, body)
		if err != nil || a.status != status {
			t.Fatalf("%s %s: %d, %v\n%s", method, path, a.status, err, a.body)
		}
		return a.body
	}
	type object = map[string]any
	opus := "claude-opus-4-6"
	do(http.StatusOK, "PUT", "/v1/accounts/mira@example.com", object{"provider": "antigravity"})
	do(http.StatusOK, "POST", "/v1/pick", object{"provider": "antigravity", "model": opus})
	do(http.StatusOK, "POST", "/v1/reports", object{
		"account": "mira@example.com", "provider": "antigravity", "model": opus, "status": 429,
		"headers": object{"Retry-After": "600"}, "body": `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}`,
	})
	do(http.StatusTooManyRequests, "POST", "/v1/pick", object{"provider": "antigravity", "model": opus})
	do(http.StatusOK, "POST", "/v1/suspend", object{"account": "mira@example.com", "target": "gemini-pro", "reason": "test", "forever": true})
	do(http.StatusOK, "GET", "/metrics", nil) // counted only once it is answered
	text := do(http.StatusOK, "GET", "/metrics", nil)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]metric{}
	for name, f := range families {
		if !strings.HasPrefix(name, "abeyance_") {
			continue
		}
		m := metric{kind: strings.ToLower(f.GetType().String()), help: f.GetHelp()}
		for _, l := range f.GetMetric()[0].GetLabel() {
			m.labels = append(m.labels, l.GetName())
		}
		slices.Sort(m.labels)
		served[name] = m
	}
	return served, text
}

var metricsTable = regexp.MustCompile(`(?s)(<!-- metrics: [^\n]* -->\n).*(<!-- /metrics -->\n)`)

// docs/metrics.md lists what a daemon serves, no less and no more.
func TestMetricsAreListed(t *testing.T) {
	served, text := servedMetrics(t)
	var table strings.Builder
	table.WriteString("\n| name | type | labels | meaning |\n|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(served)) {
		m := served[name]
		labels := ""
		if len(m.labels) > 0 {
			labels = "`" + strings.Join(m.labels, "`, `") + "`"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", name, m.kind, labels, m.help)
	}
	table.WriteString("\n")
	const path = "../docs/metrics.md"
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !metricsTable.Match(doc) {
		t.Fatalf("%s has no place for the table", path)
	}
	want := metricsTable.ReplaceAllString(string(doc), "${1}"+strings.ReplaceAll(table.String(), "$", "$$")+"${2}")
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(string(doc), want); diff != "" {
		t.Errorf("(-listed +served; run go test ./tests -run MetricsAreListed -update and read the change)\n%s", diff)
	}
	if bytes.Contains(text, []byte("@")) {
		t.Error("an e-mail address is served")
	}
	if len(served) < 30 {
		t.Errorf("only %d metrics are served", len(served))
	}
}

// The names are as Prometheus has them: units, suffixes, help texts.
func TestMetricsLint(t *testing.T) {
	_, text := servedMetrics(t)
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "abeyance_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	// The control: a name that it is to find fault with.
	bad := strings.NewReader("# HELP abeyance_x x\n# TYPE abeyance_x counter\nabeyance_x 1\n")
	if problems, err := promlint.New(bad).Lint(); err != nil || len(problems) == 0 {
		t.Errorf("a counter without _total passes: %v", err)
	}
}
