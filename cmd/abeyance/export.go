package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/ndjson"
	"github.com/abeyance/abeyance/projection"
)

func newExportCommand(env *environment) *cobra.Command {
	x := &export{env: env}
	cmd := &cobra.Command{
		Use:   "export [-f FILE|-]",
		Short: "Write the history as lines of JSON, to be kept, searched or imported",
		Long: `Write records as lines of JSON, oldest first: each with its fields, for people and other
tools, and with its stored bytes and hashes, so that 'abeyance import' makes the same log
of a whole export, which a backup is, too, and shorter. The daemon is asked if one runs;
otherwise the data directory is read itself.

Accounts are named by their stored ids: an export holds no e-mail address. The last line,
"abeyance_export_end", says that the export is whole. FILE must not exist; it appears when
it is.`,
		Example: `  abeyance export -f history.ndjson
  abeyance export --from 2026-11-20T00:00:00Z --account a1 | grep limit_observed
  abeyance export --kind suspended --from seq:3`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := among("--kind", events.Kind(x.query.Kind), events.Kinds()); err != nil {
				return err
			}
			if x.query.Target != "" {
				x.query.Target = projection.CanonicalTarget(x.query.Target)
			}
			return x.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&x.file, "file", "f", "-", "write to this `file`; -: to stdout")
	f.StringVar(&x.query.From, "from", "", "only records from this `moment` on: RFC 3339 or seq:N")
	f.StringVar(&x.query.To, "to", "", "only records up to this `moment`: RFC 3339 or seq:N")
	f.StringVar(&x.account, "account", "", "only records about this `account`")
	f.StringVar(&x.query.Target, "target", "", "only records about this `target`: a group, model:NAME or *")
	f.StringVar(&x.query.Kind, "kind", "", "only records of this `kind`, such as limit_observed or suspended")
	return cmd
}

// export is one run of the command.
type export struct {
	env     *environment
	query   api.ExportRequest // but for the account
	account string            // as given
	file    string
}

// exportAnswer is what export prints of a file that it made.
type exportAnswer struct {
	Path    string `json:"path"`
	Records uint64 `json:"records"`
	Seq     uint64 `json:"seq"` // of the newest record of the range
	Hash    string `json:"hash"`
	Bytes   int64  `json:"bytes"`
}

func (x *export) run(ctx context.Context) error {
	daemon, err := x.env.reader()
	if err != nil {
		return err
	}
	write := func(w io.Writer) error { return x.fetch(ctx, daemon, w) }
	if daemon == nil {
		write = func(w io.Writer) error { return x.read(ctx, w) }
	}
	if x.file != "-" {
		return x.toFile(write)
	}
	tail := new(lastLine)
	if err := write(io.MultiWriter(x.env.out, tail)); err != nil {
		return err
	}
	end, err := tail.end()
	if err == nil {
		x.env.say("export ok: %s up to %d:%s", counted(int(end.Records), "record"), end.Seq, end.Hash)
	}
	return err
}

// toFile writes a file of another name, which gets its own when the export is whole.
func (x *export) toFile(write func(io.Writer) error) error {
	if _, err := os.Lstat(x.file); !errors.Is(err, fs.ErrNotExist) {
		return &exitError{exitConflict, fmt.Errorf("%s exists; an export never replaces anything: name another file", x.file)}
	}
	f, err := os.CreateTemp(filepath.Dir(x.file), "."+filepath.Base(x.file)+".*") // with mode 0600
	if err != nil {
		return err
	}
	tail := new(lastLine)
	err = write(io.MultiWriter(f, tail))
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	end := ndjson.Trailer{}
	if err == nil {
		end, err = tail.end()
	}
	if err == nil {
		err = os.Rename(f.Name(), x.file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	a := &exportAnswer{Path: x.file, Records: end.Records, Seq: uint64(end.Seq), Hash: end.Hash.String(), Bytes: tail.bytes}
	return x.env.print(a, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "export ok: %s, up to %d:%s, %d bytes in %s\n", counted(int(a.Records), "record"), a.Seq, a.Hash, a.Bytes, a.Path)
		return err
	})
}

// fetch gets the export from the daemon.
func (x *export) fetch(ctx context.Context, daemon *client, w io.Writer) error {
	c := daemon.patient()
	query := params("from", x.query.From, "to", x.query.To, "account", x.account, "target", x.query.Target, "kind", x.query.Kind)
	req, err := c.request(ctx, get("/v1/export", query))
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return readProblem(res)
	}
	p := x.env.newProgress("exporting")
	defer p.done()
	if _, err := io.Copy(io.MultiWriter(w, &lineCounter{p}), res.Body); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("fetching the export: %w", err)
	}
	return nil
}

// lineCounter counts lines as records of a progress.
type lineCounter struct{ p *progress }

// Write implements io.Writer.
func (c *lineCounter) Write(b []byte) (int, error) {
	for range bytes.Count(b, []byte("\n")) {
		c.p.step()
	}
	return len(b), nil
}

// read reads the log of a stopped daemon.
func (x *export) read(ctx context.Context, w io.Writer) (err error) {
	open := x.env.openRecords
	if x.query.Target != "" {
		open = x.env.openArchive // the fold tells which groups there are
	}
	a, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	h, err := x.header(ctx, a)
	if err != nil {
		return err
	}
	p := x.env.newProgress("exporting")
	defer p.done()
	out := ndjson.NewWriter(w, h)
	err = a.Scan(ctx, h.First-1, h.Last, func(recs []events.Record) error {
		p.reach(uint64(recs[0].Seq-h.First), uint64(h.Last-h.First+1))
		for i := range recs {
			if err := out.Write(recs[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return out.Close()
}

// header says what is asked for of the log. An account or a group that no record tells of
// is refused, as the daemon does.
func (x *export) header(ctx context.Context, a *archive) (ndjson.Header, error) {
	head, err := a.Head(ctx)
	if err != nil {
		return ndjson.Header{}, err
	}
	x.query.Account = a.ids.Stored(x.account)
	h, err := x.query.Header(head, recordOf(ctx, a.Log))
	if p, ok := errors.AsType[*api.Problem](err); ok {
		return h, &problemError{Problem: *p}
	}
	if err == nil {
		err = a.knows(ctx, eventQuery{account: x.account, target: x.query.Target}, a.past.State.Groups())
	}
	return h, err
}

// recordOf looks up records of a log that is not folded.
func recordOf(ctx context.Context, log events.Log) projection.Lookup {
	return func(seq events.Seq) (events.Record, error) {
		for r, err := range log.Records(ctx, seq-1) {
			return r, err
		}
		return events.Record{}, fmt.Errorf("no record %d", seq)
	}
}

// lastLine keeps the end of what is written, which says whether an export is whole.
type lastLine struct {
	bytes int64
	text  []byte
}

// Write implements io.Writer.
func (l *lastLine) Write(b []byte) (int, error) {
	const enough = 1 << 10
	l.bytes += int64(len(b))
	l.text = append(l.text, b[max(0, len(b)-enough):]...)
	l.text = append(l.text[:0], l.text[max(0, len(l.text)-enough):]...)
	return len(b), nil
}

// end returns what the last line says.
func (l *lastLine) end() (ndjson.Trailer, error) {
	lines := bytes.Split(bytes.TrimSuffix(l.text, []byte("\n")), []byte("\n"))
	end, err := ndjson.ParseTrailer(lines[len(lines)-1])
	if err != nil {
		return end, fmt.Errorf("the export was cut off: %w", err)
	}
	return end, nil
}
