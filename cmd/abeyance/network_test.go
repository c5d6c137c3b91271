package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/abeyance/abeyance/events"
)

func TestNetworkSettingsAndTheirOrigins(t *testing.T) {
	name := filepath.Join(t.TempDir(), "c.yaml")
	doc := "allowed_hosts: [a.example, b.example]\ntrusted_proxies:\n  - 10.0.0.0/8\n  - 192.0.2.1\nmax_connections_per_peer: 7\n"
	if err := os.WriteFile(name, []byte(doc), 0o600); err != nil {
		t.Fatal(err)
	}
	pick := func(rows []effectiveRow) (found []effectiveRow) {
		for _, r := range rows {
			if slices.Contains([]string{"allowed_hosts", "trusted_proxies", "max_connections_per_peer", "max_changes_per_second"}, r.Key) {
				found = append(found, r)
			}
		}
		return found
	}
	want := []effectiveRow{
		{"allowed_hosts", "a.example, b.example", name + ":1"},
		{"trusted_proxies", "10.0.0.0/8, 192.0.2.1", name + ":2"},
		{"max_connections_per_peer", "7", name + ":5"},
		{"max_changes_per_second", "100", originDefault},
	}
	if diff := cmp.Diff(want, pick(effectiveOf(t, "--config", name))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want = []effectiveRow{
		{"allowed_hosts", "c.example, d.example:1", "flag --allow-host"},
		{"trusted_proxies", "2001:db8::/32", "flag --trusted-proxy"},
		{"max_connections_per_peer", "0", "flag --max-connections-per-peer"},
		{"max_changes_per_second", "5", "flag --max-changes-per-second"},
	}
	got := pick(effectiveOf(t, "--config", name, "--allow-host", "c.example", "--allow-host", "d.example:1", "--trusted-proxy", "2001:db8::/32",
		"--max-connections-per-peer", "0", "--max-changes-per-second", "5"))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNamelessDaemonsAreWarnedOf(t *testing.T) {
	for _, c := range []struct {
		listen string
		hosts  []string
		want   bool
	}{
		{"127.0.0.1:0", nil, false},
		{"unix:/s", nil, false},
		{"0.0.0.0:0", nil, true},
		{":0", nil, true},
		{"0.0.0.0:0", []string{"a.example"}, false},
		{"192.0.2.1:0", nil, false}, // its address is its name
		{"a.example:0", nil, false},
	} {
		s := &settings{Listen: c.listen, network: networkSettings{AllowedHosts: c.hosts}}
		if got := s.nameless(); got != c.want {
			t.Errorf("%+v: %t", c, got)
		}
		o, err := s.serverOptions()
		if err != nil || c.listen == "192.0.2.1:0" && !slices.Contains(o.AllowedHosts, "192.0.2.1") {
			t.Errorf("%+v: %v, %v", c, o.AllowedHosts, err)
		}
	}
}

// TestLogLinesOfHostileText: in both forms one event is one line, with its own keys, and
// nothing in it that steers a terminal.
func TestLogLinesOfHostileText(t *testing.T) {
	hostile := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		"a\nlevel=ERROR msg=forged", "\x1b[2J\x1b]0;x\x07", "\u009b2J", "\x7f", "a\x00b\r", "\u2028\u202ex\u2066", `" msg=forged`, "\xff\xfe",
	}))
	rapid.Check(t, func(t *rapid.T) {
		text := hostile.Draw(t, "text")
		record := events.Record{Seq: 1, Draft: events.Draft{
			Origin: events.Origin{Actor: "operator:" + text}, Account: text, Event: &events.Suspended{Target: text, Reason: text},
		}}
		for _, format := range []string{logText, logJSON} {
			var b bytes.Buffer
			newActivity(slog.New(newLogHandler(&b, format, slog.LevelInfo)), 0).record(record)
			line, rest, _ := strings.Cut(b.String(), "\n")
			if rest != "" || line == "" {
				t.Fatalf("%s: not one line: %q", format, b.String())
			}
			if i := strings.IndexFunc(line, func(r rune) bool { return !unicode.IsGraphic(r) }); i >= 0 {
				t.Fatalf("%s: a character that cannot be seen in %q", format, line)
			}
			if format == logText {
				if keys := keysOf(line); keys != "time level msg seq account target until by reason" {
					t.Fatalf("the keys are %q in %q", keys, line)
				}
				continue
			}
			var entry map[string]any
			if err := json.Unmarshal([]byte(line), &entry); err != nil || entry["msg"] != "suspended" || entry["level"] != "INFO" {
				t.Fatalf("%v: %q", err, line)
			}
			if plain := strings.IndexFunc(text, hidden) < 0 && utf8.ValidString(text); plain && entry["reason"] != text {
				t.Fatalf("the reason %q became %q", text, entry["reason"])
			}
		}
	})
}

// keysOf reads a line of KEY=VALUE, where a value is quoted if it is more than a word.
func keysOf(line string) string {
	var keys []string
	for line != "" {
		key, rest, ok := strings.Cut(line, "=")
		if !ok {
			return "no key in " + line
		}
		keys = append(keys, key)
		if quoted, err := strconv.QuotedPrefix(rest); err == nil && rest[0] == '"' { // another quote is a character
			line = strings.TrimPrefix(rest[len(quoted):], " ")
			continue
		}
		_, line, _ = strings.Cut(rest, " ")
	}
	return strings.Join(keys, " ")
}

// Whoever could put links into the data directory gets nothing written where they lead.
func TestDaemonFileFollowsNoLinks(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, nameDaemon)
	for _, link := range []string{name, name + ".new"} {
		if err := os.Symlink(victim, link); err != nil {
			t.Skip("no symbolic links here:", err)
		}
	}
	if runtime.GOOS != "windows" {
		if _, err := readDaemonFile(dir); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("a link was read: %v", err)
		}
	}
	if err := writeDaemonFile(dir, daemonFile{URL: "http://here", PID: 1}); err != nil {
		t.Fatal(err)
	}
	if doc, err := os.ReadFile(victim); err != nil || string(doc) != "theirs" {
		t.Errorf("a link was followed: %q, %v", doc, err)
	}
	if found, err := readDaemonFile(dir); err != nil || found.URL != "http://here" {
		t.Errorf("%+v, %v", found, err)
	}
}
