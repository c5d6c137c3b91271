package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/api/hooks"
	"github.com/abeyance/abeyance/api/ui"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/events/sidecar"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
	"github.com/abeyance/abeyance/router"
)

// How long requests under way may take when the daemon ends.
const (
	graceStop = 10 * time.Second // asked to stop
	graceDead = 2 * time.Second  // the log cannot be written: only reads are left
)

// graceReader is how long to wait for a command that reads the log while no daemon
// runs.
const graceReader = 5 * time.Second

func newServeCommand(env *environment) *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve --data-dir DIR",
		Short: "Run the daemon",
		Long: `Run the daemon until SIGINT or SIGTERM. The data directory holds the log and all else
that is kept; it is made if its parent exists. On the first start an admin token is
written to the file "token" there, which only you can read.

Plain HTTP is served on loopback addresses only. To listen wider use --tls-cert and
--tls-key, or say --` + insecureFlag + `, and name the daemon's hosts with --allow-host:
requests to other hosts than localhost are refused. A renewed certificate is served
without a restart. The command line trusts a certificate of your own if SSL_CERT_FILE
names it. --listen unix:/path serves a socket that only your user can use.

With --config the file is read anew when it changes and on SIGHUP. Relative paths in it
start from its folder. Without --config SIGHUP stops the daemon, as it is what the end of
a terminal sends; under nohup it goes on.`,
		Example: `  abeyance serve --data-dir ./other --listen 127.0.0.1:0
  abeyance serve --data-dir ./other --config abeyance.yaml --observe-only`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := f.resolveServable(env, cmd)
			if err != nil {
				return err
			}
			d := newDaemon(env, s)
			d.resolve = func() (*settings, error) { return f.resolveServable(env, cmd) }
			for _, warning := range env.unknownVariables(cmd.Root()) {
				d.logger.Warn(warning)
			}
			return d.run(cmd.Context())
		},
	}
	f.add(cmd.Flags())
	return cmd
}

// resolveServable completes the settings and refuses those that a daemon does not start
// with.
func (f *serveFlags) resolveServable(env *environment, cmd *cobra.Command) (*settings, error) {
	s, err := f.resolve(env, cmd)
	if err != nil {
		return nil, err
	}
	switch {
	case s.DataDir != "":
		return s, s.checkBind()
	case s.file.name != "":
		return nil, usage("%s names no data_dir, and neither do --data-dir and %s: nothing is written to a place nobody named", s.file.name, envDataDir)
	}
	return nil, usage("no data directory is named, and nothing is written to a place nobody named. Try:\n  abeyance serve --data-dir ./abeyance-data")
}

// daemon is one run of serve. The fields below the line are set by its steps, in
// the order that close undoes.
type daemon struct {
	env      *environment
	settings *settings // as it was started with
	logger   *slog.Logger
	logs     *logSwitch
	registry *prometheus.Registry
	// resolve reads the settings anew, for a reload.
	resolve func() (*settings, error)
	// reloaders are the parts of the daemon that follow its settings while it runs; the
	// steps of start add theirs, before openEngine.
	reloaders []reloadPart
	owners    *api.Owners // of the sections of the configuration

	listener   net.Listener
	url        string           // set by listen, and never again: reloads read it at any time
	cert       *api.Certificate // nil: plain HTTP
	tokens     *api.Tokens
	sessions   *api.Sessions
	created    bool // the first token was made
	server     *api.Server
	http       *http.Server
	failed     chan error // why serving ended
	log        *boltlog.Log
	folded     *projection.Folding
	took       time.Duration // to check and fold the log
	ids        *identity.Book
	identities atomic.Pointer[identity.Book] // the same, for the pages, which are there before it
	stories    chan []events.Record
	telling    sync.WaitGroup
	engine     *projection.Engine
	hooks      []hooks.Hook // in force; once the daemon is up it is the reloads'
	notifier   *hooks.Notifier
	picks      *router.Router
	reloads    *reloader
	reloaded   *reloads  // their metrics
	follow     following // of the configuration file
	// announced: the start is over and no end has begun; only then the service manager is
	// told of reloads, which requests may ask for before and after.
	announced atomic.Bool
	placed    bool // daemon.json says where it is
}

func newDaemon(env *environment, s *settings) *daemon {
	d := &daemon{
		env: env, settings: s, registry: prometheus.NewRegistry(), failed: make(chan error, 1), owners: new(api.Owners),
		resolve: func() (*settings, error) { return s, nil },
	}
	d.logger, d.logs = newLogger(env.err)
	d.logs.set(s, env.quiet)
	d.reloaded = newReloads(env.now())
	d.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), d.reloaded)
	return d
}

