// Command bench runs the benchmarks behind the numbers that Abeyance promises and
// prints them as one table: what was measured, the floor taken in the same run, the
// ratio, and the goal.
//
//	go run ./tests/bench            every row, about six minutes on two cores
//	go run ./tests/bench -time 10ms a quick look
//
// It reports what it measures; a goal that is missed is marked, and fails nothing: the
// machine may be busy.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"text/tabwriter"
)

func main() {
	benchtime := flag.String("time", "1s", "how long to run each benchmark, as go test's -benchtime")
	only := flag.String("only", "", "run only the rows of benchmarks whose name contains this")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, options{*benchtime, *only}); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct{ time, only string }

// run measures each promise and prints its rows as they come.
func run(ctx context.Context, out io.Writer, o options) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WHAT\tFIGURE\tFLOOR\tRATIO\tGOAL\tMET")
	for _, p := range promises(o.only) {
		results, err := measure(ctx, p, o.time)
		if err != nil {
			return err
		}
		for _, r := range results {
			fmt.Fprintln(w, p.row(r))
		}
		// Each promise is a table of its own width, so that it can be read while the
		// next is measured.
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// measure runs one promise's benchmarks in their package.
func measure(ctx context.Context, p promise, benchtime string) ([]result, error) {
	args := []string{"test", "-run", "^$", "-bench", p.bench, "-benchmem", "-benchtime", benchtime, p.pkg}
	cmd := exec.CommandContext(ctx, "go", append(args, p.flags()...)...)
	var text, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("go test -bench %s %s: %w\n%s%s", p.bench, p.pkg, err, text.Bytes(), said.Bytes())
	}
	results := parse(&text)
	if len(results) == 0 {
		return nil, fmt.Errorf("go test -bench %s %s ran no benchmark", p.bench, p.pkg)
	}
	return results, nil
}
