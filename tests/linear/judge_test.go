package linear

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// deadline is how long porcupine may look for an order. It needs milliseconds.
const deadline = 2 * time.Minute

// specification is the model as porcupine takes it.
func specification() porcupine.Model {
	m := porcupine.NondeterministicModel{
		Partition: byAccount,
		Init:      func() []any { return []any{account{}} },
		Step: func(state, input, output any) []any {
			var next []any
			for _, a := range state.(account).step(input.(call), output.(answer)) {
				next = append(next, a)
			}
			return next
		},
		DescribeOperation: func(input, output any) string { return describe(input.(call), output.(answer)) },
	}
	return m.ToModel()
}

func byAccount(ops []porcupine.Operation) [][]porcupine.Operation {
	parts := make([][]porcupine.Operation, len(accounts()))
	for _, op := range ops {
		i := slices.Index(accounts(), op.Input.(call).account)
		parts[i] = append(parts[i], op)
	}
	return parts
}

// describe is an operation as one line.
func describe(c call, r answer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", c.verb, targetName(c.target))
	for _, part := range []struct {
		name  string
		value any
		tells bool
	}{
		{"hours", c.hours, c.hours > 0},
		{"lease", c.lease, c.lease > 0},
		{"reason", c.reason, c.reason > 0},
		{"id", c.id, c.id > 0},
		{"named", c.named, c.named},
		{"disabled", c.disabled, c.disabled},
		{"force", c.force, c.force},
	} {
		if part.tells {
			fmt.Fprintf(&b, " %s %v", part.name, part.value)
		}
	}
	fmt.Fprintf(&b, " -> %s", r.what)
	for _, part := range []struct {
		name  string
		value any
		tells bool
	}{
		{"why", r.why, r.why != ""},
		{"cells", fmt.Sprintf("%03b", r.cells), r.cells > 0},
		{"seq", r.seq, r.seq > 0},
		{"repeated", r.repeated, r.repeated},
		{"volatile", r.volatile, r.volatile},
		{"before", r.before, r.pending},
		{"saw", fmt.Sprintf("%+v", r.seen), c.verb == verbLook},
	} {
		if part.tells {
			fmt.Fprintf(&b, " %s %v", part.name, part.value)
		}
	}
	return b.String()
}

// judge looks for an order that explains a history. If there is none, info tells how far
// one was found.
func judge(ops []porcupine.Operation) (porcupine.CheckResult, porcupine.LinearizationInfo) {
	return porcupine.CheckOperationsVerbose(specification(), ops, deadline)
}

// draw puts a drawing of a history into a file among the test's artifacts, and returns
// its path.
func draw(t testing.TB, info porcupine.LinearizationInfo) string {
	t.Helper()
	path := filepath.Join(t.ArtifactDir(), "history.html")
	if err := porcupine.VisualizePath(specification(), info, path); err != nil {
		t.Error(err)
	}
	return path
}

// explain tells how far an order explains the history: for each account whose history
// has none, the end of the longest one, what it leads to, and what could not follow.
func explain(ops []porcupine.Operation, info *porcupine.LinearizationInfo) string {
	var b strings.Builder
	parts := byAccount(ops)
	for i, orders := range info.PartialLinearizationsOperations() {
		longest := slices.MaxFunc(append(orders, nil), func(x, y []porcupine.Operation) int { return len(x) - len(y) })
		if len(longest) == len(parts[i]) {
			continue
		}
		fmt.Fprintf(&b, "%s: %d of %d operations have an order, which ends with\n", accounts()[i], len(longest), len(parts[i]))
		states := []account{{}}
		for n, op := range longest {
			states = after(states, op)
			if n >= len(longest)-12 {
				fmt.Fprintf(&b, "  %s\n", line(op))
			}
		}
		for _, s := range states {
			fmt.Fprintf(&b, "leading to %s\n", s)
		}
		b.WriteString("which none of these can follow\n")
		for _, op := range following(parts[i], longest) {
			fmt.Fprintf(&b, "  %s\n", line(op))
		}
	}
	return b.String()
}

func after(states []account, op porcupine.Operation) (next []account) {
	for _, s := range states {
		next = append(next, s.step(op.Input.(call), op.Output.(answer))...)
	}
	return next
}

// following returns the operations that an order lacks and that had begun before the
// first of them was answered.
func following(all, order []porcupine.Operation) []porcupine.Operation {
	var missing []porcupine.Operation
	for _, op := range all {
		if !slices.ContainsFunc(order, func(x porcupine.Operation) bool { return x.Call == op.Call && x.Input == op.Input }) {
			missing = append(missing, op)
		}
	}
	slices.SortFunc(missing, func(a, b porcupine.Operation) int { return int(a.Return - b.Return) })
	return slices.DeleteFunc(missing, func(op porcupine.Operation) bool { return op.Call > missing[0].Return })
}

func line(op porcupine.Operation) string {
	return fmt.Sprintf("%5d-%-5d client %-2d %s", op.Call, op.Return, op.ClientId, describe(op.Input.(call), op.Output.(answer)))
}
