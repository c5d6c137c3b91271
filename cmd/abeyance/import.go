package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/events/ndjson"
	"github.com/abeyance/abeyance/projection"
)

func newImportCommand(env *environment) *cobra.Command {
	x := &importer{env: env}
	cmd := &cobra.Command{
		Use:   "import FILE...",
		Short: "Take over what CLIProxyAPI knows, or make a log of an export",
		Long: `Import files; their format is detected.

A config.yaml of CLIProxyAPI (its sections oauth-account-quota-group-state and
oauth-quota-groups) and its .cds files are given to the daemon, file by file: manual
suspensions and cooldowns that are not over become blocks of Abeyance, accounts that are
not known are added as observed. What was cleared, lifted or removed here since does not
come back, and a second import of the same file appends nothing. The files are only read.
The groups that a config.yaml defines are put in force only with --groups.

An export of Abeyance (*.ndjson) is a whole log, and becomes one: in the --data-dir, which
must be empty, or not exist while its parent does, with the same id and hashes. Every line
is checked before the log appears. With --dry-run it and the directory are checked, and
nothing is made.`,
		Example: `  abeyance import --dry-run ~/.cli-proxy-api/config.yaml
  abeyance import ~/.cli-proxy-api/config.yaml ~/.cli-proxy-api/*.cds
  abeyance import history.ndjson --data-dir ./copy`,
		Args: arguments(1, maxImportFiles, "at least one FILE, or - for stdin"),
		RunE: func(cmd *cobra.Command, args []string) error { return x.run(cmd.Context(), args) },
	}
	f := cmd.Flags()
	f.BoolVar(&x.dry, "dry-run", false, "say what would happen, and do nothing")
	f.BoolVar(&x.groups, "groups", false, "put the groups that a config.yaml defines in force first")
	return cmd
}

// maxImportFiles bounds the files of one command line.
const maxImportFiles = 100_000

// importer is one run of the command.
type importer struct {
	env         *environment
	dry, groups bool
	daemon      *client // once it was needed
	files       []importedFile
}

// importedFile is what became of one file.
type importedFile struct {
	File string `json:"file"`
	api.ImportAnswer
}

// run imports the files one after another. After an error what was imported before it
// stays, and is shown.
func (x *importer) run(ctx context.Context, names []string) error {
	err := checkFiles(names)
	if err != nil {
		return err
	}
	for _, name := range names {
		if name == "-" && isTerminal(x.env.in) {
			return usage("a file to import does not come from a terminal: name it, or read it from a pipe")
		}
		var made bool
		if made, err = x.file(ctx, name, len(names) == 1); err != nil || made {
			break
		}
	}
	if len(x.files) > 0 {
		err = errors.Join(x.print(), err)
	}
	return err
}

// checkFiles refuses, before anything is done, what no import can be of: directories, and
// an export among other files. What comes through a pipe is not looked at.
func checkFiles(names []string) error {
	for _, name := range names {
		if name == "-" {
			continue
		}
		info, err := os.Stat(name)
		switch {
		case err != nil:
			return err
		case info.IsDir():
			return usage("%s is a directory: name the files in it", name)
		case len(names) == 1 || !info.Mode().IsRegular():
			continue
		}
		if export, err := isExport(name); err != nil {
			return err
		} else if export {
			return notAlone(name)
		}
	}
	return nil
}

// isExport reports whether a file begins as an export does.
func isExport(name string) (bool, error) {
	f, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	begin, err := bufio.NewReader(f).Peek(formatBytes)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return ndjson.Is(begin), err
}

// formatBytes is how much of a file tells its format.
const formatBytes = 64

func notAlone(name string) error {
	return usage("%s is an export of Abeyance, of which a log is made: import it alone", inputName(name))
}

