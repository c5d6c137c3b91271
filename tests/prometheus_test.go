package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

const (
	rulesFile = "../deploy/prometheus/abeyance.rules.yml"
	boardFile = "../deploy/grafana/abeyance.json"
)

// ruleFile is a Prometheus rule file, as far as it is looked at.
type ruleFile struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []rule `yaml:"rules"`
	} `yaml:"groups"`
}

type rule struct {
	Alert       string            `yaml:"alert,omitempty"`
	Record      string            `yaml:"record,omitempty"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for,omitempty"`
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
}

func readRules(t *testing.T) (f ruleFile) {
	t.Helper()
	doc, err := os.ReadFile(rulesFile)
	if err == nil {
		err = yaml.Load(doc, &f, yaml.WithKnownFields())
	}
	if err != nil || len(f.Groups) != 1 || len(f.Groups[0].Rules) < 10 {
		t.Fatalf("%s: %v, %d groups", rulesFile, err, len(f.Groups))
	}
	return f
}

// board is a Grafana dashboard, as far as it is looked at.
type board struct {
	Title      string `json:"title"`
	Templating struct {
		List []struct {
			Name       string          `json:"name"`
			Type       string          `json:"type"`
			Definition string          `json:"definition"`
			Query      json.RawMessage `json:"query"`
		} `json:"list"`
	} `json:"templating"`
	Panels []struct {
		ID      int    `json:"id"`
		Type    string `json:"type"`
		Title   string `json:"title"`
		GridPos struct{ X, Y, W, H int }
		Targets []struct {
			Expr       string                     `json:"expr"`
			Legend     string                     `json:"legendFormat"`
			Datasource struct{ Type, UID string } `json:"datasource"`
		} `json:"targets"`
	} `json:"panels"`
}

func readBoard(t *testing.T) (b board) {
	t.Helper()
	doc, err := os.ReadFile(boardFile)
	if err == nil {
		err = json.Unmarshal(doc, &b)
	}
	if err != nil || len(b.Panels) < 10 {
		t.Fatalf("%s: %v, %d panels", boardFile, err, len(b.Panels))
	}
	return b
}

var (
	metricName = regexp.MustCompile(`\babeyance_[a-z0-9_]+`)
	// selector is a metric with its matchers, grouping the labels of an aggregation.
	selector = regexp.MustCompile(`\b(abeyance_[a-z0-9_]+)\{([^}]*)\}`)
	matcher  = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"`)
	grouping = regexp.MustCompile(`\b(?:by|on)\s*\(([^)]*)\)`)
	template = regexp.MustCompile(`\$labels\.(\w+)`)
	legend   = regexp.MustCompile(`\{\{(\w+)\}\}`)
)

// faults lists what a query names that the daemon does not serve. shown are labels that
// the texts about its result name.
func faults(served map[string]metric, query string, shown []string) (list []string) {
	given := []string{"job", "instance"} // Prometheus' own
	known := slices.Clone(given)
	family := func(name string) (metric, bool) {
		m, ok := served[name]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if h, isPart := served[strings.TrimSuffix(name, suffix)]; !ok && isPart && h.kind == "histogram" {
				m, ok = h, true
				if suffix == "_bucket" {
					m.labels = append(slices.Clone(m.labels), "le")
				}
			}
		}
		return m, ok
	}
	for _, name := range metricName.FindAllString(query, -1) {
		m, ok := family(name)
		if !ok {
			list = append(list, "no metric "+name)
		}
		known = append(known, m.labels...)
	}
	for _, s := range selector.FindAllStringSubmatch(query, -1) {
		m, _ := family(s[1])
		for _, label := range matcher.FindAllStringSubmatch(s[2], -1) {
			if !slices.Contains(m.labels, label[1]) && !slices.Contains(given, label[1]) {
				list = append(list, fmt.Sprintf("%s has no label %s", s[1], label[1]))
			}
		}
	}
	for _, by := range grouping.FindAllStringSubmatch(query, -1) {
		for label := range strings.SplitSeq(by[1], ",") {
			if label = strings.TrimSpace(label); !slices.Contains(known, label) {
				list = append(list, "grouped by "+label+", which nothing in it has")
			}
		}
	}
	for _, label := range shown {
		if !slices.Contains(known, label) {
			list = append(list, "the text shows "+label+", which nothing in it has")
		}
	}
	return list
}

func labelsIn(text string, shape *regexp.Regexp) (list []string) {
	for _, m := range shape.FindAllStringSubmatch(text, -1) {
		list = append(list, m[1])
	}
	return list
}

