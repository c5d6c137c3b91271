package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/abeyance/abeyance/projection"
)

// route registers every route, and completes the document that describes them. All of
// them stand behind the guard.
func (s *Server) route(version string) error {
	s.spec.outlooks = outlooks()
	s.router = chi.NewRouter()
	s.router.NotFound(s.notFound)
	s.router.MethodNotAllowed(s.methodNotAllowed)
	guarded := s.router.With(s.guard)
	s.api = humachi.New(guarded.With(s.buffer), apiConfig(version))
	s.api.UseMiddleware(s.knownParameters)

	s.routeServing(guarded)
	s.routeProxies(guarded)
	s.routeCells()
	s.routeActions()
	s.routeAccounts()
	s.routeForget()
	s.routeDefinitions()
	s.routeReload()
	s.routeEvents()
	s.routeEpisodes()
	s.routeStream(guarded)
	s.routeTokens()
	s.routeSession()
	s.routeBackup(guarded)
	s.routeExport(guarded)
	s.routeImport(guarded)
	s.routeCompat(guarded)
	return s.document()
}

// apiConfig configures huma for this API alone: strict JSON, our problems, and none
// of the pages that huma would serve by itself.
func apiConfig(version string) huma.Config {
	c := huma.DefaultConfig("Abeyance", version)
	c.OpenAPIPath, c.DocsPath, c.SchemasPath, c.CreateHooks = "", "", "", nil
	// huma looks a type with a suffix, as application/problem+json, up by its suffix.
	format := huma.Format{Marshal: encode, Unmarshal: json.Unmarshal}
	c.Formats = map[string]huma.Format{"application/json": format, "json": format}
	c.Transformers = []huma.Transformer{transform}
	c.Info.Description = description
	c.Components.SecuritySchemes = securitySchemes()
	c.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	// A class is the word none or its rules, a bound one duration or one per window.
	c.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[projection.ClassConfig](), reflect.TypeFor[ruleSchema]())
	c.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[projection.Duration](), reflect.TypeFor[durationSchema]())
	return c
}

// securitySchemes are what may be presented, each by its name in the document.
func securitySchemes() map[string]*huma.SecurityScheme {
	return map[string]*huma.SecurityScheme{
		"bearer": {Type: "http", Scheme: "bearer", Description: "a token, as abeyance token create and POST /v1/tokens make them"},
		"session": {
			Type: "apiKey", In: "cookie", Name: sessionCookie + "ID",
			Description: "a browser's login, which stands for the token it began with: what POST /v1/session sets. In place of ID the name of the cookie has " +
				"8 hex digits of the server's own, and over TLS " + hostCookie + " before it. A token that is presented besides goes before it",
		},
		"management_key": {
			Type: "apiKey", In: "header", Name: managementKey,
			Description: "a token, as dashboards of CLIProxyAPI send it; one in Authorization goes before it",
		},
	}
}

const description = `Which account of a pool may serve which model, why not, and since when.

Bodies are one JSON value with the members that the route takes, each once, in at most 1 MiB. Times are RFC 3339 in UTC with
milliseconds, null where there is none; what ends in _seconds is in seconds. Every list is a page of at most page_size rows.
Errors are application/problem+json (RFC 9457) with a code that programs can go by; docs/problems.md lists them. Where a path is
none of those below the code is not_found, and where it does not take the method, method_not_allowed. Each operation needs a
token of the scope that x-abeyance-scope names, or a session that stands for one; operate implies read, and admin all.
What differs for the dashboards of CLIProxyAPI says the tag compat.`

// answer is the output of a route.
type answer[T any] struct{ Body T }

// handle registers a management route on huma. The handler's errors become
// problems.
func handle[I, O any](s *Server, op huma.Operation, h func(context.Context, *Backend, *I) (O, error)) {
	huma.Register(s.api, s.describe(op), func(ctx context.Context, in *I) (*answer[O], error) {
		b := s.backend.Load() // there is one: before it no request comes this far
		out, err := h(ctx, b, in)
		if err != nil {
			return nil, s.problem(ctx, b, err)
		}
		return &answer[O]{out}, nil
	})
}

// handleBody registers a management route that takes a body besides its
// parameters. The body is decoded here: huma knows only its description.
func handleBody[I, B, O any](s *Server, op huma.Operation, h func(context.Context, *Backend, *I, *B) (O, error)) {
	op.RequestBody = s.jsonBody(reflect.TypeFor[B]())
	handle(s, op, func(ctx context.Context, b *Backend, in *I) (O, error) {
		body, x := new(B), exchangeOf(ctx)
		if p := decode(x.body, body, s.spec.bodies[x.route]); p != nil {
			return *new(O), p
		}
		return h(ctx, b, in, body)
	})
}

