// Package demo shows what Abeyance does, in acts, on this machine alone: a fake
// provider with family quotas, a small reverse proxy over the router, a daemon that
// is killed. Each act checks what it shows, and Run fails if one does not hold.
package demo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
	"github.com/abeyance/abeyance/router/signal"
)

// Options configure a run.
type Options struct {
	Out io.Writer
	// Program is the path of the abeyance binary, for the act that kills a daemon.
	Program string
	// Environ is the environment of that daemon. Nil: this process's.
	Environ []string
	// Dir holds the demo's data; it must be empty.
	Dir string
}

// demo is one run.
type demo struct {
	out     io.Writer
	program string
	environ []string
	dir     string
	acts    int
	summary string

	engine *projection.Engine
	router *router.Router
	up     *upstream
}

// Run plays every act. An error names the act and what did not hold.
func Run(ctx context.Context, o Options) error {
	d := &demo{out: o.Out, program: o.Program, environ: o.Environ, dir: o.Dir}
	if err := d.pool(ctx); err != nil {
		return err
	}
	for _, act := range []func(context.Context) error{d.poison, d.killed, d.early, d.traffic} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	d.line("")
	d.line("%s", d.summary)
	return nil
}

// PoolDir is where a run leaves the pool of its acts, for a daemon to serve.
func PoolDir(dir string) string { return dir + "/pool" }

// pool plays the acts on one pool in this process.
func (d *demo) pool(ctx context.Context) error {
	e, closeLog, err := openEngine(ctx, PoolDir(d.dir), &projection.Options{Accounts: accounts([]string{"ag-1", "ag-2", "ag-3"})})
	if err != nil {
		return err
	}
	defer closeLog()
	d.engine, d.router = e, router.New(e, nil)
	if d.up, err = startUpstream(map[string]int{"ag-1": 50, "ag-2": 50, "ag-3": 50}, 71*time.Hour); err != nil {
		return err
	}
	defer d.up.close()
	for _, act := range []func(context.Context) error{d.family, d.capacity, d.manual} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

// openEngine opens a log and its engine; the function closes both.
func openEngine(ctx context.Context, dir string, o *projection.Options) (*projection.Engine, func(), error) {
	log, err := boltlog.Open(dir, nil)
	if err != nil {
		return nil, nil, err
	}
	e, err := projection.Open(ctx, log, o)
	if err != nil {
		log.Close()
		return nil, nil, err
	}
	return e, func() {
		e.Close()
		log.Close()
	}, nil
}

func accounts(ids []string) []projection.PutAccount {
	var list []projection.PutAccount
	for _, id := range ids {
		list = append(list, projection.PutAccount{ID: id, Spec: events.AccountSpec{Provider: provider}})
	}
	return list
}

func (d *demo) line(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

// act prints a title.
func (d *demo) act(title string) {
	d.acts++
	d.line("\nAct %d: %s", d.acts, title)
}

func (d *demo) say(format string, args ...any) { d.line("  "+format, args...) }

// yours prints the command that does the same on one's own pool.
func (d *demo) yours(command string) { d.say("on your pool: %s", command) }

func (d *demo) check(ok bool, what string) error {
	if !ok {
		return fmt.Errorf("act %d failed: %s", d.acts, what)
	}
	d.say("ok: %s", what)
	return nil
}

// call sends one request with an account to the fake upstream and reports the answer.
func (d *demo) call(ctx context.Context, account, model string) (out router.Outcome, err error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, d.up.url+"/models/"+model, strings.NewReader(`{"contents":[]}`))
	if err != nil {
		return out, err
	}
	q.Header.Set("Authorization", "Bearer "+account)
	began := time.Now()
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, signal.MaxBody))
	if err != nil {
		return out, err
	}
	return d.router.Report(ctx, router.Lease{Account: account, Provider: provider, Model: model}, signal.Observation{
		Status: resp.StatusCode, Header: resp.Header, Body: body, StartedAt: began,
	})
}

// picks asks for a model n times and lists the accounts.
func (d *demo) picks(model string, n int) (string, error) {
	var got []string
	for range n {
		l, err := d.router.Pick(router.Request{Provider: provider, Model: model})
		if err != nil {
			return "", err
		}
		got = append(got, l.Account)
	}
	d.say("%d picks of %-26s %s", n, model+":", strings.Join(got, " "))
	return strings.Join(got, " "), nil
}
