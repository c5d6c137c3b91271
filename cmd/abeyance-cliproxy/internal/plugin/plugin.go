package plugin

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// reopenPause is how long apart a log is tried that could not be opened, or failed.
const reopenPause = time.Second

// Plugin is one plugin of one host. Calls may come from several threads at once.
type Plugin struct {
	host    Host
	version string
	id      string // of this plugin among those of one process
	metrics *metrics
	queue   chan report

	log    *hostLog
	logger *slog.Logger // to log
	losses *losses

	config atomic.Pointer[config] // the last good one; nil: not registered
	core   atomic.Pointer[core]   // nil: no log was opened yet

	// life is held while the plugin is registered or closed, and before mu.
	life   sync.Mutex
	lives  bool               // log has begun
	stop   context.CancelFunc // ends the keeper of the log; nil: there is none
	keeper sync.WaitGroup

	// mu is held while the configuration, or the log, is changed. No pick and no usage
	// record takes it.
	mu   sync.Mutex
	open bool // core is one that was not closed
	// complained is when the host was last told that the log cannot be opened.
	complained time.Time
}

// New returns a plugin that is not registered.
func New(h Host, version string) *Plugin {
	p := &Plugin{host: h, version: version, id: rand.Text(), metrics: newMetrics(), queue: make(chan report, maxQueued), log: newHostLog(h)}
	p.logger = slog.New(p.log)
	p.losses = &losses{logger: p.logger}
	return p
}

// Call answers one call of the host. It never panics. The request is not kept.
func (p *Plugin) Call(method string, request []byte) (answer []byte) {
	defer func() {
		if v := recover(); v != nil {
			p.panicked("a call", v)
			answer = fail(&failure{Code: codeInternal, Message: "abeyance failed on " + method + "; the host's log says why"})
		}
	}()
	switch method {
	case methodPick:
		return p.pick(request)
	case methodUsage:
		return p.usage(request)
	case methodManage:
		return p.manage(request)
	case methodRoutes:
		return ok(routes())
	case methodRegister, methodReconfigure:
		return p.register(request)
	case methodShutdown:
		p.Close()
		return done
	default:
		return fail(&failure{Code: codeUnknownMethod, Message: fmt.Sprintf("there is no method %.64q", method)})
	}
}

// recovered ends a panic of a goroutine, which would end the host.
func (p *Plugin) recovered(what string) {
	if v := recover(); v != nil {
		p.panicked(what, v)
	}
}

func (p *Plugin) panicked(what string, v any) {
	p.logger.Error(what+" panicked", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
}

// register answers register and reconfigure: hosts send either for a plugin that they
// have not seen working.
func (p *Plugin) register(request []byte) []byte {
	var q lifecycle
	if len(request) > 0 {
		if err := json.Unmarshal(request, &q); err != nil {
			return fail(&failure{Code: codeInvalid, Message: "the request cannot be read: " + err.Error()})
		}
	}
	p.life.Lock()
	defer p.life.Unlock()
	if !p.lives {
		p.lives = true
		p.log.begin()
	}
	if err := p.configure(q.ConfigYAML); err != nil {
		return fail(err)
	}
	return ok(p.registration())
}

func (p *Plugin) registration() registration {
	return registration{
		SchemaVersion: schemaVersion,
		Metadata: metadata{
			Name: "abeyance", Version: p.version, Author: "abeyance",
			GitHubRepository: "https://github.com/abeyance/abeyance", ConfigFields: fields(),
		},
		Capabilities: capabilities{Scheduler: true, UsagePlugin: true, ManagementAPI: true},
	}
}

// configure puts a configuration in force. With a bad one the last good one stays, which
// the host's log is told; without a good one before it is an error. The caller holds
// p.life.
func (p *Plugin) configure(doc []byte) *failure {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.config.Load()
	cfg, err := readConfig(doc)
	if err == nil {
		switch {
		case old == nil:
			err = p.begin(cfg)
		case cfg.reopens(old):
			err = p.move(cfg, old)
		case !reflect.DeepEqual(cfg, old):
			err = p.change(cfg, old)
		}
	}
	switch {
	case err == nil:
		return nil
	case old != nil:
		p.logger.Error("the configuration is wrong: the one before it stays in force", "error", err)
		return nil
	}
	p.logger.Error("the configuration is wrong: abeyance does nothing", "error", err)
	return &failure{Code: codeConfig, Message: "plugins.configs.abeyance: " + err.Error()}
}

// Close makes what is queued durable, and closes the log. It does nothing to a plugin
// that is not registered, and one that was closed may be registered again.
func (p *Plugin) Close() {
	defer p.recovered("closing")
	p.life.Lock()
	defer p.life.Unlock()
	if !p.lives {
		return
	}
	if p.stop != nil {
		p.stop()
		p.keeper.Wait() // it may hold p.mu
		p.stop = nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut()
	p.config.Store(nil)
	p.core.Store(nil)
	if n := p.discard(); n > 0 {
		p.logger.Error("usage records were lost", "records", n, "reason", "they could not be written in time at the end")
	}
	p.losses.flush()
	p.log.end()
	p.lives = false
}

// discard empties the queue and returns how many records were lost by that.
func (p *Plugin) discard() (n int) {
	for {
		select {
		case <-p.queue:
			p.metrics.usage(usageLost)
			n++
		default:
			return n
		}
	}
}