// run starts, waits for the end, and stops.
func (d *daemon) run(ctx context.Context) error {
	ctx, done := d.takeHangups(ctx)
	defer done()
	if err := d.listen(); err != nil {
		return err
	}
	err := d.start(ctx)
	if err == nil {
		err = d.wait(ctx)
	}
	return errors.Join(err, d.close())
}

// start brings everything up. The server answers 503 while the log is read; only at
// the very first start, and on what is no directory, the log comes first: it makes
// the directory, or says what is wrong with it.
func (d *daemon) start(ctx context.Context) error {
	var err error
	if d.hooks, err = d.settings.file.hooks(); err != nil {
		return &exitError{exitUsage, err}
	}
	steps := []func(context.Context) error{d.openTokens, d.serve, d.openLog, d.openEngine, d.followConfig, d.announce}
	if _, err := os.Stat(filepath.Join(d.settings.DataDir, api.TokensFile)); err != nil {
		steps[0], steps[1], steps[2] = d.openLog, d.openTokens, d.serve
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *daemon) listen() (err error) {
	d.listener, err = api.Listen(d.settings.Listen, d.logger)
	if err != nil {
		// Most often it is the daemon itself that is running already.
		if pid, _ := holder(d.settings.DataDir); pid != 0 {
			return &boltlog.LockedError{Path: d.settings.DataDir, PID: pid}
		}
		return err
	}
	d.url = listenURL(d.listener.Addr(), d.settings.Cert != "")
	if d.settings.Cert == "" {
		return nil
	}
	if d.cert, err = api.OpenCertificate(d.settings.Cert, d.settings.Key, d.logger); err != nil {
		return errors.Join(&exitError{exitUsage, err}, d.listener.Close())
	}
	d.listener = tls.NewListener(d.listener, d.cert.TLS())
	return nil
}

func (d *daemon) openTokens(context.Context) (err error) {
	if d.tokens, d.created, err = api.OpenTokens(d.settings.DataDir); err != nil {
		return err
	}
	d.sessions, err = api.OpenSessions(d.settings.DataDir, d.tokens)
	return err
}

func (d *daemon) serve(context.Context) (err error) {
	o, err := d.settings.serverOptions()
	if err != nil {
		return err
	}
	o.Logger, o.AccessLog, o.Registry, o.Version = d.logger, d.settings.LogAccess, d.registry, buildInfo().Version
	o.Tokens, o.Sessions = d.tokens, d.sessions
	if d.server, err = api.New(o); err != nil {
		return err
	}
	pages, err := ui.New(ui.Options{API: d.server.Handler(), Identities: d.identities.Load, Logger: d.logger, Version: buildInfo().Version})
	if err != nil {
		return err
	}
	d.server.Dashboard(pages)
	d.http = api.NewHTTPServer(d.server.Handler(), d.logger)
	go func() { d.failed <- d.http.Serve(d.listener) }()
	return nil
}

// openLog checks the log and folds it on the way. A reader that has it open is
// waited for: it is done in a moment.
func (d *daemon) openLog(ctx context.Context) error {
	began := time.Now()
	for {
		err := d.readLog(ctx)
		locked, ok := errors.AsType[*boltlog.LockedError](err)
		if !ok || locked.PID != 0 || time.Since(began) > graceReader {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (d *daemon) readLog(ctx context.Context) (err error) {
	began := time.Now()
	d.folded = projection.NewFolding()
	p := d.env.newProgress("checking the log")
	defer p.done()
	d.log, err = boltlog.Open(d.settings.DataDir, &boltlog.Options{
		Logger:  d.logger,
		Restore: d.folded.Restore, AcceptLoss: d.settings.AcceptLoss,
		Replay: func(r events.Record) error {
			p.step()
			d.folded.Apply(r)
			return ctx.Err()
		},
	})
	d.took = time.Since(began)
	return adviseLoss(err)
}

// openEngine brings up everything that needs the log, and ends the 503s.
func (d *daemon) openEngine(ctx context.Context) (err error) {
	if d.ids, err = identity.Open(filepath.Join(d.settings.DataDir, identity.FileName)); err != nil {
		return err
	}
	d.identities.Store(d.ids)
	file := d.settings.file
	conf, err := file.configure(d.folded.State, d.ids, d.env.now())
	if err != nil {
		return err
	}
	if err := d.ids.Add(file.file.accountIDs()...); err != nil {
		return err
	}
	head, err := d.log.Head(ctx)
	if err != nil {
		return err
	}
	d.stories = make(chan []events.Record, activityQueue)
	d.telling.Go(func() { newActivity(d.logger, head.Seq).run(d.stories) })
	d.engine, err = projection.Open(ctx, toldLog{d.log, d.stories}, &projection.Options{
		Logger: d.logger, Registerer: d.registry, PerAccountMetrics: d.settings.PerAccount, Now: d.env.now,
		State: d.folded.State, Folded: d.took,
		Groups: conf.Groups, Policy: conf.Policy, Accounts: conf.Accounts, WholePool: conf.WholePool, ObserveOnly: d.settings.ObserveOnly,
		Checkpoints: d.log, Loss: acceptedLoss(d.log),
	})
	if err != nil {
		if _, ok := errors.AsType[*projection.Error](err); ok && d.settings.file.name != "" {
			return fmt.Errorf("%s: %w", d.settings.file.name, err)
		}
		return err
	}
	d.picks = router.New(d.engine, &router.Options{Identities: d.ids, Strategies: file.file.strategies()})
	if err := d.picks.Register(d.registry); err != nil {
		return fmt.Errorf("registering the router's metrics: %w", err)
	}
	if d.reloads, err = newReloader(d, append(d.ownParts(), d.reloaders...)); err != nil {
		return err
	}
	if err := d.owners.Hand(func() (map[api.Section]string, error) { return file.owned(), nil }); err != nil {
		return err // unreachable: it has none of its own
	}
	if err := d.openHooks(); err != nil {
		return err
	}
	d.server.Ready(api.Backend{
		Engine: d.engine, Router: d.picks, Identities: d.ids, Owners: d.owners, Reload: d.reloads.request,
		Verify: func(ctx context.Context) (events.Head, error) { return verifyDir(ctx, d.log, d.settings.DataDir) },
		Copy:   func(ctx context.Context) (api.Copy, error) { return d.log.Copy(ctx, nil) },
		Bytes:  func() int64 { return d.log.Stats().Bytes },
	})
	return nil
}

// announce says where the daemon is: to the command line by daemon.json, to people
// on stdout.
func (d *daemon) announce(context.Context) error {
	if err := writeDaemonFile(d.settings.DataDir, daemonFile{URL: d.url, PID: os.Getpid()}); err != nil {
		return err
	}
	d.placed = true
	d.notify(notifyReady, "serving "+d.url)
	d.announced.Store(true)
	if d.exposed() {
		d.logger.Warn("plain HTTP beyond this machine: whoever is on the way reads the tokens", "listen", d.listener.Addr().String())
	}
	if d.settings.nameless() {
		d.logger.Warn("other machines reach this daemon under no name: only requests to localhost are answered; name it with --allow-host")
	}
	if d.env.quiet {
		return nil
	}
	_, err := d.env.out.Write([]byte(d.greeting()))
	return err
}

// exposed reports whether tokens cross a network in clear.
func (d *daemon) exposed() bool {
	_, socket := d.listener.Addr().(*net.UnixAddr)
	return !socket && d.settings.Cert == "" && api.CheckBind(d.listener.Addr().String(), false, false) != nil
}

// listenURL is the address for a client on this machine.
func listenURL(a net.Addr, secure bool) string {
	if socket, ok := a.(*net.UnixAddr); ok {
		return "unix:" + socket.Name
	}
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return "http://" + a.String() // unreachable: a TCP address has a port
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http"
	if secure {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// writeDaemonFile replaces the file as a whole: a reader never sees half of it.
func writeDaemonFile(dir string, f daemonFile) error {
	doc, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return sidecar.Write(filepath.Join(dir, nameDaemon), append(doc, '\n'))
}

// wait returns when the daemon is to stop: nil if it was asked to.
func (d *daemon) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		d.logger.Info("stopping", "grace", graceStop.String())
		d.announced.Store(false)
		d.notify(notifyStopping, "")
		return nil
	case err := <-d.failed:
		d.failed <- err
		return fmt.Errorf("serving ended: %w", err)
	case <-d.engine.Done():
		return cmp.Or(d.engine.Err(), projection.ErrStopped)
	}
}

// close undoes what start did, as far as that came.
func (d *daemon) close() error {
	d.announced.Store(false)
	d.follow.stop()
	var errs []error
	if d.placed {
		errs = append(errs, os.Remove(filepath.Join(d.settings.DataDir, nameDaemon)))
	}
	errs = append(errs, d.stopServing())
	if d.notifier != nil {
		d.notifier.Close()
	}
	if d.engine != nil {
		d.engine.Close() // its error was reported by wait, or is that of a clean end
	}
	if d.log != nil {
		errs = append(errs, d.log.Close())
	}
	if d.stories != nil {
		close(d.stories)
		d.telling.Wait()
	}
	return errors.Join(errs...)
}

// stopServing lets the requests under way finish.
func (d *daemon) stopServing() error {
	if d.http == nil {
		return d.listener.Close()
	}
	grace := graceStop
	if d.engine == nil || d.engine.Err() != nil {
		grace = graceDead
	}
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	err := d.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests were cut off: %w", err), d.http.Close())
	}
	<-d.failed
	return err
}
