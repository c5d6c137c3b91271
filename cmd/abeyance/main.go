// Command abeyance is the daemon and the command line of Abeyance, which knows for
// every account and quota group of an LLM pool whether it is suspended, and why.
//
// The command line is thin: what a command says comes from the daemon's HTTP
// answers, or, where the daemon is stopped, from the same functions over the log in
// the data directory. Nothing here decides what a state means.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	keepPrivate()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for a clean end; the second one kills.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], standard{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}
