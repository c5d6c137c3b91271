package main

import (
	"context"
	"strings"
	"testing"
)

// TestTable runs one row of the table for a moment: the benchmarks exist and report
// the metrics that the table shows.
func TestTable(t *testing.T) {
	var out strings.Builder
	if err := run(context.Background(), &out, options{"1x", "Fairness"}); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Count(got, "max/min <= 1.01") != 3 || !strings.Contains(got, "yes") || strings.Contains(got, "no such metric") {
		t.Error(got)
	}
}

func TestRowsMarkAMissedGoal(t *testing.T) {
	results := parse(strings.NewReader("goos: linux\nBenchmarkPick/accounts=10-2   100  40.00 ns/pick  15 floor-ns  2.66 x-floor  0 allocs/op\nPASS\n"))
	if len(results) != 1 || results[0].name != "Pick/accounts=10" {
		t.Fatalf("%+v", results)
	}
	p := promise{figure: "ns/pick", floor: "floor-ns", ratio: "x-floor", goals: []goal{
		atMost("x-floor", 2.5), atLeast("x-floor", 2.5), atMost("gone", 1), atMost("x-floor", 1).where("accounts=1000"),
	}}
	want := []string{
		"Pick/accounts=10\t40.0 ns/pick\t15.0\t2.66\tx-floor <= 2.50\tno: 2.66",
		"Pick/accounts=10\t40.0 ns/pick\t15.0\t2.66\tx-floor >= 2.50\tyes",
		"Pick/accounts=10\t40.0 ns/pick\t15.0\t2.66\tgone <= 1.00\tno such metric",
	}
	if got := p.rows(results[0]); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q", got)
	}
}
