package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// exchange is one request under way: what the layers and the handlers tell each
// other. It is the ResponseWriter of the inner layers.
type exchange struct {
	http.ResponseWriter
	began   time.Time
	request *http.Request
	status  int      // of the answer; 0: not begun
	bytes   int64    // of the answer
	route   string   // "METHOD pattern"; empty: none matched
	token   *token   // who asks; nil: nobody
	session *session // the login that stands for the token; nil: none does
	account string   // the stored id that the request is about
	given   string   // the same id as the request gave it
	body    []byte   // of the request, once it is read
	arrives arriving // the same while it is read

	streamed bool // the answer went on for as long as the client wanted
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// WriteHeader implements http.ResponseWriter.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
		x.leaveBody()
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter. The server's write deadline counts from the
// request; an answer that took long to compute gets its time anew.
func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	if time.Since(x.began) > time.Second {
		// A writer without deadlines, as in tests, has nothing to extend.
		_ = http.NewResponseController(x.ResponseWriter).SetWriteDeadline(time.Now().Add(writeTimeout))
	}
	n, err := x.ResponseWriter.Write(p)
	x.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{ResponseWriter: w, began: time.Now()}
	r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
	if r.Body != nil { // of a request made within the program it may be
		x.arrives.ReadCloser, r.Body = r.Body, &x.arrives
	}
	x.request = r
	protect(w.Header())
	defer s.finish(x)
	page := s.page(r)
	switch err := s.origins.Check(r); {
	case callerOf(r.Context()) == nil && !s.hosts.allow(r): // whoever made the request was found out elsewhere
		x.problem(misdirected(r.Host))
	case err == nil && page != nil:
		x.route = pageRoute(r.Method)
		page.ServeHTTP(x, r)
	case s.backend.Load() == nil && r.URL.Path != "/healthz":
		x.problem(starting())
	case err != nil:
		x.problem(newProblem(CodeCrossOrigin, "a browser sent this from another site"))
	default:
		s.router.ServeHTTP(x, r)
	}
}

// protect sets the headers that keep answers out of browsers' hands. There are no
// CORS headers: no page of another origin may read anything.
func protect(h http.Header) {
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["Cache-Control"] = []string{"no-store"}
	h["Content-Security-Policy"] = []string{"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}
	h["Cross-Origin-Opener-Policy"] = []string{"same-origin"}
	h["Cross-Origin-Resource-Policy"] = []string{"same-origin"}
	h["Referrer-Policy"] = []string{"no-referrer"}
}

func starting() *Problem {
	p := newProblem(CodeStarting, "the log is being read; try again in a second")
	p.retryAfter = 1
	return p
}

// finish ends a request: it turns a panic into an answer, counts and logs.
func (s *Server) finish(x *exchange) {
	if v := recover(); v != nil {
		if v == http.ErrAbortHandler {
			panic(v)
		}
		s.logger.Error("a handler panicked", "route", x.route, "panic", v, "stack", string(debug.Stack()))
		if x.status != 0 {
			panic(http.ErrAbortHandler) // half an answer must not look like a whole one
		}
		x.problem(newProblem(CodeInternal, "the server failed; its log says why"))
	}
	took := time.Since(x.began)
	s.metrics.count(x, took)
	if s.access.Load() {
		attrs := x.attrs(took)
		if client := s.peers.of(x.request); client != socketPeer(x.request.RemoteAddr) { // a trusted proxy named it
			attrs = append(attrs, slog.String("client", client.String()))
		}
		s.logger.LogAttrs(x.request.Context(), slog.LevelInfo, "request", attrs...)
	}
}

// attrs describes the request without its URL, which may hold an e-mail address.
func (x *exchange) attrs(took time.Duration) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("route", x.route), slog.Int("status", x.status), slog.Int64("bytes", x.bytes),
		slog.Duration("took", took), slog.String("peer", x.request.RemoteAddr),
	}
	if x.token != nil {
		attrs = append(attrs, slog.String("token", x.token.Name))
	}
	if x.account != "" && projection.CheckID("the account", x.account) == nil { // else it may be anything
		attrs = append(attrs, slog.String("account", x.account))
	}
	return attrs
}

// problem answers with a problem.
func (x *exchange) problem(p *Problem) {
	p.headers(x.Header())
	x.json(p.Status, problemType, problemsOf(x.request.URL.Path).of(p))
}

// json answers with a value.
func (x *exchange) json(status int, contentType string, v any) {
	x.Header()["Content-Type"] = []string{contentType}
	x.WriteHeader(status)
	// An error is the connection's: nobody is left to tell.
	_ = encode(x, v)
}

// origin is where a command of this request comes from.
func (x *exchange) origin(role, onBehalfOf string) events.Origin {
	o := events.Origin{Actor: role + ":" + x.token.Name, OnBehalfOf: onBehalfOf, Via: events.ViaHTTP}
	switch via := events.Via(strings.ToLower(x.request.Header.Get("X-Abeyance-Via"))); via {
	case events.ViaCLI, events.ViaUI:
		o.Via = via
	}
	if x.session != nil { // whatever it says: it is a browser
		o.Via, o.OnBehalfOf = events.ViaUI, cmp.Or(onBehalfOf, x.session.Person)
	}
	if key := x.request.Header.Get("Idempotency-Key"); key != "" {
		o.IdempotencyKey = key
		h := sha256.New()
		_, _ = io.WriteString(h, x.request.Method+" "+x.request.URL.RequestURI()+"\n")
		_, _ = h.Write(x.body)
		h.Sum(o.RequestHash[:0])
	}
	return o
}
