package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/ndjson"
	"github.com/abeyance/abeyance/projection"
)

// MediaExport is the media type of an export.
const MediaExport = "application/x-ndjson"

// ExportRequest is what an export is asked for. What is empty is open.
type ExportRequest struct {
	// From and To are RFC 3339 or seq:N, both inclusive.
	From, To string
	Account  string // the stored id
	Target   string
	Kind     string
}

// exportParams describes the query of GET /v1/export.
func exportParams() []*huma.Param {
	text := func(name, format, doc string) *huma.Param {
		return &huma.Param{Name: name, In: "query", Description: doc, Schema: &huma.Schema{Type: huma.TypeString, Format: format}}
	}
	return []*huma.Param{
		text("from", "moment", "records from it on"), text("to", "moment", "records up to it"),
		text("account", "id", "records about the account, expiries included"), text("target", "target", ""), text("kind", "kind", ""),
	}
}

// routeExport registers the export, which has a format of its own and no bound.
func (s *Server) routeExport(r chi.Router) {
	r.Get("/v1/export", s.known(s.export))
	s.documentedText(huma.Operation{
		OperationID: "export", Method: http.MethodGet, Path: "/v1/export", Summary: "Records as lines of JSON, to be kept or imported",
		Description: "The first line says what follows: the log, the range of records and the filter. Then comes a line for each record, with the " +
			"members that it has in GET /v1/events, and prev, hash and record: the stored bytes in base64, whose SHA-256 after prev is hash. " +
			"Account ids are the stored ones. The last line, with abeyance_export_end, says that the export is whole.",
		Parameters: exportParams(),
	}, MediaExport, &huma.Schema{Type: huma.TypeString})
}

// export writes records as they are read: what a client has got of it when it breaks off
// lacks the last line.
func (s *Server) export(_ http.ResponseWriter, r *http.Request) {
	x, b := exchangeOf(r.Context()), s.backend.Load()
	h, err := b.exportHeader(r)
	if err != nil {
		x.problem(s.problem(r.Context(), b, err))
		return
	}
	x.Header().Set("Content-Type", MediaExport)
	x.Header().Set("Content-Disposition", `attachment; filename="abeyance-export.ndjson"`)
	x.WriteHeader(http.StatusOK)
	w := ndjson.NewWriter(x, h)
	for rec, err := range b.Engine.History(r.Context(), events.Query{After: h.First - 1, Before: h.Last + 1}) {
		if err == nil {
			err = w.Write(rec)
		}
		if err != nil {
			s.cutOff(r.Context(), x, err)
		}
	}
	if err := w.Close(); err != nil {
		s.cutOff(r.Context(), x, err)
	}
}

// cutOff ends an answer of which a part was sent: half of it must not look like the
// whole.
func (s *Server) cutOff(ctx context.Context, x *exchange, err error) {
	s.logger.WarnContext(ctx, "an answer was cut off", "route", x.route, "bytes", x.bytes, "error", err)
	panic(http.ErrAbortHandler)
}

// exportHeader says what a request exports.
func (b *Backend) exportHeader(r *http.Request) (h ndjson.Header, err error) {
	ctx, given := r.Context(), r.URL.Query()
	q := ExportRequest{From: given.Get("from"), To: given.Get("to"), Target: given.Get("target"), Kind: given.Get("kind")}
	if account := given.Get("account"); account != "" {
		q.Account = b.stored(ctx, account)
	}
	h, err = q.Header(b.Engine.State().Head(), func(seq events.Seq) (events.Record, error) { return b.Engine.Record(ctx, seq) })
	if err == nil {
		err = b.knows(ctx, h.Filter, given.Get("account"))
	}
	return h, err
}

// Header returns what is asked for of a log that ends at head. record looks up a record
// of it. Errors are a *Problem for what cannot be meant, or record's.
func (q *ExportRequest) Header(head events.Head, record projection.Lookup) (ndjson.Header, error) {
	h := ndjson.Header{Log: head.Log, First: 1, Last: head.Seq, Filter: events.Filter{
		Account: q.Account, Target: projection.CanonicalTarget(q.Target), Kind: events.Kind(q.Kind),
	}}
	if q.Kind != "" && !slices.Contains(events.Kinds(), h.Filter.Kind) {
		return h, invalid("kind: %q is none of %v", q.Kind, events.Kinds())
	}
	var err error
	if q.From != "" {
		if h.First, err = bound("from", q.From, head.Seq, record); err != nil {
			return h, err
		}
	}
	if q.To != "" {
		past, err := bound("to", q.To, head.Seq, record)
		if err != nil {
			return h, err
		}
		h.Last = past - 1
	}
	h.Last = max(h.Last, h.First-1)
	h.Prev = events.Genesis(head.Log)
	if h.First > 1 {
		before, err := record(h.First - 1)
		if err != nil {
			return h, err
		}
		h.Prev = before.Hash
	}
	return h, nil
}

// bound returns the first seq from a moment on, or, of the bound to, the first one after
// it.
func bound(name, text string, head events.Seq, record projection.Lookup) (events.Seq, error) {
	m, err := parseMoment(name, text)
	if err != nil {
		return 0, invalid("%s: %q is neither RFC 3339, as 2026-11-23T00:00:00Z, nor seq:N", name, text)
	}
	past := events.Seq(0)
	if name == "to" {
		past, m.At = 1, m.At.Add(1)
	}
	switch {
	case m.Seq == 0:
		last, err := projection.LastBy(m.At.Add(-1), head, record) // times are whole nanoseconds
		return last + 1, err
	case m.Seq > head:
		return 0, newProblem(CodeAtInFuture, fmt.Sprintf("%s: the log ends at record %d", name, head))
	default:
		return m.Seq + past, nil
	}
}
