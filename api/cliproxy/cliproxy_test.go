package cliproxy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/api/cliproxy"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

var update = flag.Bool("update", false, "write the golden files anew")

// files are the corpus: files as CLIProxyAPI writes them, and as it does not.
func files(t testing.TB) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"*.yaml", "*.cds"} {
		some, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil || len(some) < 10 {
			t.Fatal(len(some), err)
		}
		all = append(all, some...)
	}
	return all
}

// shown is what was read, a line for each thing.
func shown(f *cliproxy.File, err error) string {
	var b strings.Builder
	if err != nil {
		fmt.Fprintf(&b, "error: %v\n", err)
		return b.String()
	}
	fmt.Fprintf(&b, "source: %s\n", f.Source)
	for _, e := range f.Entries {
		fmt.Fprintf(&b, "%s: %q %q %q", e.Place, e.Account, e.Provider, e.Target)
		if !e.CoolUntil.IsZero() {
			fmt.Fprintf(&b, " cools until %s by %s for %q", e.CoolUntil.Format("2006-01-02T15:04:05.999999999Z07:00"), e.Class, e.Model)
		}
		if e.Suspended {
			fmt.Fprintf(&b, " suspended: %q", e.Reason)
		}
		if !e.UpdatedAt.IsZero() {
			fmt.Fprintf(&b, ", as of %s", e.UpdatedAt.Format("2006-01-02T15:04:05.999999999Z07:00"))
		}
		fmt.Fprintf(&b, "\n  %s\n", e.Original)
	}
	for _, g := range f.Groups {
		doc, err := json.Marshal(g)
		fmt.Fprintf(&b, "group: %s %v\n", doc, err)
	}
	return b.String()
}

// TestCorpus compares what is read of each file with its .golden file.
func TestCorpus(t *testing.T) {
	for _, name := range files(t) {
		doc, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		kept := bytes.Clone(doc)
		f, err := cliproxy.Parse(doc)
		got := shown(f, err)
		if !bytes.Equal(doc, kept) {
			t.Errorf("%s was changed", name)
		}
		if *update {
			if err := os.WriteFile(name+".golden", []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name + ".golden")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s is read otherwise; if it should, run go test -update:\n%s", name, diff)
		}
	}
}

// TestErrorsAreOurs: whatever is wrong is said as an *Error.
func TestErrorsAreOurs(t *testing.T) {
	refused := 0
	for _, name := range files(t) {
		doc, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for n := range doc { // cut off anywhere
			if _, err := cliproxy.Parse(doc[:n]); err != nil {
				refused++
				if _, ok := errors.AsType[*cliproxy.Error](err); !ok || err.Error() == "" {
					t.Fatalf("%s cut off after %d bytes: %T %v", name, n, err, err)
				}
			}
		}
	}
	if refused < 1000 {
		t.Errorf("%d files were refused", refused)
	}
}

// TestRule35NothingPrivateIsKept: no address and no credential of the corpus is in what
// is kept of an entry.
func TestRule35NothingPrivateIsKept(t *testing.T) {
	kept := 0
	for _, name := range files(t) {
		doc, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := cliproxy.Parse(doc)
		if err != nil {
			continue
		}
		for _, e := range f.Entries {
			kept++
			for _, private := range []string{"@", "example.com", "sk-abc", "abcdefghijklmnop"} {
				if strings.Contains(e.Original, private) {
					t.Errorf("%s, %s: %s", name, e.Place, e.Original)
				}
			}
		}
	}
	if kept < 15 {
		t.Errorf("only %d entries were read", kept)
	}
}

