package faults

import (
	"fmt"
	"strconv"
	"strings"
)

// call is a system call, as strace tells of it.
type call struct {
	name string
	args []string // as printed; see text
	ret  int64    // -1: it failed
}

// arg returns an argument as printed, and nothing if there are not so many.
func (c *call) arg(i int) string {
	if i >= len(c.args) {
		return ""
	}
	return c.args[i]
}

// text returns an argument that is a string.
func (c *call) text(i int) (string, error) {
	s, err := strconv.Unquote(c.arg(i))
	if err != nil { // which is also that of a string that strace has cut short: "..."...
		return "", fmt.Errorf("argument %d of %s is no whole string: %.40s", i, c.name, c.arg(i))
	}
	return s, nil
}

func (c *call) number(i int) (int64, error) {
	n, err := strconv.ParseInt(c.arg(i), 0, 64)
	if err != nil {
		return 0, fmt.Errorf("argument %d of %s is no number: %w", i, c.name, err)
	}
	return n, nil
}

// step is the beginning or the end of a call. In between other threads may do
// something. strace sees the steps in an order in which they can have happened: a
// thread goes on from each only when it was seen.
type step struct {
	*call
	ended bool
}

const (
	unfinished = " <unfinished ...>"
	resumed    = "<... "
)

// parseTrace reads what strace -f -xx -o writes, of the form
//
//	123 write(1, "\x61", 1) = 1
//	124 fsync(3 <unfinished ...>
//	123 close(4)                = 0
//	124 <... fsync resumed>)    = 0
//
// A call that never ends, as that of a thread when the process exits, has a beginning
// only, and counts as failed.
func parseTrace(doc string) ([]step, error) {
	var steps []step
	open := map[string]*call{}  // thread -> the call that it is in
	said := map[string]string{} // thread -> what was printed of it
	for line := range strings.Lines(doc) {
		thread, line, ok := strings.Cut(strings.TrimRight(line, "\n"), " ")
		line = strings.TrimLeft(line, " ")
		switch {
		case !ok:
			return nil, fmt.Errorf("a line of the trace is %q", thread)
		case strings.HasPrefix(line, "+++ "), strings.HasPrefix(line, "--- "):
			continue // the end of a thread, or a signal
		}
		if before, cut := strings.CutSuffix(line, unfinished); cut {
			open[thread] = &call{ret: -1}
			said[thread] = before
			steps = append(steps, step{call: open[thread]})
			continue
		}
		c := open[thread]
		if c == nil {
			c = &call{}
			steps = append(steps, step{call: c})
		} else if _, rest, ok := strings.Cut(line, " resumed>"); ok && strings.HasPrefix(line, resumed) {
			line = said[thread] + rest
		}
		delete(open, thread)
		if err := c.parse(line); err != nil {
			return nil, err
		}
		steps = append(steps, step{call: c, ended: true})
	}
	for thread, c := range open {
		if err := c.parse(said[thread] + ") = ?"); err != nil {
			return nil, err
		}
	}
	return steps, nil
}

// parse reads NAME(ARG, ...) = RESULT.
func (c *call) parse(line string) error {
	at := strings.LastIndex(line, " = ")
	name, rest, ok := strings.Cut(line[:max(at, 0)], "(")
	rest = strings.TrimRight(rest, " ")
	if !ok || !strings.HasSuffix(rest, ")") {
		return fmt.Errorf("a call in the trace is %.100q", line)
	}
	c.name, c.ret = name, -1
	if args := strings.TrimSuffix(rest, ")"); args != "" {
		c.args = strings.Split(args, ", ")
	}
	result, _, _ := strings.Cut(line[at+len(" = "):], " ")
	if result == "?" {
		return nil
	}
	var err error
	if c.ret, err = strconv.ParseInt(result, 0, 64); err != nil {
		return fmt.Errorf("a call in the trace returns %q: %.100q", result, line)
	}
	return nil
}
