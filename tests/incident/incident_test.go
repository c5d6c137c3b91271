package incident

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/events"
)

// update rewrites the recording and the goldens.
var update = flag.Bool("update", false, "rewrite testdata: the recording from its generator, the goldens from the recording")

// TestTheGeneratorMakesTheRecording: byte for byte.
func TestTheGeneratorMakesTheRecording(t *testing.T) {
	made, err := Generate(t.Context(), Seed)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[events.Kind]int{}
	for _, r := range made.Records {
		kinds[r.Kind()]++
	}
	doc, err := pack(made.Records)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d requests, %d answers (%d served), %d picks blocked; %d records in %d bytes: %v",
		made.Requests, made.Answers, made.Served, made.Blocked, len(made.Records), len(doc), kinds)
	if made.Answers < 20_000 || len(made.Records) < 4000 || len(doc) > 1<<20 {
		t.Errorf("that is no incident of the size it is meant to have")
	}
	if *update {
		if err := os.WriteFile("testdata/incident.gz", doc, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	same(t, "the recording", Records(t), made.Records)
}

// same compares records by what is stored of them.
func same(t *testing.T, what string, want, got []events.Record) {
	t.Helper()
	for i := range min(len(want), len(got)) {
		if want[i].Hash != got[i].Hash {
			w, g := want[i], got[i]
			t.Fatalf("%s differs from record %d on (-want +got):\n%s", what, w.Seq, cmp.Diff(w.Draft, g.Draft))
		}
	}
	if len(want) != len(got) {
		t.Fatalf("%s has %d records, not %d", what, len(want), len(got))
	}
}