// Every metric and label that the alert rules and the board name is one that a daemon
// serves.
func TestRulesAndBoardNameWhatIsServed(t *testing.T) {
	served, _ := servedMetrics(t)
	names := map[string]bool{}
	for _, r := range readRules(t).Groups[0].Rules {
		if r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s has no severity, summary or description", r.Alert)
		}
		var shown []string
		for _, text := range r.Annotations {
			shown = append(shown, labelsIn(text, template)...)
		}
		for _, fault := range faults(served, r.Expr, shown) {
			t.Errorf("alert %s: %s", r.Alert, fault)
		}
	}
	b := readBoard(t)
	for _, p := range b.Panels {
		for _, target := range p.Targets {
			for _, fault := range faults(served, target.Expr, labelsIn(target.Legend, legend)) {
				t.Errorf("panel %q: %s", p.Title, fault)
			}
			for _, name := range metricName.FindAllString(target.Expr, -1) {
				names[name] = true
			}
		}
	}
	for _, v := range b.Templating.List {
		for _, fault := range faults(served, v.Definition, nil) {
			t.Errorf("variable %s: %s", v.Name, fault)
		}
	}
	// What is served and bounded is on the board.
	for name := range served {
		if !names[name] && !names[name+"_bucket"] && !names[name+"_sum"] && !strings.HasPrefix(name, "abeyance_account_") {
			t.Errorf("%s is not on the board", name)
		}
	}
	// The controls.
	for _, query := range []string{
		"abeyance_no_such_metric", `abeyance_degraded{provider="p"}`, "sum by (account) (abeyance_degraded)", "abeyance_degraded_bucket",
	} {
		if len(faults(served, query, nil)) == 0 {
			t.Errorf("no fault is found with %s", query)
		}
	}
}

func TestBoardIsSound(t *testing.T) {
	b := readBoard(t)
	ids := map[int]bool{}
	taken := map[[2]int]string{}
	for _, p := range b.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d %q: its id is another's, or it has no title", p.ID, p.Title)
		}
		ids[p.ID] = true
		if g := p.GridPos; g.X < 0 || g.W < 1 || g.H < 1 || g.X+g.W > 24 {
			t.Errorf("panel %q does not fit the grid: %+v", p.Title, g)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, ok := taken[[2]int{x, y}]; ok {
					t.Fatalf("panel %q lies over %q", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q asks nothing", p.Title)
		}
		for _, target := range p.Targets {
			if target.Datasource.UID != "${datasource}" {
				t.Errorf("panel %q has a data source of its own", p.Title)
			}
		}
	}
}

// promtool returns the path of Prometheus' tool, of Debian's package prometheus.
func promtool(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		skip(t, "promtool is not installed: apt-get install prometheus")
	}
	return path
}

func run(t *testing.T, name string, args ...string) error {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return nil
}

func TestPromtool(t *testing.T) {
	tool := promtool(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../deploy/prometheus")); err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(in("token"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"check", "rules", in("abeyance.rules.yml")},
		{"check", "config", in("prometheus.example.yml")},
		{"test", "rules", in("abeyance.rules.test.yml")},
	} {
		if err := run(t, tool, args...); err != nil {
			t.Error(err)
		}
	}
	t.Run("the board's queries", func(t *testing.T) {
		variables := strings.NewReplacer("$__rate_interval", "5m", "$job", ".*", "$instance", ".*", "$provider", ".*")
		var f ruleFile
		f.Groups = append(f.Groups, readRules(t).Groups[0])
		f.Groups[0].Rules = nil
		for _, p := range readBoard(t).Panels {
			for i, target := range p.Targets {
				f.Groups[0].Rules = append(f.Groups[0].Rules, rule{Record: fmt.Sprintf("panel:%d:%d", p.ID, i), Expr: variables.Replace(target.Expr)})
			}
		}
		if err := checkRules(t, tool, f); err != nil {
			t.Error(err)
		}
		f.Groups[0].Rules[0].Expr += ")" // the control
		if checkRules(t, tool, f) == nil {
			t.Error("a query that cannot be read passes")
		}
	})
	// The tests of the rules test each of them: without any one they fail.
	for i, r := range readRules(t).Groups[0].Rules {
		t.Run("without "+r.Alert, func(t *testing.T) {
			f := readRules(t)
			f.Groups[0].Rules = slices.Delete(f.Groups[0].Rules, i, i+1)
			writeRules(t, in("abeyance.rules.yml"), f)
			if run(t, tool, "test", "rules", in("abeyance.rules.test.yml")) == nil {
				t.Error("no test misses the alert")
			}
		})
	}
}

func writeRules(t *testing.T, path string, f ruleFile) {
	t.Helper()
	doc, err := yaml.Dump(f)
	if err == nil {
		err = os.WriteFile(path, doc, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func checkRules(t *testing.T, tool string, f ruleFile) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.yml")
	writeRules(t, path, f)
	return run(t, tool, "check", "rules", path)
}
