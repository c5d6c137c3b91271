package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal returns a pseudo-terminal: what is written to the inner end is read from
// the outer one.
func openTerminal(t *testing.T) (outer, inner *os.File) {
	t.Helper()
	outer, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		cannotRun(t, "there are no pseudo-terminals: "+err.Error())
	}
	t.Cleanup(func() { outer.Close() })
	if err := unix.IoctlSetPointerInt(int(outer.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetUint32(int(outer.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if inner, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { inner.Close() })
	if err := unix.IoctlSetWinsize(int(inner.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 10, Col: 90}); err != nil {
		t.Fatal(err)
	}
	return outer, inner
}

// TestATerminalShowsOnePageThatGoesOn: drawn in its place, with a clock that ticks, and
// given back at the end, whatever happens in between.
func TestATerminalShowsOnePageThatGoesOn(t *testing.T) {
	for name, c := range map[string]struct {
		args, at0, at1, at2 string
		states              []string
	}{
		"status": {
			"status -w", "in 7m", "in 6m5", "2 of 2", // seven minutes, less, and the next state
			[]string{summaryOf(1, 3, 7), summaryOf(2, 4, 8)},
		},
		"why": {
			"why a1 -w", "cools", "cools", "is back",
			[]string{`{"sentence":"it cools","status":"cooling","now":"2026-11-23T00:00:00Z"}`, `{"sentence":"it is back","status":"available"}`},
		},
		"episodes": {
			"episodes -w", "5m", "5m[1-9]s", "expired", // a busy machine may miss a second
			[]string{
				`{"now":"2026-11-23T00:05:00Z","items":[{"account":"a1","started_at":"2026-11-23T00:00:00Z","seconds":300,"until":"2026-11-23T00:10:00Z"}]}`,
				`{"now":"2026-11-23T00:05:00Z","items":[{"account":"a1","started_at":"2026-11-23T00:00:00Z","seconds":300,"ended":"expired"}]}`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			outer, inner := openTerminal(t)
			shown := new(lockedBuffer)
			go func() {
				b := make([]byte, 4096)
				for {
					n, err := outer.Read(b)
					if err != nil {
						return
					}
					_, _ = shown.Write(b[:n]) // it never fails
				}
			}()
			p := &playing{t: t, said: make(chan string), states: c.states}
			env, _, _ := facing(t, p.ServeHTTP)
			errs := new(lockedBuffer)
			env.out, env.err = inner, errs
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			ended := make(chan int, 1)
			go func() { ended <- env.run(ctx, strings.Fields(c.args)) }()

			sees := func(what string) func() bool { return func() bool { return strings.Contains(shown.String(), what) } }
			until(t, "a page", sees(c.at0))
			until(t, "a clock that ticks", func() bool { return regexp.MustCompile(c.at1).MatchString(shown.String()) })
			p.said <- ""
			until(t, "the trouble on the page", sees("the daemon is gone; connecting again"))
			p.turn()
			until(t, "another page", sees(c.at2))
			interrupt()
			if code := <-ended; code != exitOK {
				t.Errorf("exit %d", code)
			}
			until(t, "the end", func() bool {
				_, after, left := strings.Cut(shown.String(), leaveScreen)
				return left && strings.Contains(after, c.at2) // and what was shown last stays
			})
			all := shown.String()
			if !strings.HasPrefix(all, enterScreen) || strings.Count(all, enterScreen) != 1 || strings.Count(all, leaveScreen) != 1 {
				t.Errorf("%q", all)
			}
			if errs.String() != "" {
				t.Errorf("stderr, over the page: %s", errs)
			}
		})
	}
}

// TestADumbTerminalGetsBlocks, as a file does.
func TestADumbTerminalGetsBlocks(t *testing.T) {
	outer, inner := openTerminal(t)
	p := &playing{t: t, said: make(chan string), states: []string{summaryOf(2, 0, 7)}}
	env, _, _ := facing(t, p.ServeHTTP)
	getenv := env.getenv
	env.getenv = func(name string) string {
		if name == "TERM" {
			return "dumb"
		}
		return getenv(name)
	}
	env.out = inner
	ctx, interrupt := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() { ended <- env.run(ctx, []string{"status", "-w"}) }()
	b := make([]byte, 4096)
	n, err := outer.Read(b)
	interrupt()
	if code := <-ended; code != exitOK || err != nil || strings.ContainsRune(string(b[:n]), '\x1b') || !strings.HasPrefix(string(b[:n]), "2026-") {
		t.Errorf("exit %d: %q, %v", code, b[:n], err)
	}
}
