package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// standard is the three streams of a process.
type standard struct {
	in       io.Reader
	out, err io.Writer
}

// environment is what a command has of the world, and the flags that all commands
// share. Data goes to out, everything said about it to err.
type environment struct {
	standard
	getenv  func(string) string
	environ func() []string // every variable as NAME=VALUE; nil: not to be looked through
	now     func() time.Time
	// variables :: flag → the environment variable that set it
	variables map[string]string
	warned    bool // of variables that are unknown

	dataDir   string // --data-dir or ABEYANCE_DATA_DIR, or of a context; empty: none named
	url       string // --url or ABEYANCE_URL, or of a context; empty: found in dataDir
	tokenFile string // --token-file or ABEYANCE_TOKEN_FILE
	output    string // --output: one of outputs
	quiet     bool   // --quiet

	context      string // --context; empty: none named by a flag
	contextsFile string // --contexts-file or ABEYANCE_CONTEXTS_FILE
	place        place  // which daemon these say, once they are placed
	placed       bool
	coloured     bool // out is shown on a terminal, though it is none
}

// The variables of flags that texts name.
const (
	envDataDir      = "ABEYANCE_DATA_DIR"
	envURL          = "ABEYANCE_URL"
	envTokenFile    = "ABEYANCE_TOKEN_FILE"
	envContext      = "ABEYANCE_CONTEXT"
	envContextsFile = "ABEYANCE_CONTEXTS_FILE"
)

// run is the whole program but for its process: it executes one command line and
// returns the exit code.
func run(ctx context.Context, args []string, std standard) int {
	env := &environment{standard: std, getenv: os.Getenv, environ: os.Environ, now: time.Now}
	return env.run(ctx, args)
}

func (env *environment) run(ctx context.Context, args []string) int {
	root := newRootCommand(env)
	root.SetArgs(args)
	root.SetIn(env.in)
	root.SetOut(env.out)
	root.SetErr(env.err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		fmt.Fprintln(env.err, "abeyance: interrupted")
		return exitInterrupted
	}
	var silent *exitError
	if !errors.As(err, &silent) || silent.err != nil {
		for line := range strings.Lines(err.Error() + env.guess(ctx, cmd, err)) {
			fmt.Fprintln(env.err, "abeyance: "+strings.TrimRight(line, "\n"))
		}
		for _, line := range env.fromVariables(err) {
			fmt.Fprintln(env.err, "abeyance: "+line)
		}
	}
	return exitCode(err)
}

// say prints something about the work to err, unless --quiet was given.
func (env *environment) say(format string, args ...any) {
	if !env.quiet {
		fmt.Fprintf(env.err, format+"\n", args...)
	}
}

// user is the person a command is done for, as far as the system tells.
func (env *environment) user() string {
	for _, name := range []string{"USER", "LOGNAME", "USERNAME"} {
		if u := env.getenv(name); u != "" {
			return u
		}
	}
	return ""
}

// asks reports whether there is somebody at a terminal to put a question to.
func (env *environment) asks() bool { return isTerminal(env.in) && isTerminal(env.err) }

// ask puts a question to the terminal and reports whether the answer was yes. An end
// of the context is a no.
func (env *environment) ask(ctx context.Context, question string) bool {
	fmt.Fprintf(env.err, "%s [y/N] ", question)
	answer := make(chan string, 1)
	// A read of a terminal cannot be called off; the process is about to end anyway.
	go func() {
		line, err := bufio.NewReader(env.in).ReadString('\n')
		if err != nil {
			line = ""
		}
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case word := <-answer:
		return word == "y" || word == "yes"
	case <-ctx.Done():
		fmt.Fprintln(env.err)
		return false
	}
}

// colours reports whether the output may be coloured; see https://no-color.org.
func (env *environment) colours() bool {
	return (env.coloured || isTerminal(env.out)) && env.getenv("NO_COLOR") == "" && env.getenv("TERM") != "dumb"
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// maxInput bounds documents that are read whole: definitions and bodies. The
// daemon's own bound is 1 MiB.
const maxInput = 1 << 20

// read returns what a file holds, or the standard input for "-".
func (env *environment) read(name string) ([]byte, error) {
	from := env.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		from = f
	}
	doc, err := io.ReadAll(io.LimitReader(from, maxInput+1))
	if err != nil {
		return nil, err
	}
	if len(doc) > maxInput {
		return nil, fmt.Errorf("%s has more than %d bytes", inputName(name), maxInput)
	}
	return bytes.TrimPrefix(doc, []byte("\ufeff")), nil
}

func inputName(name string) string {
	if name == "-" {
		return "the standard input"
	}
	return name
}