// none is the parameters of a route that has none.
type none = struct{}

func (s *Server) jsonBody(t reflect.Type) *huma.RequestBody {
	schema := s.api.OpenAPI().Components.Schemas.Schema(t, true, "")
	return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}}
}

// describe adds what every operation's description shares; document adds the rest.
func (s *Server) describe(op huma.Operation) huma.Operation {
	op.SkipValidateBody = true   // handleBody decodes strictly, and commands check their values
	op.SkipValidateParams = true // knownParameters does, for all routes alike
	op.MaxBodyBytes = -1         // buffer has bounded the body
	scope := s.scopes[op.Method+" "+op.Path]
	op.Extensions = map[string]any{"x-abeyance-scope": scope}
	if scope != scopeOpen {
		op.Security = securityOf(op.Method+" "+op.Path, scope)
	}
	op.Parameters = append(op.Parameters, s.headers(op.Method+" "+op.Path)...)
	op.Responses = map[string]*huma.Response{"default": {}} // else huma describes its own errors
	return op
}

// securityOf says what may be presented to a route that needs a scope: one of these.
func securityOf(route string, scope Scope) []map[string][]string {
	schemes := []string{"bearer"}
	if route != "POST /v1/session" { // a session begins no other
		schemes = append(schemes, "session")
	}
	if _, path, _ := strings.Cut(route, " "); isCompat(path) {
		schemes = append(schemes, "management_key")
	}
	var list []map[string][]string
	for _, scheme := range schemes {
		list = append(list, map[string][]string{scheme: {string(scope)}})
	}
	return list
}

// jsonResponse describes an answer of a type.
func (s *Server) jsonResponse(text, media string, t reflect.Type) *huma.Response {
	schema := s.api.OpenAPI().Components.Schemas.Schema(t, true, "")
	return &huma.Response{Description: text, Content: map[string]*huma.MediaType{media: {Schema: schema}}}
}

// documented adds an operation that chi serves without huma.
func (s *Server) documented(op huma.Operation, in, out reflect.Type) {
	op = s.describe(op)
	op.Responses["200"] = s.jsonResponse("OK", "application/json", out)
	if in != nil {
		op.RequestBody = s.jsonBody(in)
	}
	s.api.OpenAPI().AddOperation(&op)
}

// documentedText adds an operation whose answer has a format of its own.
func (s *Server) documentedText(op huma.Operation, media string, schema *huma.Schema) {
	op = s.describe(op)
	op.Responses["200"] = &huma.Response{Description: "OK", Content: map[string]*huma.MediaType{media: {Schema: schema}}}
	s.api.OpenAPI().AddOperation(&op)
}

// routeServing registers what is about the server itself.
func (s *Server) routeServing(r chi.Router) {
	r.Get("/healthz", func(w http.ResponseWriter, r *http.Request) {
		exchangeOf(r.Context()).json(http.StatusOK, "application/json", Health{"ok"})
	})
	r.Get("/readyz", s.readyz)
	r.Method(http.MethodGet, "/metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	r.Get("/openapi.json", func(w http.ResponseWriter, r *http.Request) {
		doc, err := s.spec.text()
		if err != nil { // unreachable: a test reads the document
			exchangeOf(r.Context()).problem(s.problem(r.Context(), s.backend.Load(), err))
			return
		}
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(doc)
	})
	s.documented(huma.Operation{OperationID: "health", Method: http.MethodGet, Path: "/healthz", Summary: "The process lives"},
		nil, reflect.TypeFor[Health]())
	s.documented(huma.Operation{OperationID: "ready", Method: http.MethodGet, Path: "/readyz", Summary: "The log is read and commands are taken"},
		nil, reflect.TypeFor[Health]())
	s.documentedText(huma.Operation{OperationID: "metrics", Method: http.MethodGet, Path: "/metrics", Summary: "Figures for Prometheus"},
		"text/plain", &huma.Schema{Type: huma.TypeString})
	s.documentedText(huma.Operation{OperationID: "openapi", Method: http.MethodGet, Path: "/openapi.json", Summary: "This document"},
		"application/openapi+json", &huma.Schema{Type: huma.TypeObject})
}

// Health is the answer of /healthz and /readyz.
type Health struct {
	Status string `json:"status" enum:"ok,ready"`
}

// readyz answers 200 while commands are taken. Before that ServeHTTP answers.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	x := exchangeOf(r.Context())
	select {
	case <-s.backend.Load().Engine.Done():
		x.problem(newProblem(CodeStopped, "the engine has stopped"))
	default:
		x.json(http.StatusOK, "application/json", Health{"ready"})
	}
}