// TestOriginalsFit: what is kept of the longest fields fits a record.
func TestOriginalsFit(t *testing.T) {
	long := strings.Repeat(`"\`, 600)
	quoted, err := json.Marshal(long)
	if err != nil {
		t.Fatal(err)
	}
	var state strings.Builder
	state.WriteString("oauth-account-quota-group-state:\n  - manual_suspended: true\n")
	for _, field := range []string{
		"provider", "group_id", "label", "effective_status", "manual_reason", "auto_reason", "source_model", "source_provider",
		"reset_time_source", "updated_by", "auth_id",
	} {
		fmt.Fprintf(&state, "    %s: %s\n", field, quoted)
	}
	cds := fmt.Sprintf(`{"version":1,"records":[{"provider":%[1]s,"auth_id":%[1]s,"model":%[1]s,"status":%[1]s,"reason":%[1]s,"quota":{"exceeded":true,`+
		`"reason":%[1]s,"next_recover_at":%[1]s,"backoff_level":-9223372036854775808},"last_error":{"code":%[1]s,"message":%[1]s,"retryable":true,"http_status":429}}]}`, quoted)
	for _, doc := range []string{state.String(), cds} {
		f, err := cliproxy.Parse([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		e := f.Entries[0]
		imported := &events.Imported{
			Source: f.Source, Target: strings.Repeat("t", events.MaxTarget), Provider: strings.Repeat("p", events.MaxName),
			Model: strings.Repeat("m", events.MaxID), Reason: strings.Repeat("r", events.MaxText), Class: e.Class, Original: e.Original,
		}
		origin := events.Origin{Actor: strings.Repeat("a", events.MaxName), OnBehalfOf: strings.Repeat("b", events.MaxID), IdempotencyKey: strings.Repeat("k", events.MaxID)}
		draft := events.Draft{Origin: origin, Account: strings.Repeat("i", events.MaxID), Event: imported}
		if _, err := events.Seal(events.Head{}, draft.Event.(*events.Imported).CoolUntil, []events.Draft{draft}); err != nil {
			t.Errorf("%d bytes are kept: %v", len(e.Original), err)
		}
		if !json.Valid([]byte(e.Original)) || len(e.Original) < 2000 {
			t.Errorf("%d bytes are kept: %s", len(e.Original), e.Original)
		}
	}
}

// TestLargeFilesTakeLittleMemory: what is not an entry costs next to nothing, and too
// many entries are refused before they are kept.
func TestLargeFilesTakeLittleMemory(t *testing.T) {
	const size = 16 << 20
	flow := "[a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a]\n"
	entry := "- {auth_id: a, group_id: g}\n"
	for name, test := range map[string]struct {
		doc  string
		want string
	}{
		"another section": {"other:\n" + strings.Repeat("  - "+flow, size/len(flow)) + "oauth-quota-groups: []\n", ""},
		"one long flow":   {"oauth-quota-groups: [" + strings.Repeat("a,", size/2) + "a]\n", "256 KiB"},
		"one long item":   {"oauth-quota-groups:\n- " + strings.Repeat("[", size) + "\n", "64 KiB"},
		"one long line":   {"oauth-quota-groups:\n- id: " + strings.Repeat("x", size) + "\n", "64 KiB"},
		"many entries":    {"oauth-account-quota-group-state:\n" + strings.Repeat(entry, size/len(entry)), "more than 100000 entries"},
		"many records":    {`{"version":1,"records":[` + strings.Repeat("{},", size/3) + "{}]}", "more than 100000 entries"},
		"deep JSON":       {`{"version":1,"records":[{"quota":` + strings.Repeat("[", size), "line 1: "},
	} {
		t.Run(name, func(t *testing.T) {
			doc := []byte(test.doc)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			_, err := cliproxy.Parse(doc)
			runtime.ReadMemStats(&after)
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v, want %q", err, test.want)
			}
			if took := int64(after.HeapSys) - int64(before.HeapSys); took > 512<<20 {
				t.Errorf("%d MiB more of memory", took>>20)
			}
		})
	}
}

// TestEveryEntryIsDecided: what the corpus says can be imported, and a second time
// changes nothing.
func TestEveryEntryIsDecided(t *testing.T) {
	decided := 0
	for _, name := range files(t) {
		doc, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := cliproxy.Parse(doc)
		if err != nil {
			continue
		}
		c := &projection.Import{Source: f.Source}
		for _, e := range f.Entries {
			e.Account = strings.ReplaceAll(e.Account, "@", "-at-")
			c.Entries = append(c.Entries, e.ImportEntry)
		}
		s := projection.NewState()
		head := events.Head{}
		do := func(do projection.Intent) projection.Decision {
			d, err := projection.Decide(s, projection.Command{Do: do}, noon())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			recs, err := events.Seal(head, noon(), d.Drafts)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, r := range recs {
				s.Apply(r)
				head = head.Next(r)
			}
			return d
		}
		do(&projection.DefineGroups{})
		do(&projection.DefinePolicy{})
		decided += len(do(c).Drafts)
		if again := do(c); len(again.Drafts) > 0 {
			t.Errorf("%s: the second import appends %d records", name, len(again.Drafts))
		}
	}
	if decided < 15 {
		t.Errorf("%d records", decided)
	}
}
