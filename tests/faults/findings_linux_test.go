package faults

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
)

// logOf returns a log with a record per command id, in order.
func logOf(t *testing.T, ids ...string) (events.Log, []events.Record) {
	t.Helper()
	log := eventstest.New()
	head, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var drafts []events.Draft
	for _, id := range ids {
		drafts = append(drafts, events.Draft{
			Origin: events.Origin{Actor: "operator:test", Via: events.ViaGo, CorrelationID: id}, Account: "a0",
			Event: &events.Lifted{Target: "claude", Reason: "a test"},
		})
	}
	recs, err := events.Seal(head, time.Now(), drafts)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Append(t.Context(), recs); err != nil {
		t.Fatal(err)
	}
	return log, recs
}

// The negative control of the comparison: each thing that can be wrong is seen, by
// what is said about a log, and a log as it should be is not blamed.
func TestLedgerSeesWhatIsWrong(t *testing.T) {
	all := strings.Fields(strings.Repeat("all-1 ", poolSize))
	for _, c := range []struct {
		name string
		ids  []string // of the records in the log
		said []string // by the process under test; H stands for a hash
		want string   // in what is found; empty: nothing is
	}{
		{"as it should be", append(all, "x"), []string{"ack x 7 H", "refused y"}, ""},
		{"not acknowledged", []string{"x", "y"}, []string{"ack x 1 H"}, ""},
		{"lost", []string{"x"}, []string{"ack x 1 H", "ack y 2 H"}, "lost: 1"},
		{"another hash", []string{"x"}, []string{"ack x 1 " + strings.Repeat("00", 32)}, "lost: 1"},
		{"there twice", []string{"x", "x"}, []string{"ack x 1 H"}, "duplicate or torn: command x"},
		{"one of two", []string{"x", "y"}, []string{"ack x 1 H 3 H"}, "duplicate or torn: command x"},
		{"torn", all[1:], nil, "torn: command all-1"},
		{"scattered", []string{"x", "y", "x"}, nil, "command x is scattered"},
		{"refused and there", []string{"x"}, []string{"refused x"}, "command x was refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			log, recs := logOf(t, c.ids...)
			l := newLedger()
			for _, line := range c.said {
				if err := l.note(withHashes(line, recs)); err != nil {
					t.Fatal(err)
				}
			}
			f := &findings{}
			if _, err := l.compare(t.Context(), log, f); err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprint(f.err())
			if c.want == "" && got != "<nil>" || !strings.Contains(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

// withHashes puts the hash of the record before it for each H in a line.
func withHashes(line string, recs []events.Record) string {
	words := strings.Fields(line)
	for i, w := range words {
		if w != "H" {
			continue
		}
		hash := events.Hash{1} // of a record that was never there
		if seq, err := parseSeq(words[i-1]); err == nil && int(seq) <= len(recs) {
			hash = recs[seq-1].Hash
		}
		words[i] = hash.String()
	}
	return strings.Join(words, " ")
}
