package api

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
)

// outlook is what a route can answer besides what it is there for.
type outlook struct {
	// command: it appends to the log, under an Idempotency-Key if one is sent.
	command bool
	// appends: it may append to the log as a command does, and takes no key.
	appends bool
	// own are the codes of its own. Those that follow from its method, its scope, its
	// parameters and its body are added.
	own []Code
}

// Codes of package projection, by the names of this one.
const (
	codeInvalid          = Code(projection.CodeInvalid)
	codeEmptyFilter      = Code(projection.CodeEmptyFilter)
	codeUnknownAccount   = Code(projection.CodeUnknownAccount)
	codeUnknownTarget    = Code(projection.CodeUnknownTarget)
	codeWrongVerb        = Code(projection.CodeWrongVerb)
	codeAccountRemoved   = Code(projection.CodeAccountRemoved)
	codeProviderMismatch = Code(projection.CodeProviderMismatch)
	codeKeyReused        = Code(projection.CodeKeyReused)
	codeSuspensionLive   = Code(projection.CodeSuspensionLive)
	codePoolFull         = Code(projection.CodePoolFull)
	codeModelCellsFull   = Code(projection.CodeModelCellsFull)
	codeTooLarge         = Code(projection.CodeTooLarge)
	codeInvalidGroups    = Code(projection.CodeInvalidGroups)
	codeInvalidPolicy    = Code(projection.CodeInvalidPolicy)
)

// outlooks is the one table of what routes can refuse: method and pattern → outlook. A
// test fails for a route without a row, and for a code that is in no row and yet
// answered.
func outlooks() map[string]outlook {
	codes := func(list ...Code) []Code { return list }
	past := codes(CodeStopped, CodeCanceled) // what reads the log, and not only the state
	reading := func(list ...Code) outlook { return outlook{own: append(list, past...)} }
	filtered := codes(codeEmptyFilter, codeUnknownAccount, codeUnknownTarget)
	return map[string]outlook{
		"GET /healthz":      {},
		"GET /readyz":       {own: codes(CodeStopped)},
		"GET /metrics":      {},
		"GET /openapi.json": {},

		"POST /v1/pick":     {own: blockedCodes()},
		"POST /v1/reports":  {command: true, own: codes(codeAccountRemoved, codeProviderMismatch, codePoolFull)},
		"POST /v1/classify": {own: codes(codeAccountRemoved, codeProviderMismatch, codePoolFull)},

		"GET /v1/head":          {},
		"GET /v1/summary":       {},
		"GET /v1/groups":        {},
		"GET /v1/policy":        {},
		"GET /v1/accounts":      {own: codes(CodePageToken)},
		"GET /v1/cells":         reading(CodePageToken, CodeAtInFuture, codeUnknownAccount, codeUnknownTarget),
		"GET /v1/why":           reading(CodePageToken, CodeAtInFuture, codeUnknownAccount, codeUnknownTarget),
		"GET /v1/events":        reading(CodePageToken, codeUnknownAccount, codeUnknownTarget),
		"GET /v1/events/{seq}":  reading(CodeUnknownEvent),
		"GET /v1/events/stream": reading(CodeAtInFuture, codeUnknownAccount, codeUnknownTarget),
		"GET /v1/episodes":      reading(CodePageToken, CodeAtInFuture, codeUnknownAccount, codeUnknownTarget),
		"POST /v1/replay":       reading(CodeAtInFuture, codeInvalidGroups, codeInvalidPolicy, codeTooLarge),

		"POST /v1/suspend": {command: true, own: append(codes(codeModelCellsFull), filtered...)},
		"POST /v1/lift":    {command: true, own: append(codes(codeWrongVerb), filtered...)},
		"POST /v1/clear":   {command: true, own: append(codes(codeWrongVerb), filtered...)},
		"POST /v1/recheck": {command: true, own: append(codes(codeWrongVerb), filtered...)},

		"PUT /v1/accounts/{id}":         {command: true, own: codes(codeProviderMismatch, codePoolFull, CodeOwned)},
		"PATCH /v1/accounts/{id}":       {command: true, own: codes(codeUnknownAccount, CodeOwned)},
		"DELETE /v1/accounts/{id}":      {command: true, own: codes(codeUnknownAccount, codeSuspensionLive, CodeOwned)},
		"POST /v1/accounts/{id}/forget": reading(codeUnknownAccount),
		"PUT /v1/groups":                {command: true, own: codes(codeInvalidGroups, codeSuspensionLive, codeTooLarge, CodeOwned)},
		"PUT /v1/policy":                {command: true, own: codes(codeInvalidPolicy, codeTooLarge, CodeOwned)},
		"POST /v1/reload":               {appends: true, own: codes(CodeInvalidConfig, CodeUnavailable, codeSuspensionLive)},
		"POST /v1/import": {command: true, own: codes(CodeInvalidImport, CodeLogNotEmpty, CodeBodyTooLarge, CodeMediaType, CodeTimeout,
			codeInvalidGroups, codePoolFull, codeTooLarge, CodeOwned)},
		"GET /v1/export":           reading(CodeAtInFuture, codeUnknownAccount, codeUnknownTarget),
		"GET /v1/verify":           reading(CodeUnavailable),
		"GET /v1/backup":           reading(CodeUnavailable, CodeDiskFull),
		"GET /v1/tokens":           {},
		"POST /v1/tokens":          {own: codes(CodeTokenExists, CodeUnknownToken)},
		"DELETE /v1/tokens/{name}": {own: codes(CodeUnknownToken, CodeLastAdmin)},

		"GET /v1/session":    {},
		"POST /v1/session":   {own: codes(CodeUnavailable)},
		"DELETE /v1/session": {own: codes(codeInvalid)},

		"GET /v0/management/oauth-quota-groups":                   {},
		"GET /v0/management/auth-files":                           {},
		"GET /v0/management/auth-files/quota-groups":              {},
		"PUT /v0/management/oauth-quota-groups":                   {command: true, own: codes(codeInvalidGroups, codeSuspensionLive, codeTooLarge, CodeOwned)},
		"PATCH /v0/management/auth-files/quota-groups/manual":     {command: true, own: codes(codeUnknownAccount, codeUnknownTarget, CodeWholeAccount)},
		"PATCH /v0/management/auth-files/quota-groups/auto/clear": {command: true, own: codes(codeUnknownAccount, codeUnknownTarget)},
	}
}

