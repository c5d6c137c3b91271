package api

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"github.com/abeyance/abeyance/api/cliproxy"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/ndjson"
	"github.com/abeyance/abeyance/projection"
)

// MaxImportBody bounds the file that one request imports, in bytes.
const MaxImportBody = 64 << 20

// importTimeout bounds how long such a file may take to arrive.
const importTimeout = 2 * time.Minute

// ImportAnswer says what became of each entry of an imported file.
type ImportAnswer struct {
	AsOfSeq uint64 `json:"as_of_seq" doc:"the head that the outcome is visible in"`
	// Seq and LastSeq are the first and last record appended; nil if nothing was.
	Seq           *uint64 `json:"seq"`
	LastSeq       *uint64 `json:"last_seq"`
	CorrelationID string  `json:"correlation_id,omitempty" doc:"of the records appended"`
	Repeated      bool    `json:"repeated,omitempty" doc:"it was done before, under the same idempotency key; the entries are not listed again"`
	DryRun        bool    `json:"dry_run"`
	Source        string  `json:"source" enum:"cliproxyapi-config,cds"`

	Counts ImportCounts `json:"counts" doc:"of all entries, listed or not"`
	// Each list has at most 1 000 entries.
	Imported  []ImportRow  `json:"imported" nullable:"false" doc:"what was appended"`
	Expired   []ImportRow  `json:"expired" nullable:"false" doc:"what is over, and was not"`
	Unchanged []ImportRow  `json:"unchanged" nullable:"false" doc:"what is so already"`
	Skipped   []ImportRow  `json:"skipped" nullable:"false" doc:"what cannot be imported, with why"`
	Groups    ImportGroups `json:"groups"`
}

// ImportCounts counts entries by what became of them.
type ImportCounts struct {
	Imported      int `json:"imported"`
	Expired       int `json:"expired"`
	Unchanged     int `json:"unchanged"`
	Skipped       int `json:"skipped"`
	AccountsAdded int `json:"accounts_added"`
}

// ImportRow is what became of one entry.
type ImportRow struct {
	Entry     string `json:"entry" doc:"its place in the file"`
	Account   string `json:"account" doc:"as the file names it"`
	Target    string `json:"target"`
	CoolUntil Time   `json:"cool_until" doc:"of the cooldown: as it is in force now, or as the file has it; null: none"`
	Suspended bool   `json:"suspended" doc:"by hand, without an end"`
	Reason    string `json:"reason,omitempty" doc:"of the suspension, as the file has it"`
	Added     bool   `json:"added,omitempty" doc:"the account was not known, and is now, as observed"`
	Why       string `json:"why,omitempty" doc:"why nothing of it was imported, or not all of it"`
}

// ImportGroups is what a file says of the groups.
type ImportGroups struct {
	Found    []projection.GroupConfig `json:"found" nullable:"false" doc:"the definitions in the file"`
	InForce  bool                     `json:"in_force" doc:"putting them in force would change nothing, or was done"`
	Imported bool                     `json:"imported" doc:"they were put in force by this request"`
	Version  uint64                   `json:"version" doc:"of the groups in force"`
	Problem  string                   `json:"problem,omitempty" doc:"why they would be refused"`
}

// maxImportRows bounds each list of an answer.
const maxImportRows = 1000

// importParams describes the query of POST /v1/import.
func importParams() []*huma.Param {
	flag := func(name, doc string) *huma.Param {
		return &huma.Param{Name: name, In: "query", Description: doc, Schema: &huma.Schema{Type: huma.TypeBoolean}}
	}
	return []*huma.Param{
		flag("dry_run", "say what would happen, and do nothing"),
		flag("groups", "put the definitions of the file in force first, over those configured with the same ids"),
		{Name: "on_behalf_of", In: "query", Schema: &huma.Schema{Type: huma.TypeString}},
	}
}

