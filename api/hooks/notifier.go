package hooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
)

// Options configure a [Notifier]. Engine and Path are required.
type Options struct {
	Engine *projection.Engine
	// Path is of the file of cursors: FileName in the data directory.
	Path string
	// Identities shows ids as given, to hooks that ask for it. Nil: all ids are as given.
	Identities *identity.Book
	// Logger hears of receivers that do not answer. Nil: nothing is logged.
	Logger *slog.Logger
	// Registerer receives the metrics. Nil: none are kept.
	Registerer prometheus.Registerer
	// Transport carries the messages. Nil: connections as each hook asks for.
	Transport http.RoundTripper
}

// parts are what workers share.
type parts struct {
	engine    *projection.Engine
	ids       *identity.Book
	cursors   *cursors
	logger    *slog.Logger
	metrics   *metrics
	transport http.RoundTripper // nil: each its own
}

func (p *parts) writer(h *Hook) *writer {
	return &writer{hook: h, log: p.cursors.log, ids: p.ids, observes: p.engine.View().ObserveOnly}
}

// Notifier tells hooks of what happens in an engine.
type Notifier struct {
	parts      parts
	registerer prometheus.Registerer

	changing sync.Mutex // held by Set and Close
	closed   bool       // guarded by changing

	mu      sync.Mutex // guards the field below
	running map[string]*running
}

// running is a hook with its worker.
type running struct {
	*worker
	stop  context.CancelFunc
	ended chan struct{}
}

// Open reads the cursors. No hook is told of anything before [Notifier.Set].
func Open(o Options) (*Notifier, error) {
	n := &Notifier{registerer: o.Registerer, running: map[string]*running{}}
	n.parts = parts{engine: o.Engine, ids: o.Identities, logger: o.Logger, transport: o.Transport}
	if n.parts.logger == nil {
		n.parts.logger = slog.New(slog.DiscardHandler)
	}
	n.parts.metrics = newMetrics(n)
	var err error
	if n.parts.cursors, err = openCursors(o.Path, o.Engine.State().Head().Log, n.parts.logger); err != nil {
		return nil, err
	}
	if o.Registerer != nil {
		if err := o.Registerer.Register(n.parts.metrics); err != nil {
			return nil, fmt.Errorf("registering the metrics of the webhooks: %w", err)
		}
	}
	return n, nil
}

// Set replaces the hooks. One that is as before goes on, unless its receiver answered
// that it is gone: then it is tried again. One that changed goes on where it was, as it
// is now. One that is no more is forgotten, with its cursor: if it comes back, it begins
// at the head. Hooks that no configuration may have are an error, and nothing changes; so
// is a cursor that cannot be read or written, and the other hooks are served.
func (n *Notifier) Set(hooks []Hook) error {
	if err := check(hooks); err != nil {
		return err
	}
	n.changing.Lock()
	defer n.changing.Unlock()
	if n.closed {
		return errors.New("the notifier is closed")
	}
	names := map[string]bool{}
	for i := range hooks {
		names[hooks[i].Name] = true
	}
	var over []*running
	for _, w := range n.list() {
		i := slices.IndexFunc(hooks, func(h Hook) bool { return h.Name == w.hook.Name })
		if i < 0 || !w.hook.equal(&hooks[i]) || w.gone.Load() {
			w.stop() // all before one is waited for
			over = append(over, w)
		}
	}
	for _, w := range over {
		n.end(w)
		if !names[w.hook.Name] {
			n.parts.metrics.end(w.hook.Name)
		}
	}
	errs := []error{n.parts.cursors.keep(names)}
	for _, h := range hooks {
		if !n.has(h.Name) {
			errs = append(errs, n.start(h))
		}
	}
	return errors.Join(errs...)
}

// check refuses hooks that the configuration would not let pass.
func check(hooks []Hook) error {
	if len(hooks) > MaxHooks {
		return fmt.Errorf("%d webhooks, and at most %d are served", len(hooks), MaxHooks)
	}
	names := map[string]bool{}
	for i := range hooks {
		h := &hooks[i]
		err := errors.Join(CheckName(h.Name), CheckURL(h.URL, h.Insecure), CheckKinds(h.Filter.On))
		switch {
		case err != nil:
		case names[h.Name]:
			err = errors.New("the name is given twice")
		case len(h.Secret.keys) == 0:
			err = errors.New("there is no secret")
		}
		if err != nil {
			return fmt.Errorf("webhook %q: %w", h.Name, err)
		}
		names[h.Name] = true
	}
	return nil
}

func (n *Notifier) start(h Hook) error {
	h.Filter.On = slices.Clone(h.Filter.On)
	w, err := newWorker(context.Background(), h, &n.parts)
	if err != nil {
		return fmt.Errorf("webhook %q: %w", h.Name, err)
	}
	n.parts.metrics.begin(h.Name)
	ctx, stop := context.WithCancel(context.Background())
	r := &running{w, stop, make(chan struct{})}
	n.mu.Lock()
	n.running[h.Name] = r
	n.mu.Unlock()
	go func() {
		defer close(r.ended)
		w.run(ctx)
	}()
	return nil
}

func (n *Notifier) end(r *running) {
	r.stop()
	<-r.ended
	n.mu.Lock()
	delete(n.running, r.hook.Name)
	n.mu.Unlock()
}

func (n *Notifier) has(name string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.running[name] != nil
}

// list returns the hooks by name.
func (n *Notifier) list() []*running {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []*running
	for _, r := range n.running {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *running) int { return strings.Compare(a.hook.Name, b.hook.Name) })
	return all
}

// Close ends the hooks, which takes no longer than a few seconds, and saves where they
// are. Closing again does nothing.
func (n *Notifier) Close() {
	n.changing.Lock()
	defer n.changing.Unlock()
	if n.closed {
		return
	}
	n.closed = true
	all := n.list()
	for _, r := range all {
		r.stop()
	}
	for _, r := range all {
		n.end(r)
	}
	if n.registerer != nil {
		n.registerer.Unregister(n.parts.metrics)
	}
}

// Test sends one message that tells nothing, and returns what was answered.
func Test(ctx context.Context, h Hook, now time.Time) (text string, ok bool, err error) {
	if err := check([]Hook{h}); err != nil {
		return "", false, err
	}
	id, body, err := testMessage(&h, now)
	if err != nil {
		return "", false, err
	}
	s := newSender(&h, nil)
	defer s.close()
	a := s.send(ctx, id, body)
	return a.text, a.outcome == outcomeDelivered, nil
}
