package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
	"github.com/abeyance/abeyance/router/signal"
)

// Headers maps header names of any case to one value or a list of them.
type Headers map[string]HeaderValues

// HeaderValues is one header's values. It reads a string or a list of strings.
type HeaderValues []string

// UnmarshalJSON implements json.Unmarshaler.
func (v *HeaderValues) UnmarshalJSON(doc []byte) error {
	var one string
	if json.Unmarshal(doc, &one) == nil {
		*v = HeaderValues{one}
		return nil
	}
	var list []string
	if json.Unmarshal(doc, &list) != nil {
		return errors.New("a header is a string or a list of strings")
	}
	*v = list
	return nil
}

// ReportRequest says what an upstream answered.
type ReportRequest struct {
	Account   string  `json:"account" format:"id"`
	Provider  string  `json:"provider" format:"provider"`
	Model     string  `json:"model,omitempty" format:"id" doc:"as the client named it"`
	Status    int     `json:"status" minimum:"0" maximum:"999" doc:"0: there was no answer"`
	Headers   Headers `json:"headers,omitempty"`
	Body      string  `json:"body,omitempty" doc:"cut at 64 KiB"`
	Operation string  `json:"operation,omitempty" format:"operation" default:"generate"`
	StartedAt Time    `json:"started_at,omitzero" doc:"when the request was sent"`
	RequestID string  `json:"request_id,omitempty" format:"id" doc:"the same account and id are one observation"`
	Lease     string  `json:"lease,omitempty" format:"lease" doc:"as the pick gave it; the report of a probe, whatever the status, lets another go out"`
}

// ReportAnswer says what the answer meant and what it did. It is durable when
// given.
type ReportAnswer struct {
	Class  string      `json:"class"`
	Scope  string      `json:"scope" enum:"group,model,account,none"`
	Target string      `json:"target" doc:"the cell's target; empty if it reaches none"`
	Effect string      `json:"effect" enum:"started,extended,kept,held,recovered,none"`
	Why    string      `json:"why,omitempty" doc:"with effect none"`
	Until  Time        `json:"until"`
	Hint   *ReportHint `json:"hint" doc:"the one that the deadline follows"`
	Advice Advice      `json:"advice"`
	// Seq is the observation's record; nil when nothing was appended.
	Seq      *uint64 `json:"seq"`
	Repeated bool    `json:"repeated,omitempty" doc:"it was reported before; this is the first answer"`
}

// ReportHint is what the upstream said about when to come back.
type ReportHint struct {
	Source  string  `json:"source"`
	Raw     string  `json:"raw"`
	Seconds float64 `json:"seconds"`
}

// Advice is what a proxy does best now.
type Advice struct {
	Action       string  `json:"action" enum:"retry_same,retry_other,stop,refresh_auth,human"`
	AfterSeconds float64 `json:"after_seconds"`
}

// Tag is any JSON value but an object or a list, kept as it was written. Its owner
// knows what it means.
type Tag []byte

// UnmarshalJSON implements json.Unmarshaler.
func (t *Tag) UnmarshalJSON(doc []byte) error {
	if doc[0] == '{' || doc[0] == '[' {
		return errors.New("an id is a string, a number, true, false or null")
	}
	*t = slices.Clone(doc)
	return nil
}

// MarshalJSON implements json.Marshaler.
func (t Tag) MarshalJSON() ([]byte, error) { return t, nil }

// ClassifyRequest asks what an upstream's answer would mean. Account may be empty.
type ClassifyRequest struct {
	ReportRequest
	ID         Tag  `json:"id,omitempty" doc:"given back in the answer"`
	ObservedAt Time `json:"observed_at,omitzero" doc:"when the answer arrived; without it delays and instants are not converted"`
}

// ClassifyAnswer says what an upstream's answer would mean and why. Nothing is
// recorded.
type ClassifyAnswer struct {
	ID    Tag    `json:"id,omitempty"`
	Class string `json:"class" doc:"what the classifier read; see ruled_class"`
	Scope string `json:"scope" enum:"group,model,account,none"`
	// RetryAfterSeconds is the provider's delay exactly as sent; nil if it gave none.
	RetryAfterSeconds *float64 `json:"retry_after_seconds"`
	ResetAt           Time     `json:"reset_at"`
	Rule              string   `json:"rule" doc:"the rule that fired"`
	Classifier        int      `json:"classifier" doc:"the version of the rules"`
	Family            string   `json:"family" doc:"the quota family that the answer named"`
	Window            string   `json:"window" doc:"the quota window that it named"`
	Reason            string   `json:"reason"`
	Hints             []Hint   `json:"hints" nullable:"false" doc:"in the provider's order of precedence"`
	Evidence          string   `json:"evidence"`
	// RuledClass, Target, Effect, Why, Until and Advice are what a report of it would
	// answer now.
	RuledClass string `json:"ruled_class" doc:"the class that the policy goes by: a rate limit with a long reset is a spent quota"`
	Target     string `json:"target"`
	Effect     string `json:"effect"`
	Why        string `json:"why,omitempty"`
	Until      Time   `json:"until"`
	Advice     Advice `json:"advice"`
}

