package main

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

const module = "github.com/abeyance/abeyance"

// promise is a benchmark, and what its metrics are to be.
type promise struct {
	pkg, bench string
	figure     string // the metric to show
	floor      string // the metric of the floor, if it has one
	ratio      string // the metric of the ratio, if it has one
	goals      []goal
}

// flags are those of the package's tests: what is promised of starting and of looking
// back is of a longer log than all benchmarks together have time for.
func (p promise) flags() []string {
	if p.pkg == module+"/tests/bench" {
		return []string{"-records", "1000000"}
	}
	return nil
}

// goal bounds a metric.
type goal struct {
	metric  string
	limit   float64
	atLeast bool // else at most
	in      *regexp.Regexp
}

func atMost(metric string, limit float64) goal { return goal{metric: metric, limit: limit} }
func atLeast(metric string, limit float64) goal {
	return goal{metric: metric, limit: limit, atLeast: true}
}

// where restricts a goal to the benchmarks whose name matches.
func (g goal) where(pattern string) goal {
	g.in = regexp.MustCompile(pattern)
	return g
}

// promises are the numbers of selection and publishing, of appending, starting and
// exporting, and of looking back, in the order of what users meet.
func promises(only string) []promise {
	all := []promise{
		{
			module + "/router", "^BenchmarkPick$", "ns/pick", "floor-ns", "x-floor",
			[]goal{atMost("x-floor", 2.5), atMost("allocs/op", 0)},
		},
		{
			module + "/router", "^BenchmarkPickAllBlocked$", "ns/pick", "floor-ns", "x-floor",
			[]goal{atMost("ns/pick", 1000)},
		},
		{
			module + "/router", "^BenchmarkPickSticky$", "ns/pick", "", "",
			[]goal{
				atMost("ns/pick", 2000).where("accounts=1000/"), atMost("ns/pick", 250_000).where("accounts=100000/"),
				atMost("allocs/op", 0),
			},
		},
		{module + "/router", "^BenchmarkPickParallel$", "ns/pick", "floor-ns", "x-floor", []goal{atMost("x-floor", 2.5)}},
		{module + "/router", "^BenchmarkPickWhileChanging$", "p99-ns", "idle-p99-ns", "x-idle", []goal{atMost("x-idle", 1.5)}},
		{module + "/router", "^BenchmarkFairness$", "max/min", "", "", []goal{atMost("max/min", 1.01)}},
		{
			module + "/projection", "^BenchmarkPublish$", "ns/change", "", "",
			[]goal{
				atMost("ns/change", 15_000).where("batch=1$"), atMost("B/op", 32<<10).where("batch=1$"),
				atMost("ns/change", 1000).where("batch=256"),
			},
		},
		{module + "/api", "^BenchmarkPickOverLoopback$", "ns/pick", "floor-ns", "of-floor", []goal{atLeast("of-floor", 0.8)}},
		{
			module + "/tests/bench", "^BenchmarkAppend$", "reports/s", "floor/s", "ratio",
			[]goal{
				atLeast("ratio", 0.9).where("waiters=1$"), atLeast("ratio", 0.7).where("waiters=256$"),
				atLeast("ratio", 0.65).where("waiters=1024$"),
			},
		},
		{
			module + "/tests/bench", "^BenchmarkStart$", "ms", "floor-ms", "x-floor",
			[]goal{
				atMost("x-floor", 3).where("verify/|cold/"), atMost("ms", 1500).where("verify/"),
				atMost("ms", 300).where("checkpoint/"), atMost("x-floor", 2).where("checkpoint/"),
				atMost("ms", 2).where("history/"),
			},
		},
		{module + "/tests/bench", "^BenchmarkFileSize$", "file/encoded", "", "", []goal{atMost("file/encoded", 1.3)}},
		{
			module + "/tests/bench", "^Benchmark(WhyNow|WhyAt|CellsAt|HistoryPage|WhatIf)$", "ns/op", "", "",
			[]goal{
				atMost("ns/op", 1e6).where("WhyNow"), atMost("ns/op", 50e6).where("WhyAt"), atMost("ns/op", 150e6).where("CellsAt"),
				atMost("ns/op", 2e6).where("HistoryPage"), atMost("ns/op", 2e9).where("WhatIf"), atMost("MB", 100).where("WhatIf"),
			},
		},
		{
			module + "/events/boltlog", "^BenchmarkExport$", "records/s", "floor/s", "ratio",
			[]goal{atLeast("records/s", 200_000)},
		},
	}
	if only == "" {
		return all
	}
	var some []promise
	for _, p := range all {
		if strings.Contains(p.bench, only) {
			some = append(some, p)
		}
	}
	return some
}

// result is one line of go test -bench: the name, and each metric by its unit.
type result struct {
	name    string
	metrics map[string]float64
}

// processors is what go test appends to a name: on how many the benchmark ran.
var processors = regexp.MustCompile(`-\d+$`)

// parse reads the lines of benchmarks; others, such as the package's, are passed over.
func parse(r io.Reader) []result {
	var list []result
	for lines := bufio.NewScanner(r); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := processors.ReplaceAllString(strings.TrimPrefix(fields[0], "Benchmark"), "")
		x := result{name, map[string]float64{}}
		for i := 2; i+1 < len(fields); i += 2 {
			if v, err := strconv.ParseFloat(fields[i], 64); err == nil {
				x.metrics[fields[i+1]] = v
			}
		}
		list = append(list, x)
	}
	return list
}

// row is the line of the table for a result, with the goals that it has.
func (p promise) row(r result) string {
	var goals, missed []string
	for _, g := range p.goals {
		if g.in != nil && !g.in.MatchString(r.name) {
			continue
		}
		goals = append(goals, g.String())
		value, ok := r.metrics[g.metric]
		switch {
		case !ok:
			missed = append(missed, "no "+g.metric)
		case g.atLeast && value < g.limit || !g.atLeast && value > g.limit:
			missed = append(missed, fmt.Sprintf("no: %s %s", short(value), g.metric))
		}
	}
	met := "yes"
	switch {
	case missed != nil:
		met = strings.Join(missed, ", ")
	case goals == nil:
		goals, met = []string{"-"}, "-"
	}
	return strings.Join([]string{
		r.name, p.show(r, p.figure) + " " + p.figure, p.show(r, p.floor), p.show(r, p.ratio), strings.Join(goals, ", "), met,
	}, "\t")
}

func (p promise) show(r result, metric string) string {
	if v, ok := r.metrics[metric]; ok {
		return short(v)
	}
	return "-"
}

func (g goal) String() string {
	sign := "<="
	if g.atLeast {
		sign = ">="
	}
	return fmt.Sprintf("%s %s %s", g.metric, sign, short(g.limit))
}

// short writes three digits that matter.
func short(v float64) string {
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}
