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
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
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
--tls-key, or say --` + insecureFlag + `. The command line trusts a certificate of your
own if SSL_CERT_FILE names it.`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := f.resolve(env, cmd)
			if err != nil {
				return err
			}
			if s.DataDir == "" {
				return usage("no data directory is named, and nothing is written to a place nobody named. Try:\n  abeyance serve --data-dir ./abeyance-data")
			}
			if err := api.CheckBind(s.Listen, s.Cert != "", s.Insecure); err != nil {
				return usage("%v with --tls-cert and --tls-key, or say --%s", err, insecureFlag)
			}
			return newDaemon(env, s).run(cmd.Context())
		},
	}
	f.add(cmd.Flags())
	return cmd
}

// daemon is one run of serve. The fields below the line are set by its steps, in
// the order that close undoes.
type daemon struct {
	env      *environment
	settings *settings
	logger   *slog.Logger
	registry *prometheus.Registry

	listener net.Listener
	tokens   *api.Tokens
	created  bool // the first token was made
	server   *api.Server
	http     *http.Server
	failed   chan error // why serving ended
	log      *boltlog.Log
	folded   *fold
	took     time.Duration // to check and fold the log
	ids      *identity.Book
	stories  chan []events.Record
	telling  sync.WaitGroup
	engine   *projection.Engine
	url      string
	reloads  *reloads
}

func newDaemon(env *environment, s *settings) *daemon {
	level := slog.LevelInfo
	if env.quiet {
		level = slog.LevelWarn
	}
	options := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewTextHandler(env.err, options)
	if s.LogFormat == logJSON {
		h = slog.NewJSONHandler(env.err, options)
	}
	d := &daemon{env: env, settings: s, logger: slog.New(h), registry: prometheus.NewRegistry(), failed: make(chan error, 1)}
	d.reloads = newReloads(env.now())
	d.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), d.reloads)
	return d
}

// run starts, waits for the end, and stops.
func (d *daemon) run(ctx context.Context) error {
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
	steps := []func(context.Context) error{d.openTokens, d.serve, d.openLog, d.openEngine, d.announce}
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
	d.listener, err = net.Listen("tcp", d.settings.Listen)
	if err != nil {
		// Most often it is the daemon itself that is running already.
		if pid, _ := holder(d.settings.DataDir); pid != 0 {
			return &boltlog.LockedError{Path: d.settings.DataDir, PID: pid}
		}
		return err
	}
	if d.settings.Cert == "" {
		return nil
	}
	cert, err := tls.LoadX509KeyPair(d.settings.Cert, d.settings.Key)
	if err != nil {
		return errors.Join(fmt.Errorf("the certificate: %w", err), d.listener.Close())
	}
	d.listener = tls.NewListener(d.listener, &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
	})
	return nil
}

func (d *daemon) openTokens(context.Context) (err error) {
	d.tokens, d.created, err = api.OpenTokens(d.settings.DataDir)
	return err
}

func (d *daemon) serve(context.Context) (err error) {
	d.server, err = api.New(api.Options{
		Logger: d.logger, AccessLog: d.settings.LogAccess, Registry: d.registry, Tokens: d.tokens, Version: buildInfo().Version,
	})
	if err != nil {
		return err
	}
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
	d.folded = newFold()
	p := d.env.newProgress("checking the log")
	defer p.done()
	d.log, err = boltlog.Open(d.settings.DataDir, &boltlog.Options{
		Logger:  d.logger,
		Restore: d.folded.restore, AcceptLoss: d.settings.AcceptLoss,
		Replay: func(r events.Record) error {
			p.step()
			d.folded.apply(r)
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
	accounts, err := d.accounts()
	if err != nil {
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
		State: d.folded.state, Folded: d.took, Accounts: accounts,
		Groups: d.settings.file.file.groups(), Policy: d.settings.file.file.Policy, ObserveOnly: d.settings.ObserveOnly,
		Checkpoints: d.log, Loss: acceptedLoss(d.log),
	})
	if err != nil {
		if _, ok := errors.AsType[*projection.Error](err); ok && d.settings.file.name != "" {
			return fmt.Errorf("%s: %w", d.settings.file.name, err)
		}
		return err
	}
	picks := router.New(d.engine, &router.Options{Identities: d.ids, Strategies: d.settings.file.file.strategies()})
	if err := picks.Register(d.registry); err != nil {
		return fmt.Errorf("registering the router's metrics: %w", err)
	}
	d.server.Ready(api.Backend{
		Engine: d.engine, Router: picks, Identities: d.ids,
		Verify: func(ctx context.Context) (events.Head, error) { return verifyDir(ctx, d.log, d.settings.DataDir) },
		Copy:   func(ctx context.Context) (api.Copy, error) { return d.log.Copy(ctx, nil) },
		Bytes:  func() int64 { return d.log.Stats().Bytes },
	})
	return nil
}

// accounts returns the configured accounts under their stored ids. What the log does
// not let stand, such as another provider, is named with its line.
func (d *daemon) accounts() ([]projection.PutAccount, error) {
	var list []projection.PutAccount
	for i, a := range d.settings.file.file.Accounts {
		if err := d.ids.Add(a.ID); err != nil {
			return nil, err
		}
		put := a.put(d.ids.Stored(a.ID))
		if err := tryOn(d.folded.state, new(put)); err != nil {
			return nil, d.settings.file.mistake(err, "accounts", strconv.Itoa(i))
		}
		list = append(list, put)
	}
	return list, nil
}

// announce says where the daemon is: to the command line by daemon.json, to people
// on stdout.
func (d *daemon) announce(context.Context) error {
	d.url = listenURL(d.listener.Addr(), d.settings.Cert != "")
	if err := writeDaemonFile(d.settings.DataDir, daemonFile{URL: d.url, PID: os.Getpid()}); err != nil {
		return err
	}
	d.notify(notifyReady, "serving "+d.url)
	if d.exposed() {
		d.logger.Warn("plain HTTP beyond this machine: whoever is on the way reads the tokens", "listen", d.listener.Addr().String())
	}
	if d.env.quiet {
		return nil
	}
	_, err := d.env.out.Write([]byte(d.greeting()))
	return err
}

// exposed reports whether tokens cross a network in clear.
func (d *daemon) exposed() bool {
	return d.settings.Cert == "" && api.CheckBind(d.listener.Addr().String(), false, false) != nil
}

// listenURL is the address for a client on this machine.
func listenURL(a net.Addr, secure bool) string {
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
	name := filepath.Join(dir, nameDaemon)
	if err := os.WriteFile(name+".new", append(doc, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// wait returns when the daemon is to stop: nil if it was asked to.
func (d *daemon) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		d.logger.Info("stopping", "grace", graceStop.String())
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
	var errs []error
	if d.url != "" {
		errs = append(errs, os.Remove(filepath.Join(d.settings.DataDir, nameDaemon)))
	}
	errs = append(errs, d.stopServing())
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