// file imports one file. made tells that it was an export, of which all is said.
func (x *importer) file(ctx context.Context, name string, alone bool) (made bool, err error) {
	from, size := x.env.in, int64(0)
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return false, err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return false, err
		}
		from, size = f, info.Size()
	}
	in := bufio.NewReader(&contextReader{ctx, from})
	begin, err := in.Peek(formatBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("%s: %w", inputName(name), err)
	}
	if !ndjson.Is(begin) {
		return false, x.send(ctx, name, in)
	}
	if !alone {
		return false, notAlone(name)
	}
	return true, x.makeLog(ctx, name, &sized{in, uint64(size)})
}

// contextReader is a reader that ends with a context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// sized is a reader of so many bytes; 0: nobody knows.
type sized struct {
	io.Reader
	bytes uint64
}

// send gives the daemon a file.
func (x *importer) send(ctx context.Context, name string, file io.Reader) (err error) {
	if x.daemon == nil {
		if x.daemon, err = x.env.daemon(); err != nil {
			return err
		}
	}
	query := params("on_behalf_of", x.env.user())
	if x.dry {
		query.Set("dry_run", "true")
	}
	if x.groups {
		query.Set("groups", "true")
	}
	// Read first: a request that breaks off would say less than the file's own error.
	doc, err := io.ReadAll(io.LimitReader(file, api.MaxImportBody+1))
	if err != nil {
		return fmt.Errorf("%s: %w", inputName(name), err)
	}
	if len(doc) > api.MaxImportBody {
		return usage("%s is over %d MiB: split it", inputName(name), api.MaxImportBody>>20)
	}
	done := x.env.elapsing("importing " + inputName(name))
	defer done()
	a := importedFile{File: name}
	err = x.daemon.do(ctx, call{method: http.MethodPost, path: "/v1/import", query: query, raw: doc}, &a.ImportAnswer)
	if p, ok := errors.AsType[*problemError](err); ok {
		p.Detail = inputName(name) + ": " + p.Detail
		return p
	}
	if err == nil {
		x.files = append(x.files, a)
	}
	return err
}

// importedRow is one entry, with what became of it.
type importedRow struct {
	File    string `json:"file"`
	Outcome string `json:"outcome"`
	api.ImportRow
}

func (f *importedFile) rows() (rows []importedRow) {
	for _, list := range []struct {
		outcome projection.ImportOutcome
		rows    []api.ImportRow
	}{
		{projection.ImportTaken, f.Imported},
		{projection.ImportExpired, f.Expired},
		{projection.ImportUnchanged, f.Unchanged},
		{projection.ImportSkipped, f.Skipped},
	} {
		for _, r := range list.rows {
			rows = append(rows, importedRow{f.File, string(list.outcome), r})
		}
	}
	return rows
}

func (x *importer) print() error {
	var rows []importedRow
	for i := range x.files {
		rows = append(rows, x.files[i].rows()...)
	}
	now := x.env.now()
	err := listing[importedRow]{
		answer: struct {
			Files []importedFile `json:"files"`
		}{x.files},
		items: rows, empty: "there is nothing to import",
		columns: []column[importedRow]{
			{"OUTCOME", func(r importedRow) string { return r.Outcome }},
			{"ACCOUNT", func(r importedRow) string { return r.Account }},
			{"TARGET", func(r importedRow) string { return r.Target }},
			{"COOLING", func(r importedRow) string {
				if r.CoolUntil.IsZero() {
					return ""
				}
				return "ends " + relative(r.CoolUntil.Time, now)
			}},
			{"SUSPENDED", func(r importedRow) string {
				if !r.Suspended {
					return ""
				}
				return "no end: " + r.Reason
			}},
			{"WHY", func(r importedRow) string { return r.Why }},
		},
	}.print(x.env)
	for i := range x.files {
		x.sum(&x.files[i])
	}
	return err
}

