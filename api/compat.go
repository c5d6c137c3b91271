package api

import (
	"bufio"
	"context"
	"io"
	"iter"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"github.com/abeyance/abeyance/api/cliproxy"
	"github.com/abeyance/abeyance/api/compat"
)

// The routes of CLIProxyAPI's management API that are about quota groups, for the
// dashboards written for it. They take their key as those do, ignore members and
// parameters that they do not know, and say of each problem what is wrong a second time,
// where such dashboards look for it.

// managementKey is the header that may hold the token instead of Authorization.
const managementKey = "X-Management-Key"

// isCompat reports whether a path, or a route's pattern, is one of the compat routes.
func isCompat(path string) bool { return strings.HasPrefix(path, compat.Base+"/") }

// presented returns the token that a request presents, empty if it presents none.
func presented(r *http.Request) string {
	token := bearer(r)
	if token == "" && isCompat(r.URL.Path) {
		token = strings.TrimSpace(r.Header.Get(managementKey))
	}
	return token
}

// CompatProblem is the body of every error answer of the compat routes.
type CompatProblem struct {
	Problem
	Message string `json:"error" doc:"the detail again"`
}

func compatProblem(p *Problem) *CompatProblem { return &CompatProblem{*p, p.Detail} }

// routeCompat registers the compat routes.
func (s *Server) routeCompat(r chi.Router) {
	const groups, files = compat.Base + "/oauth-quota-groups", compat.Base + "/auth-files"
	r.Get(groups, s.compatGroups)
	r.Get(files, s.compatFiles)
	r.Get(files+"/quota-groups", s.compatItems)
	r.Put(groups, s.known(s.compatChange(requestOf(compat.ParsePutGroups))))
	r.Patch(files+"/quota-groups/manual", s.known(s.compatChange(requestOf(compat.ParseManual))))
	r.Patch(files+"/quota-groups/auto/clear", s.known(s.compatChange(requestOf(compat.ParseClear))))

	s.api.OpenAPI().Tags = append(s.api.OpenAPI().Tags, &huma.Tag{Name: "compat", Description: compatTag})
	describe := func(method, path, id, summary string, answer any) *huma.Operation {
		return s.describeCompat(huma.Operation{Method: method, Path: path, OperationID: "compat-" + id, Summary: summary}, reflect.TypeOf(answer))
	}
	describe(http.MethodGet, groups, "groups", "Groups in force, for dashboards of CLIProxyAPI", compat.GroupsAnswer{})
	describe(http.MethodGet, files, "accounts", "The accounts, for dashboards of CLIProxyAPI", compat.FilesAnswer{})
	describe(http.MethodGet, files+"/quota-groups", "items", "Accounts and groups, for dashboards of CLIProxyAPI", compat.ItemsAnswer{})
	describe(http.MethodPut, groups, "put-groups", "Replace the configured groups, for dashboards of CLIProxyAPI", compat.Status{}).
		RequestBody = s.jsonBody(reflect.TypeFor[groupsBody]())
	describe(http.MethodPatch, files+"/quota-groups/manual", "manual", "Suspend by hand, or lift, for dashboards of CLIProxyAPI", compat.Status{}).
		RequestBody = s.jsonBody(reflect.TypeFor[compat.Manual]())
	describe(http.MethodPatch, files+"/quota-groups/auto/clear", "clear", "End cooldowns and holds, for dashboards of CLIProxyAPI", compat.Status{}).
		RequestBody = s.jsonBody(reflect.TypeFor[compat.Clear]())
}

const compatTag = `The part of CLIProxyAPI's management API that is about quota groups, for dashboards written for it. Members and query
parameters that are not described are ignored here, an optional member that is null is as good as left out, and problems have an
error besides, the detail again.`

// schemaName names a type in the document. Names there have no package, and those of the
// compat routes say whose they are.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	switch t.PkgPath() {
	case reflect.TypeFor[compat.Item]().PkgPath(), reflect.TypeFor[cliproxy.Definition]().PkgPath():
		return "Compat" + name
	}
	return name
}

// groupsBody describes what compat.ParsePutGroups reads.
type groupsBody struct{}

