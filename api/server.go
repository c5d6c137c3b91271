package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
	"github.com/abeyance/abeyance/router"
)

// Options configure a [Server]. Only Tokens is required.
type Options struct {
	// Logger receives faults of the server and, with AccessLog, one line per request.
	// Nil: nothing is logged.
	Logger *slog.Logger
	// AccessLog logs every request: its route, never its URL, and stored account ids.
	AccessLog bool
	// Registry is served at /metrics, and takes the server's own metrics. Nil: a new
	// one.
	Registry *prometheus.Registry
	// Tokens are who may call what.
	Tokens *Tokens
	// Version is shown in /openapi.json.
	Version string
}

// Backend is what the handlers work on.
type Backend struct {
	Engine *projection.Engine
	Router *router.Router
	// Identities maps account ids that hold e-mail addresses. Nil: ids are stored as
	// given. It must be the book of Router.
	Identities *identity.Book
	// Verify reads the whole log and returns the last record that is what was
	// written; an *events.ChainError says what is not, and an error with a method
	// Damaged() string which other file is not. Nil: the server cannot.
	Verify func(context.Context) (events.Head, error)
	// Copy makes a verified copy of the log as it is now. Nil: the server cannot.
	Copy func(context.Context) (Copy, error)
	// Bytes returns the size of the log. Nil: not known.
	Bytes func() int64
}

// Server answers HTTP requests. Until [Server.Ready] every route but /healthz
// answers 503 with the code starting.
type Server struct {
	tokens  *Tokens
	logger  *slog.Logger
	access  bool
	scopes  map[string]Scope
	origins *http.CrossOriginProtection
	backend atomic.Pointer[Backend] // nil: starting
	router  *chi.Mux
	api     huma.API
	spec    specification
	metrics *metrics
	// replaying holds a token while a replay runs
	replaying chan struct{}
	feeds     feeds

	registry *prometheus.Registry

	draining context.Context // ends with Drain
	drain    context.CancelFunc
}

// New returns a server that is starting. Errors are about options.
func New(o Options) (*Server, error) {
	if o.Tokens == nil {
		return nil, errors.New("a server needs tokens")
	}
	s := &Server{
		tokens: o.Tokens, logger: o.Logger, access: o.AccessLog,
		scopes: routeScopes(), origins: http.NewCrossOriginProtection(), registry: o.Registry,
		replaying: make(chan struct{}, 1),
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.registry == nil {
		s.registry = prometheus.NewRegistry()
	}
	s.draining, s.drain = context.WithCancel(context.Background())
	var err error
	if s.metrics, err = newMetrics(s.registry); err != nil {
		return nil, fmt.Errorf("registering the server's metrics: %w", err)
	}
	if err = s.route(o.Version); err != nil {
		return nil, fmt.Errorf("describing the routes: %w", err)
	}
	return s, nil
}

// Ready gives the server what it works on.
func (s *Server) Ready(b Backend) { s.backend.Store(&b) }

// Drain ends the streams, which would go on for ever, and lets none begin. A server of
// [NewHTTPServer] does it when it is shut down.
func (s *Server) Drain() { s.drain() }

// Handler returns the whole surface.
func (s *Server) Handler() http.Handler { return s }