// sum says in a line what became of a file.
func (x *importer) sum(f *importedFile) {
	verb, records := "imported", ""
	switch {
	case f.Seq != nil:
		records = fmt.Sprintf(" (%s)", describeRecords(api.Change{Seq: f.Seq, LastSeq: f.LastSeq}))
	case x.dry:
		verb = "would be imported"
	}
	c := f.Counts
	x.env.say("%s: %d %s%s, %d expired, %d unchanged, %d skipped; %s added", inputName(f.File), c.Imported, verb, records,
		c.Expired, c.Unchanged, c.Skipped, counted(c.AccountsAdded, "account"))
	if more := c.Imported + c.Expired + c.Unchanged + c.Skipped - len(f.rows()); more > 0 {
		x.env.say("  and %d more, which are not listed", more)
	}
	switch g := &f.Groups; {
	case g.Problem != "":
		x.env.say("  the groups that it defines would be refused: %s", plain(g.Problem))
	case g.Imported:
		x.env.say("  the groups that it defines are in force, as version %d", g.Version)
	case !g.InForce:
		x.env.say("  its definition of %s differs from what is in force; --groups puts it in force", counted(len(g.Found), "group"))
	}
}

// makeLog makes a log of an export.
func (x *importer) makeLog(ctx context.Context, name string, file *sized) error {
	switch {
	case x.groups:
		return usage("--groups is for a config.yaml of CLIProxyAPI; an export holds its groups")
	case x.env.url != "":
		return usage("an export becomes a log in an empty directory, which no daemon has: name one with --data-dir, without --url")
	case x.env.dataDir == "" && !x.dry:
		return usage("where to? Name an empty directory with --data-dir (%s)", envDataDir)
	}
	if x.dry && x.env.dataDir != "" {
		if err := boltlog.CheckEmpty(x.env.dataDir); err != nil {
			return notEmpty(err)
		}
	}
	reading := x.env.newProgress("reading the export")
	defer reading.done()
	counted := &countingReader{r: file, each: func(n uint64) { reading.reach(n, file.bytes) }}
	in, err := ndjson.NewReader(counted)
	if err == nil {
		h := in.Header()
		err = h.Whole()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", inputName(name), err)
	}
	head, err := x.fill(ctx, name, in)
	if err != nil {
		return notEmpty(err)
	}
	if !x.dry {
		x.env.say("Put the identities.json that belongs to it into %s, if there is one, then:\n  abeyance serve --data-dir %s", x.env.dataDir, x.env.dataDir)
	}
	answer := newBackupAnswer(x.env.dataDir, head)
	return x.env.print(answer, func(w io.Writer) error {
		where := "in " + answer.Path
		if x.dry {
			where = "could be imported"
		}
		_, err := fmt.Fprintf(w, "import ok: log %s, %d records, head %s, %s\n", answer.LogID, answer.Seq, answer.Hash, where)
		return err
	})
}

// notEmpty gives a directory that has something in it its exit code.
func notEmpty(err error) error {
	if _, full := errors.AsType[*boltlog.NotEmptyError](err); full {
		return &exitError{exitConflict, err}
	}
	return err
}

// fill stores the records of an export, or with a dry run only reads them.
func (x *importer) fill(ctx context.Context, name string, in *ndjson.Reader) (events.Head, error) {
	records := named(in.Records(), name)
	if !x.dry {
		checking := x.env.newProgress("checking the log")
		defer checking.done()
		source := boltlog.Source{Log: in.Header().Log, Records: records}
		return boltlog.Fill(ctx, source, x.env.dataDir, func(done, total events.Seq) { checking.reach(uint64(done), uint64(total)) })
	}
	head := events.Head{Log: in.Header().Log, Hash: in.Header().Prev}
	for r, err := range records {
		if err != nil {
			return head, err
		}
		head = head.Next(r)
	}
	return head, nil
}

// named names the file in an error of its records.
func named(records iter.Seq2[events.Record, error], name string) iter.Seq2[events.Record, error] {
	return func(yield func(events.Record, error) bool) {
		for r, err := range records {
			if err != nil {
				err = fmt.Errorf("%s: %w", inputName(name), err)
			}
			if !yield(r, err) {
				return
			}
		}
	}
}
