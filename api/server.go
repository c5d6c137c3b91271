package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
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
	// Sessions are the logins of browsers. Nil: there are none.
	Sessions *Sessions
	// Version is shown in /openapi.json.
	Version string
	// AllowedHosts are the names, beside localhost, 127.0.0.1 and [::1], that requests
	// may be addressed to; see [CheckHost].
	AllowedHosts []string
	// TrustedProxies are the networks whose X-Forwarded-For is believed. None: that
	// header says nothing.
	TrustedProxies []netip.Prefix
	// MaxConnectionsPerPeer bounds the connections of one address (of IPv6: one /64)
	// beyond this machine that is no trusted proxy. 0: there is no bound.
	MaxConnectionsPerPeer int
	// MaxChangesPerSecond bounds the commands of one token, of which ten seconds' worth
	// may come at once; reports and picks are not counted. 0: there is no bound.
	MaxChangesPerSecond int
}

// Backend is what the handlers work on.
type Backend struct {
	Engine *projection.Engine
	Router *router.Router
	// Identities maps account ids that hold e-mail addresses. Nil: ids are stored as
	// given. It must be the book of Router.
	Identities *identity.Book
	// Owners says which sections of the configuration a file owns, so that requests may
	// not change them. Nil: none.
	Owners *Owners
	// Reload puts the configuration file in force; its errors are a *ConfigError, or those
	// of [projection.Engine.Execute]. Nil: the server cannot.
	Reload func(context.Context, ReloadCommand) (Reloaded, error)
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
	tokens      *Tokens
	sessions    *Sessions                    // nil: none
	pages       atomic.Pointer[http.Handler] // the dashboard; nil: none
	logger      *slog.Logger
	access      atomic.Bool
	scopes      map[string]Scope
	hosts       hosts
	origins     *http.CrossOriginProtection
	peers       peers
	guesses     *guesses
	changes     pace // of each token
	connections *connections
	backend     atomic.Pointer[Backend] // nil: starting
	router      *chi.Mux
	api         huma.API
	spec        specification
	metrics     *metrics
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
		tokens: o.Tokens, sessions: o.Sessions, logger: o.Logger,
		scopes: routeScopes(), origins: http.NewCrossOriginProtection(), registry: o.Registry,
		replaying: make(chan struct{}, 1), peers: peers{o.TrustedProxies}, guesses: newGuesses(), changes: changePace(o.MaxChangesPerSecond),
	}
	var err error
	if s.hosts, err = newHosts(o.AllowedHosts); err != nil {
		return nil, err
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.registry == nil {
		s.registry = prometheus.NewRegistry()
	}
	s.access.Store(o.AccessLog)
	s.draining, s.drain = context.WithCancel(context.Background())
	if s.metrics, err = newMetrics(s.registry, s.backend.Load); err != nil {
		return nil, fmt.Errorf("registering the server's metrics: %w", err)
	}
	s.connections = &connections{
		limit: o.MaxConnectionsPerPeer, trusted: s.peers, logger: s.logger, refused: s.metrics.refused, open: map[netip.Addr]int{},
	}
	if err = s.route(o.Version); err != nil {
		return nil, fmt.Errorf("describing the routes: %w", err)
	}
	return s, nil
}

// Ready gives the server what it works on.
func (s *Server) Ready(b Backend) { s.backend.Store(&b) }

// SetAccessLog turns on or off that every request is logged.
func (s *Server) SetAccessLog(on bool) { s.access.Store(on) }

// Drain ends the streams, which would go on for ever, and lets none begin. A server of
// [NewHTTPServer] does it when it is shut down.
func (s *Server) Drain() { s.drain() }

// Handler returns the whole surface.
func (s *Server) Handler() http.Handler { return s }