// routeImport registers the import, whose body is a file of any format.
func (s *Server) routeImport(r chi.Router) {
	r.Post("/v1/import", s.known(s.importFile))
	op := s.describe(huma.Operation{
		OperationID: "import", Method: http.MethodPost, Path: "/v1/import", Summary: "Take over what another system knows",
		Description: "The body is a file, of at most 64 MiB, whose format is detected: a config.yaml of CLIProxyAPI, of which the sections " +
			"oauth-account-quota-group-state and oauth-quota-groups are read, or one of its .cds files. What is over is not imported, nothing that " +
			"ended here since comes back, and the same file a second time appends nothing. An export of Abeyance makes a log of its own, and is " +
			"imported by the command line into an empty data directory.",
		Parameters: importParams(),
	})
	op.Responses["200"] = s.jsonResponse("OK", "application/json", reflect.TypeFor[ImportAnswer]())
	op.RequestBody = &huma.RequestBody{
		Description: "The format of the file is found out, whichever of the types is given. A file without a type is taken for application/octet-stream.",
		Required:    true, Content: map[string]*huma.MediaType{},
	}
	for _, media := range fileTypes() {
		op.RequestBody.Content[media] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
	}
	s.api.OpenAPI().AddOperation(&op)
}

// fileTypes are the types that a file to import may be sent as: what clients take it for.
// The last is an export's, which is refused with what to do instead.
func fileTypes() []string {
	return []string{"application/octet-stream", "application/yaml", MediaExport}
}

func (s *Server) importFile(_ http.ResponseWriter, r *http.Request) {
	x, b := exchangeOf(r.Context()), s.backend.Load()
	answer, err := b.importFile(r)
	if err != nil {
		x.problem(s.problem(r.Context(), b, err))
		return
	}
	x.json(http.StatusOK, "application/json", answer)
}

// importFile imports the file that a request carries.
func (b *Backend) importFile(r *http.Request) (*ImportAnswer, error) {
	q := r.URL.Query()
	dry, err := parseFlag("dry_run", q.Get("dry_run"))
	if err != nil {
		return nil, err
	}
	groups, err := parseFlag("groups", q.Get("groups"))
	if err != nil {
		return nil, err
	}
	if p := exchangeOf(r.Context()).readFile(); p != nil {
		return nil, p
	}
	file, err := cliproxy.Parse(exchangeOf(r.Context()).body)
	if e, ok := errors.AsType[*cliproxy.Error](err); ok {
		return nil, newProblem(CodeInvalidImport, e.Error())
	}
	if err != nil {
		return nil, err // unreachable: all errors are the file's
	}
	i := &fileImport{b: b, file: file, do: &projection.Import{Source: file.Source, DryRun: dry}, onBehalfOf: q.Get("on_behalf_of")}
	if groups {
		done, err := b.changeSection(SectionGroups, dry)
		if err != nil {
			return nil, err
		}
		defer done()
		if i.do.Groups, err = b.configuredWith(file.Groups); err != nil {
			return nil, err
		}
	}
	return i.run(r.Context())
}

func parseFlag(name, text string) (bool, error) {
	switch text {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, invalid("%s: %q is neither true nor false", name, text)
}

// readFile reads a file into x.body. An export of Abeyance is refused by its first line,
// however long it is.
func (x *exchange) readFile() *Problem {
	r := x.request
	given := cmp.Or(r.Header.Get("Content-Type"), fileTypes()[0])
	media, _, err := mime.ParseMediaType(given)
	switch {
	case err != nil || !slices.Contains(fileTypes(), media):
		return newProblem(CodeMediaType, "send the file with Content-Type: "+fileTypes()[0])
	case r.Header.Get("Content-Encoding") != "":
		return newProblem(CodeMediaType, "send the file without Content-Encoding")
	}
	// A writer without deadlines, as in tests, has nothing to extend.
	_ = http.NewResponseController(x.ResponseWriter).SetReadDeadline(time.Now().Add(importTimeout))
	body := bufio.NewReader(r.Body)
	begin, err := body.Peek(64)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return unread(err)
	case ndjson.Is(begin):
		return newProblem(CodeLogNotEmpty, "this server's log has records of its own, and an export makes a whole log: import it on the server's machine, "+
			"into an empty directory, with: abeyance import FILE --data-dir DIR")
	}
	return x.readUpTo(body, MaxImportBody, "the file is over 64 MiB: split it")
}