// Schema implements huma.SchemaProvider.
func (groupsBody) Schema(r huma.Registry) *huma.Schema {
	list := &huma.Schema{Type: huma.TypeArray, Items: r.Schema(reflect.TypeFor[cliproxy.Definition](), true, "")}
	return &huma.Schema{OneOf: []*huma.Schema{
		list, {Type: huma.TypeObject, Properties: map[string]*huma.Schema{"items": list}, Required: []string{"items"}},
	}}
}

// describeCompat adds an operation to the document.
func (s *Server) describeCompat(op huma.Operation, answer reflect.Type) *huma.Operation {
	op = s.describe(op)
	op.Tags = []string{"compat"}
	op.Responses["200"] = s.jsonResponse("OK", "application/json", answer)
	s.api.OpenAPI().AddOperation(&op)
	return &op
}

func (s *Server) compatGroups(_ http.ResponseWriter, r *http.Request) {
	x, b := exchangeOf(r.Context()), s.backend.Load()
	answer, err := compat.Groups(b.Engine.State().Groups())
	if err != nil {
		x.problem(s.problem(r.Context(), b, err))
		return
	}
	x.json(http.StatusOK, "application/json", answer)
}

func (s *Server) compatFiles(_ http.ResponseWriter, r *http.Request) {
	b := s.backend.Load()
	writeList(exchangeOf(r.Context()), "files", compat.Files(b.Engine.State(), b.Identities, b.Engine.Now()))
}

func (s *Server) compatItems(_ http.ResponseWriter, r *http.Request) {
	x, b := exchangeOf(r.Context()), s.backend.Load()
	items, err := compat.Items(b.Engine.State(), b.Identities, b.Engine.Now())
	if err != nil {
		x.problem(s.problem(r.Context(), b, err))
		return
	}
	writeList(x, "items", items)
}

// writeList answers with an object that has one list. These lists have no pages, so that
// one can be long: it is written item by item.
func writeList[T any](x *exchange, name string, items iter.Seq[T]) {
	x.Header()["Content-Type"] = []string{"application/json"}
	x.WriteHeader(http.StatusOK)
	w := bufio.NewWriterSize(x, 32<<10)
	// Errors are the connection's, stick to the writer, and leave nobody to tell.
	_, _ = io.WriteString(w, `{"`+name+`":[`)
	between := ""
	for item := range items {
		if _, err := io.WriteString(w, between); err != nil {
			return
		}
		between = ","
		_ = encode(w, item)
	}
	_, _ = io.WriteString(w, "]}\n")
	_ = w.Flush()
}

// requestOf lets a parser of one kind of request be used for any.
func requestOf[R compat.Request](parse func([]byte) (R, error)) func([]byte) (compat.Request, error) {
	return func(doc []byte) (compat.Request, error) { return parse(doc) }
}

// compatChange handles a route that changes something.
func (s *Server) compatChange(parse func([]byte) (compat.Request, error)) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		x, b := exchangeOf(r.Context()), s.backend.Load()
		if err := b.compatChange(r.Context(), parse, s.spec.bodies[x.route]); err != nil {
			x.problem(s.problem(r.Context(), b, err))
			return
		}
		x.json(http.StatusOK, "application/json", compat.Done())
	}
}

func (b *Backend) compatChange(ctx context.Context, parse func([]byte) (compat.Request, error), body *shape) error {
	x := exchangeOf(ctx)
	if p := x.read(); p != nil {
		return p
	}
	q, err := parse(x.body)
	if err != nil {
		return newProblem(CodeInvalidBody, "the body is not what this route takes: "+bodyError(err))
	}
	if bad := checkShape(x.body, body); bad != nil {
		return bad.problem()
	}
	if given, _ := q.About(); given != "" {
		b.stored(ctx, given)
	}
	if _, ok := q.(*compat.PutGroups); ok {
		done, err := b.changeSection(SectionGroups, false)
		if err != nil {
			return err
		}
		defer done()
	}
	service := compat.Service{Engine: b.Engine, Identities: b.Identities}
	return service.Do(ctx, x.origin("operator", ""), q)
}
