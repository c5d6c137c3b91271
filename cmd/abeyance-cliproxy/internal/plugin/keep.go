package plugin

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection"
)

// How the log is opened, moved and kept open. The caller of every method but keep
// and mend holds p.mu.

// begin opens the log for the first time. While another process has it, or a version of
// this plugin that the host has not ended yet, it is tried again in the background.
func (p *Plugin) begin(cfg *config) error {
	c, err := openCore(context.Background(), p, cfg)
	if _, locked := errors.AsType[*boltlog.LockedError](err); err != nil && !locked {
		return err
	}
	p.config.Store(cfg)
	if err != nil {
		p.logger.Warn("the log is in use: every pick is left to the host until it can be opened", "error", err)
		p.askFor(cfg.DataDir)
	} else {
		p.install(c)
	}
	if p.stop != nil { // of a keeper that handed the log over
		p.stop()
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	p.keeper.Go(func() {
		defer p.recovered("keeping the log open")
		p.keep(ctx)
	})
	return nil
}

// install puts an open log in force.
func (p *Plugin) install(c *core) {
	p.take(c.dir)
	p.core.Store(c)
	p.open = true
	head := c.engine.State().Head()
	p.logger.Info("the log is open", "log", head.Log, "seq", uint64(head.Seq), "accounts", c.engine.State().Len(), "mode", p.config.Load().Mode)
}

// shut closes the log, if it is open. Picks go on with what was known.
func (p *Plugin) shut() {
	if !p.open {
		return
	}
	p.open = false
	if err := p.core.Load().close(); err != nil {
		p.logger.Error("the log was not closed cleanly", "error", err)
	}
}

// move opens the log anew: in another directory, which must go well before the old one
// is left, or in another mode.
func (p *Plugin) move(cfg, old *config) error {
	if cfg.DataDir == old.DataDir {
		p.shut() // it is locked while it is open
	}
	c, err := openCore(context.Background(), p, cfg)
	if _, locked := errors.AsType[*boltlog.LockedError](err); locked && !p.open {
		p.config.Store(cfg) // which the keeper goes by
		return nil
	}
	if err != nil {
		return err
	}
	p.shut()
	p.config.Store(cfg)
	p.install(c)
	return nil
}

// change puts in force what can be changed as it stands.
func (p *Plugin) change(cfg, old *config) error {
	if p.open {
		c := p.core.Load()
		for _, do := range cfg.definitions(old) {
			command := projection.Command{Origin: events.Origin{Actor: "system:config", Via: events.ViaGo}, Do: do}
			if _, err := c.engine.Execute(context.Background(), command); err != nil {
				return err
			}
		}
		c.listen(p.logger, cfg.Listen)
	}
	p.config.Store(cfg)
	p.logger.Info("the configuration was changed")
	return nil
}

// keep opens the log when it is not open, and closes it when it has failed, until the
// context ends.
func (p *Plugin) keep(ctx context.Context) {
	for {
		p.mu.Lock()
		var failed <-chan struct{}
		if p.open {
			failed = p.core.Load().engine.Done()
		}
		p.mu.Unlock()
		select {
		case <-failed:
		case <-time.After(reopenPause):
		case <-ctx.Done():
			return
		}
		if p.mend(ctx); p.config.Load() == nil {
			return // it was handed over
		}
	}
}

// mend closes a log that failed and opens one that is closed. Of one that is open it
// takes care.
func (p *Plugin) mend(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if ctx.Err() != nil || p.config.Load() == nil {
		return
	}
	if p.open {
		engine := p.core.Load().engine
		select {
		case <-engine.Done():
			p.logger.Error("the log failed and is opened anew; picks go on with what was known", "error", cmp.Or(engine.Err(), projection.ErrStopped))
			p.shut()
		default:
			p.attend(p.core.Load())
			return
		}
	}
	c, err := openCore(ctx, p, p.config.Load())
	if err != nil {
		if _, locked := errors.AsType[*boltlog.LockedError](err); !locked && time.Since(p.complained) > lossPause {
			p.complained = time.Now()
			p.logger.Error("the log cannot be opened; it is tried again", "error", err)
		}
		return
	}
	p.install(c)
}

// attend gives an open log up if it is asked for; else it listens for it, where that
// could not be done yet: whoever had the address may have left it.
func (p *Plugin) attend(c *core) {
	if p.isAskedFor(c.dir) {
		p.handOver()
		return
	}
	c.listen(p.logger, p.config.Load().Listen)
}