// blockedCodes are those of a pick that no account can serve.
func blockedCodes() []Code {
	return []Code{
		Code(router.BlockNoAccounts), Code(router.BlockExcluded), Code(router.BlockDisabled), Code(router.BlockSuspended),
		Code(router.BlockHeld), Code(router.BlockCooling),
	}
}

// refusals returns every code that an operation can answer, sorted: those of its own, and
// those that follow from what it is.
func (o outlook) refusals(op *huma.Operation, scope Scope) []Code {
	list := append([]Code{CodeInternal, CodeMisdirected}, o.own...)
	if op.Path != "/healthz" {
		list = append(list, CodeStarting)
	}
	if scope != scopeOpen {
		list = append(list, CodeUnauthorized, CodeForbiddenScope, CodeWrongTokens)
	}
	if isPaced(op.Method, scope) {
		list = append(list, CodeTooManyChanges)
	}
	if strings.HasPrefix(op.Path, "/v1/") {
		list = append(list, CodeUnknownParameter)
	}
	if len(op.Parameters) > 0 || op.RequestBody != nil {
		list = append(list, codeInvalid)
	}
	if op.Method != http.MethodGet {
		list = append(list, CodeCrossOrigin)
	}
	if op.RequestBody != nil {
		list = append(list, CodeInvalidBody, CodeBodyTooLarge, CodeMediaType, CodeTimeout)
	}
	if o.command {
		list = append(list, codeKeyReused)
	}
	if o.command || o.appends {
		list = append(list, CodeBusy, CodeDiskFull, CodeStopped, CodeUnknownOutcome, CodeCanceled)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// headers describes the header parameters of a route.
func (s *Server) headers(route string) []*huma.Param {
	if !s.spec.outlooks[route].command {
		return nil
	}
	key := &huma.Param{
		Name: "Idempotency-Key", In: "header", Schema: &huma.Schema{Type: huma.TypeString, Format: "id"},
		Description: "the same key with the same request is executed once; with another it is refused. The last 4 096 keys are known",
	}
	if _, path, _ := strings.Cut(route, " "); isCompat(path) {
		return []*huma.Param{key} // what it was made with is known
	}
	return []*huma.Param{key, {
		Name: "X-Abeyance-Via", In: "header", Schema: &huma.Schema{Type: huma.TypeString, MaxLength: new(64)},
		Description: "what the request was made with, for the record: cli or ui; anything else counts as http",
	}}
}

// respond describes every refusal of an operation, by status.
func (s *Server) respond(op *huma.Operation) {
	delete(op.Responses, "default")
	by := map[int][]Code{}
	for _, c := range s.spec.outlooks[op.Method+" "+op.Path].refusals(op, s.scopes[op.Method+" "+op.Path]) {
		by[c.Status()] = append(by[c.Status()], c)
	}
	for status, codes := range by {
		op.Responses[strconv.Itoa(status)] = s.shared(problemsOf(op.Path), status, codes)
	}
}

// problems is the form in which some routes answer them.
type problems struct {
	prefix string // of the names of their descriptions
	form   reflect.Type
	of     func(*Problem) any // in that form
}

func problemsOf(path string) problems {
	if isCompat(path) {
		return problems{"compat.", reflect.TypeFor[CompatProblem](), func(p *Problem) any { return compatProblem(p) }}
	}
	return problems{"", reflect.TypeFor[Problem](), func(p *Problem) any { return p }}
}

// shared returns a reference to the description of some refusals with one status. What
// several operations have in common is described once.
func (s *Server) shared(as problems, status int, codes []Code) *huma.Response {
	components := s.api.OpenAPI().Components
	if components.Responses == nil {
		components.Responses = map[string]*huma.Response{}
	}
	var words []string
	for _, c := range codes {
		words = append(words, string(c))
	}
	name := fmt.Sprintf("%s%d.%s", as.prefix, status, strings.Join(words, "."))
	if components.Responses[name] == nil {
		components.Responses[name] = s.refused(as, status, codes)
	}
	return &huma.Response{Ref: "#/components/responses/" + name}
}

// refused describes refusals with one status.
func (s *Server) refused(as problems, status int, codes []Code) *huma.Response {
	r := &huma.Response{Description: "One of these, told apart by the code:"}
	media := &huma.MediaType{Examples: map[string]*huma.Example{}}
	var blocks, others []any
	for _, c := range codes {
		r.Description += fmt.Sprintf("\n- `%s`: %s", c, c.Text())
		if slices.Contains(blockedCodes(), c) {
			blocks = append(blocks, string(c))
			media.Examples[string(c)] = &huma.Example{Value: exampleBlock(c)}
			continue
		}
		others = append(others, string(c))
		media.Examples[string(c)] = &huma.Example{Value: as.of(newProblem(c, c.Text()))}
	}
	switch {
	case blocks == nil:
		media.Schema = s.coded(as.form, others)
	case others == nil:
		media.Schema = s.coded(reflect.TypeFor[Blocked](), blocks)
	default:
		media.Schema = &huma.Schema{AnyOf: []*huma.Schema{
			s.coded(as.form, others), s.coded(reflect.TypeFor[Blocked](), blocks),
		}}
	}
	r.Content = map[string]*huma.MediaType{problemType: media}
	r.Headers = refusalHeaders(status, codes)
	return r
}

// coded is the schema of a problem with one of some codes.
func (s *Server) coded(t reflect.Type, codes []any) *huma.Schema {
	problem := s.api.OpenAPI().Components.Schemas.Schema(t, true, "")
	return &huma.Schema{AllOf: []*huma.Schema{problem, {
		Properties: map[string]*huma.Schema{"code": {Type: huma.TypeString, Enum: codes}},
	}}}
}

// refusalHeaders describes the headers that go with some refusals.
func refusalHeaders(status int, codes []Code) map[string]*huma.Param {
	headers := map[string]*huma.Param{}
	if status == http.StatusUnauthorized || slices.Contains(codes, CodeForbiddenScope) || slices.Contains(codes, CodeWrongTokens) {
		headers["WWW-Authenticate"] = &huma.Param{
			Schema: &huma.Schema{Type: huma.TypeString}, Description: "Bearer, with what is wrong with the token or which scope it lacks",
		}
	}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		headers["Retry-After"] = &huma.Param{
			Schema:      &huma.Schema{Type: huma.TypeInteger, Minimum: new(1.0)},
			Description: "seconds after which to try again, where that can help: with all_cooling, too_many_wrong_tokens, too_many_changes, starting, busy and disk_full",
		}
	}
	return headers
}

// exampleBlock is a pick that no account can serve for one reason.
func exampleBlock(c Code) *Blocked {
	p := &Blocked{Problem: *newProblem(c, c.Text()), Reasons: []BlockedReason{}}
	one := BlockedReason{Account: "a1", Target: "claude", Status: strings.TrimPrefix(string(c), "all_")}
	switch c {
	case Code(router.BlockExcluded):
		p.Counts.Excluded, one.Target = 1, ""
	case Code(router.BlockDisabled):
		p.Counts.Disabled, one.Target = 1, "*"
	case Code(router.BlockSuspended):
		p.Counts.Suspended = 1
	case Code(router.BlockHeld):
		p.Counts.Held = 1
	case Code(router.BlockCooling):
		p.Counts.Cooling = 1
		one.Until = Time{exampleTime()}
		p.EarliestEnd = one.Until
	default:
		return p // nobody is there to give a reason for
	}
	p.Reasons = append(p.Reasons, one)
	return p
}

// operations lists the operations of a document by path and method.
func operations(doc *huma.OpenAPI) []*huma.Operation {
	var list []*huma.Operation
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		item := doc.Paths[path]
		for _, op := range []*huma.Operation{item.Get, item.Put, item.Post, item.Patch, item.Delete} {
			if op != nil {
				list = append(list, op)
			}
		}
	}
	return list
}