// configuredWith returns the configured groups with some definitions in the place of
// those with the same ids.
func (b *Backend) configuredWith(found []projection.GroupConfig) (*projection.GroupsConfig, error) {
	c, err := b.Engine.State().Groups().Config()
	if err != nil {
		return nil, err
	}
	return c.With(found), nil
}

// fileImport is the import of one file.
type fileImport struct {
	b          *Backend
	file       *cliproxy.File
	do         *projection.Import
	onBehalfOf string
}

func (i *fileImport) run(ctx context.Context) (*ImportAnswer, error) {
	for _, e := range i.file.Entries {
		e.Account = i.b.Identities.Stored(e.Account)
		i.do.Entries = append(i.do.Entries, e.ImportEntry)
	}
	command := projection.Command{Origin: exchangeOf(ctx).origin("import", i.onBehalfOf), Do: i.do}
	if !i.do.DryRun {
		if err := i.remember(command); err != nil {
			return nil, err
		}
	}
	o, err := i.b.Engine.Execute(ctx, command)
	if err != nil {
		return nil, err
	}
	c := change(&o)
	a := &ImportAnswer{
		AsOfSeq: c.AsOfSeq, Seq: c.Seq, LastSeq: c.LastSeq, CorrelationID: c.CorrelationID, Repeated: c.Repeated, DryRun: i.do.DryRun,
		Source: i.file.Source, Imported: []ImportRow{}, Expired: []ImportRow{}, Unchanged: []ImportRow{}, Skipped: []ImportRow{},
	}
	for n, r := range o.Imports {
		a.add(&i.file.Entries[n], &r, i.b)
	}
	a.Groups, err = i.groups()
	return a, err
}

// remember makes the ids known that are about to enter the log, and no others.
func (i *fileImport) remember(command projection.Command) error {
	trial, err := projection.Decide(i.b.Engine.State(), command, i.b.Engine.Now())
	if err != nil {
		return err
	}
	var given []string
	for n, r := range trial.Imports {
		if r.Outcome == projection.ImportTaken {
			given = append(given, i.file.Entries[n].Account)
		}
	}
	return i.b.Identities.Add(given...)
}

// add lists and counts an entry.
func (a *ImportAnswer) add(e *cliproxy.Entry, r *projection.ImportResult, b *Backend) {
	row := ImportRow{
		Entry: e.Place, Account: e.Account, Target: r.Target, CoolUntil: Time{e.CoolUntil}, Suspended: e.Suspended, Added: r.Added,
		Why: b.Identities.Show(r.Why),
	}
	if e.Suspended {
		row.Reason = events.Scrub(e.Reason, events.MaxText)
	}
	list, count := &a.Skipped, &a.Counts.Skipped
	switch r.Outcome {
	case projection.ImportTaken:
		list, count = &a.Imported, &a.Counts.Imported
		row.CoolUntil, row.Suspended = Time{r.CoolUntil}, r.Suspended
	case projection.ImportExpired:
		list, count = &a.Expired, &a.Counts.Expired
	case projection.ImportUnchanged:
		list, count = &a.Unchanged, &a.Counts.Unchanged
	}
	if *count++; len(*list) < maxImportRows {
		*list = append(*list, row)
	}
	if r.Added {
		a.Counts.AccountsAdded++
	}
}

// groups says what the file's definitions would change now.
func (i *fileImport) groups() (ImportGroups, error) {
	s := i.b.Engine.State()
	g := ImportGroups{Found: i.file.Groups, InForce: true, Version: s.Groups().Version}
	if len(g.Found) == 0 {
		g.Found = []projection.GroupConfig{}
		return g, nil
	}
	config, err := i.b.configuredWith(g.Found)
	if err != nil {
		return g, err
	}
	d, err := projection.Decide(s, projection.Command{Do: &projection.DefineGroups{Config: *config}}, i.b.Engine.Now())
	if err != nil {
		g.Problem = err.Error()
	}
	g.InForce = err == nil && d.Unchanged != ""
	g.Imported = i.do.Groups != nil && !i.do.DryRun && g.InForce
	return g, nil
}
