package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/projection"
)

// greeting is what serve says once it is ready.
func (d *daemon) greeting() string {
	s, now := d.engine.State(), d.engine.Now()
	head := s.Head()
	var b strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "%-9s"+format+"\n", append([]any{what}, args...)...)
	}
	line("abeyance", "%s", buildInfo().Version)
	line("log", "%s, seq %d, %s in %s", head.Log, head.Seq, d.checked(), d.took.Round(time.Millisecond))
	line("data", "%s", d.settings.DataDir)
	line("token", "%s", d.describeToken())
	if file := d.settings.file; file.name != "" {
		line("config", "%s, read anew when it changes: %s", file.name, describeOwned(file.owned()))
	}
	line("pool", "%s", describePool(s, now))
	line("groups", "version %d, %s", s.Groups().Version, d.originOf(d.settings.file.file.groups() != nil, s.Groups().Configured))
	line("policy", "version %d, %s", s.Policy().Version, d.originOf(d.settings.file.file.Policy != nil, s.Policy().Configured))
	if d.settings.ObserveOnly {
		line("mode", "observe only: everything is decided and recorded, nothing is blocked")
	}
	if d.exposed() {
		line("warning", "plain HTTP beyond this machine: whoever is on the way reads the tokens")
	}
	line("listen", "%s", d.listener.Addr())
	line("url", "%s", d.url)
	line("try", "abeyance %s --data-dir %s", nextCommand(s), d.settings.DataDir)
	return b.String()
}

// describeToken says where the admin token is. Its file may have been moved away:
// the daemon does not need it.
func (d *daemon) describeToken() string {
	name := filepath.Join(d.settings.DataDir, api.TokenFile)
	switch _, err := os.Stat(name); {
	case err != nil:
		return "not in the data directory: commands need --token-file"
	case d.created:
		return name + " (made now; only you can read it)"
	default:
		return name
	}
}

// originOf says where definitions in force come from.
func (d *daemon) originOf(inFile bool, configured []byte) string {
	switch {
	case inFile:
		return "from " + d.settings.file.name
	case string(configured) == "{}":
		return "the defaults"
	default:
		return "from the log"
	}
}

func nextCommand(s *projection.State) string {
	if s.Len() == 0 {
		return "accounts put ACCOUNT --provider PROVIDER"
	}
	return "status"
}

// describePool counts the accounts by provider and the blocks by kind, and names
// the next return.
func describePool(s *projection.State, now time.Time) string {
	if s.Len() == 0 {
		return "no accounts yet"
	}
	providers, cells := map[string]int{}, map[projection.Status]int{}
	for a := range s.Accounts("") {
		providers[a.Spec.Provider]++
		for i := range a.Cells {
			cells[a.CellStatus(&a.Cells[i], now)]++
		}
	}
	parts := []string{fmt.Sprintf("%s (%s)", counted(s.Len(), "account"), countList(providers))}
	for _, status := range projection.Statuses() {
		if n := cells[status]; n > 0 && status != projection.StatusAvailable {
			parts = append(parts, fmt.Sprintf("%d %s", n, status))
		}
	}
	if at, ok := s.NextDeadline(); ok {
		parts = append(parts, "next return "+relative(at, now))
	}
	return strings.Join(parts, ", ")
}

func countList(counts map[string]int) string {
	var list []string
	for name, n := range counts {
		list = append(list, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// checked says how much of the chain was checked at start.
func (d *daemon) checked() string {
	if from := d.folded.From; from > 0 {
		return fmt.Sprintf("chain checked from the checkpoint at %d on", from)
	}
	return "chain checked"
}
