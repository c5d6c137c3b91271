package ui

import (
	"bytes"
	"encoding/json"
	"html/template"
	"maps"
	"net/url"
	"strconv"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
)

// auditPage is a page of the history, and one record of it whole.
type auditPage struct {
	Query url.Values // the filters, without the page
	Items []api.EventRow
	Next  template.URL // the query of the page after this one; empty: none
	First bool         // this is the first page
	Seq   uint64
	One   *api.EventRow
	JSON  string // of One
	Kinds []events.Kind
}

// auditFilters are the filters of the page, as the API has them.
func auditFilters() []string {
	return []string{"account", "target", "kind", "actor", "correlation_id", "since", "until", "order"}
}

// audit makes a page of the history.
func (d *Dashboard) audit(p *page) (any, error) {
	q := p.request.URL.Query()
	a := &auditPage{Query: url.Values{}, Kinds: events.Kinds(), First: q.Get("page_token") == ""}
	ask := map[string]string{"page_token": q.Get("page_token"), "page_size": "100"}
	for _, name := range auditFilters() {
		if v := q.Get(name); v != "" {
			a.Query.Set(name, v)
			ask[name] = v
		}
	}
	var answer api.Page[api.EventRow]
	if err := p.get("/v1/events", ask, &answer); err != nil {
		return nil, err
	}
	a.Items, a.Seq = answer.Items, answer.AsOfSeq
	if answer.NextPageToken != nil {
		a.Next = query(a.with("page_token", *answer.NextPageToken))
	}
	return a, a.one(p, q.Get("seq"))
}

// with returns the filters with one more value.
func (a *auditPage) with(key, value string) url.Values {
	next := url.Values{key: {value}}
	maps.Copy(next, a.Query)
	return next
}

// one reads the record that the page opens.
func (a *auditPage) one(p *page, seq string) error {
	if seq == "" {
		return nil
	}
	n, err := strconv.ParseUint(seq, 10, 64)
	if err != nil { // asked as it is, it might name another route
		return refusal(p.T("audit.number", seq))
	}
	var raw json.RawMessage
	if err := p.get("/v1/events/"+strconv.FormatUint(n, 10), nil, &raw); err != nil {
		return err
	}
	var text bytes.Buffer
	if err := json.Indent(&text, raw, "", "  "); err != nil {
		return err
	}
	a.One, a.JSON = new(api.EventRow), text.String()
	return json.Unmarshal(raw, a.One)
}

// Open is the query that opens a record of the page.
func (a *auditPage) Open(seq uint64) template.URL {
	return query(a.with("seq", strconv.FormatUint(seq, 10)))
}

// Closed is the query of the page without the open record.
func (a *auditPage) Closed() template.URL { return query(a.Query) }

// Export is the query that exports what the filters choose: those that the export has.
func (a *auditPage) Export() template.URL {
	q := url.Values{}
	for from, to := range map[string]string{"account": "account", "target": "target", "kind": "kind", "since": "from", "until": "to"} {
		if v := a.Query.Get(from); v != "" {
			q.Set(to, v)
		}
	}
	return query(q)
}

// Exports reports whether the filters are all such as an export has.
func (a *auditPage) Exports() bool {
	return a.Query.Get("actor") == "" && a.Query.Get("correlation_id") == ""
}
