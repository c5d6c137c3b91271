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
	if got := out.String(); strings.Count(got, "max/min <= 1.01") != 3 || !strings.Contains(got, "yes") || strings.Contains(got, "no ") {
		t.Error(got)
	}
}

func TestRowMarksAMissedGoal(t *testing.T) {
	results := parse(strings.NewReader("goos: linux\nBenchmarkPick/accounts=10-2   100  40.00 ns/pick  15 floor-ns  2.66 x-floor  0 allocs/op\nPASS\n"))
	if len(results) != 1 || results[0].name != "Pick/accounts=10" {
		t.Fatalf("%+v", results)
	}
	p := promise{figure: "ns/pick", floor: "floor-ns", ratio: "x-floor", goals: []goal{
		atMost("x-floor", 2.5), atLeast("x-floor", 2.5), atMost("gone", 1), atMost("x-floor", 1).where("accounts=1000"),
	}}
	want := "Pick/accounts=10\t40.0 ns/pick\t15.0\t2.66\tx-floor <= 2.50, x-floor >= 2.50, gone <= 1.00\tno: 2.66 x-floor, no gone"
	if got := p.row(results[0]); got != want {
		t.Errorf("%q", got)
	}
	p.goals = p.goals[1:2]
	if got := p.row(results[0]); !strings.HasSuffix(got, "\tx-floor >= 2.50\tyes") {
		t.Errorf("%q", got)
	}
	p.goals = nil
	if got := p.row(results[0]); !strings.HasSuffix(got, "\t-\t-") {
		t.Errorf("%q", got)
	}
}
