package plugin

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/api/ui"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
	"github.com/abeyance/abeyance/router"
)

// graceDrain is how long queued usage records may take to become durable at a close.
const graceDrain = 5 * time.Second

// core is an open log and what stands on it. It is built whole and closed whole; picks
// may go on with one that was closed, until there is another.
type core struct {
	dir     string
	log     *boltlog.Log
	ids     *identity.Book
	engine  *projection.Engine
	router  *router.Router
	server  *api.Server
	learner *learner
	probes  probes
	door    *door  // nil: nothing listens
	missed  string // the address that could not be had, which was told

	drain chan struct{}      // closed: end once the queue is empty
	hurry context.CancelFunc // end now, whatever is queued
	stop  context.CancelFunc // ends learning
	tasks sync.WaitGroup
}

// openCore opens a data directory as a configuration says. Errors are those of
// boltlog.Open, among others.
func openCore(ctx context.Context, p *Plugin, cfg *config) (_ *core, err error) {
	c := &core{dir: cfg.DataDir, drain: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.release())
		}
	}()
	folding := projection.NewFolding()
	c.log, err = boltlog.Open(cfg.DataDir, &boltlog.Options{
		Logger: p.logger, Restore: folding.Restore,
		Replay: func(r events.Record) error {
			folding.Apply(r)
			return ctx.Err()
		},
	})
	if err != nil {
		return nil, err
	}
	if c.ids, err = identity.Open(filepath.Join(cfg.DataDir, identity.FileName)); err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	if err := p.metrics.register(registry); err != nil {
		return nil, err
	}
	c.engine, err = projection.Open(ctx, c.log, &projection.Options{
		Logger: p.logger, Registerer: registry, State: folding.State, Groups: cfg.groups(), Policy: cfg.Policy,
		ObserveOnly: cfg.Mode == modeObserve, Checkpoints: c.log,
	})
	if err != nil {
		return nil, err
	}
	c.router = router.New(c.engine, &router.Options{Identities: c.ids, Origin: reporter()})
	c.learner = newLearner(c.engine, c.ids, p.logger)
	if err := c.serve(p, registry); err != nil {
		return nil, err
	}
	c.start(p)
	c.listen(p.logger, cfg.Listen)
	return c, nil
}

// serve makes the server that answers the host's management requests, and whoever
// comes to the address that may be listened on.
func (c *core) serve(p *Plugin, registry *prometheus.Registry) error {
	tokens, _, err := api.OpenTokens(c.dir)
	if err != nil {
		return err
	}
	sessions, err := api.OpenSessions(c.dir, tokens)
	if err != nil {
		return err
	}
	c.server, err = api.New(api.Options{Logger: p.logger, Registry: registry, Tokens: tokens, Sessions: sessions, Version: p.version})
	if err != nil {
		return err
	}
	pages, err := ui.New(ui.Options{
		API: c.server.Handler(), Identities: func() *identity.Book { return c.ids }, Logger: p.logger, Version: p.version,
	})
	if err != nil {
		return err
	}
	c.server.Dashboard(pages)
	c.server.Ready(api.Backend{
		Engine: c.engine, Router: c.router, Identities: c.ids,
		Verify: func(ctx context.Context) (events.Head, error) { return c.log.Verify(ctx, nil) },
		Copy:   func(ctx context.Context) (api.Copy, error) { return c.log.Copy(ctx, nil) },
		Bytes:  func() int64 { return c.log.Stats().Bytes },
	})
	return nil
}

// start runs what goes on beside the calls of the host.
func (c *core) start(p *Plugin) {
	learning, stop := context.WithCancel(context.Background())
	reporting, hurry := context.WithCancel(context.Background())
	c.stop, c.hurry = stop, hurry
	c.tasks.Go(func() {
		defer p.recovered("learning accounts")
		c.learner.run(learning)
	})
	for range reporters {
		c.tasks.Go(func() { c.report(reporting, p) })
	}
}

// close makes what is queued durable, as far as that is quick, and closes the log.
func (c *core) close() error {
	c.stop()
	close(c.drain)
	late := time.AfterFunc(graceDrain, c.hurry)
	c.tasks.Wait()
	late.Stop()
	c.hurry()
	return c.release()
}

// release closes what was opened.
func (c *core) release() error {
	errs := []error{c.shut()}
	if c.engine != nil {
		c.engine.Close() // its error was told when it came, or is that of a clean end
	}
	if c.log != nil {
		errs = append(errs, c.log.Close())
	}
	return errors.Join(errs...)
}