// Hint is one statement of an upstream about when to come back.
type Hint struct {
	Source  string  `json:"source"`
	Raw     string  `json:"raw"`
	Seconds float64 `json:"seconds"`
	At      Time    `json:"at" doc:"the instant stated, if it is one"`
	Lost    string  `json:"lost,omitempty" doc:"why it did not become the deadline"`
}

func (s *Server) report(_ http.ResponseWriter, r *http.Request) {
	x := exchangeOf(r.Context())
	var q ReportRequest
	if p := s.take(x, &q, decodeUpstream); p != nil {
		x.problem(p)
		return
	}
	b := s.backend.Load()
	b.stored(r.Context(), q.Account)
	lease, err := q.lease()
	if err == nil {
		var out router.Outcome
		if out, err = b.Router.As(x.origin("proxy", "")).Report(r.Context(), lease, q.observation(time.Time{})); err == nil {
			x.json(http.StatusOK, "application/json", reportAnswer(&out))
			return
		}
	}
	x.problem(s.problem(r.Context(), b, err))
}

// lease is the lease that the report names, or one that only names the account.
func (q *ReportRequest) lease() (router.Lease, error) {
	l := router.Lease{}
	if q.Lease != "" {
		var err error
		if l, err = router.ParseLease(q.Lease); err != nil {
			return l, invalid("%v", err)
		}
	}
	l.Account, l.Provider, l.Model = q.Account, q.Provider, q.Model
	return l, nil
}

// observation is the answer as the proxy saw it; at is when it arrived, zero for
// now.
func (q *ReportRequest) observation(at time.Time) signal.Observation {
	return signal.Observation{
		Provider: q.Provider, Model: q.Model, Operation: events.Operation(q.Operation), Status: q.Status,
		Header: q.Headers.header(), Body: []byte(q.Body[:min(len(q.Body), signal.MaxBody)]),
		ObservedAt: at, StartedAt: q.StartedAt.Time, RequestID: q.RequestID,
	}
}

func (h Headers) header() http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		out[name] = values
	}
	return out
}

func reportAnswer(o *router.Outcome) ReportAnswer {
	a := ReportAnswer{
		Class: string(o.Class), Scope: string(o.Scope), Target: o.Target, Effect: string(o.Effect), Why: o.Why,
		Until: Time{o.Until}, Advice: advice(o.Advice), Repeated: o.Repeated,
	}
	if o.Hint != nil {
		a.Hint = &ReportHint{Source: o.Hint.Source, Raw: o.Hint.Raw, Seconds: o.Hint.Seconds}
	}
	if o.Seq > 0 {
		a.Seq = new(uint64(o.Seq))
	}
	return a
}

func advice(a projection.Advice) Advice {
	return Advice{Action: string(a.Action), AfterSeconds: wholeMillis(a.After)}
}

func (s *Server) classify(_ http.ResponseWriter, r *http.Request) {
	x := exchangeOf(r.Context())
	var q ClassifyRequest
	if p := s.take(x, &q, decodeUpstream); p != nil {
		x.problem(p)
		return
	}
	b := s.backend.Load()
	a, err := b.classify(r.Context(), &q)
	if err != nil {
		x.problem(s.problem(r.Context(), b, err))
		return
	}
	x.json(http.StatusOK, "application/json", a)
}

// classify says what an answer means, and what the policy would do about it now.
func (b *Backend) classify(ctx context.Context, q *ClassifyRequest) (ClassifyAnswer, error) {
	o := q.observation(q.ObservedAt.Time)
	o.RequestID = "" // a question is no observation: it is never a repeated one
	a := classified(signal.Classify(o), q.ObservedAt.Time)
	a.ID = q.ID
	if q.Provider == "" {
		return a, invalid("the provider is missing: the same answer means another thing at another provider")
	}
	lease, err := q.lease()
	if err != nil {
		return a, err
	}
	if q.Account != "" {
		b.stored(ctx, q.Account)
	}
	out, err := b.Router.Classify(lease, o)
	if err != nil {
		return a, err
	}
	a.RuledClass, a.Target, a.Effect, a.Why, a.Until = string(out.Class), out.Target, string(out.Effect), out.Why, Time{out.Until}
	a.Advice = advice(out.Advice)
	return a, nil
}

// classified is the part of the answer that the observation alone decides.
func classified(s events.Signal, observed time.Time) ClassifyAnswer {
	a := ClassifyAnswer{
		Class: string(s.Class), Scope: string(s.Scope), Rule: s.Rule, Classifier: s.Classifier, Family: s.Family,
		Window: string(s.Window), Reason: s.Reason, Hints: hints(s.Hints), Evidence: s.Evidence,
	}
	if seconds, ok := signal.RetryAfter(s); ok {
		a.RetryAfterSeconds = &seconds
	}
	if at, ok := signal.ResetAt(s, observed); ok {
		a.ResetAt = Time{at}
	}
	return a
}

func hints(list []events.Hint) []Hint {
	out := make([]Hint, 0, len(list))
	for _, h := range list {
		out = append(out, hint(h))
	}
	return out
}

func hint(h events.Hint) Hint {
	return Hint{Source: h.Source, Raw: h.Raw, Seconds: h.Seconds, At: Time{h.At}, Lost: h.Lost}
}
