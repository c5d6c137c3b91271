package api

import (
	"encoding/json"
	"errors"
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
	Account   string  `json:"account"`
	Provider  string  `json:"provider"`
	Model     string  `json:"model,omitempty" doc:"as the client named it"`
	Status    int     `json:"status" minimum:"0" maximum:"999" doc:"0: there was no answer"`
	Headers   Headers `json:"headers,omitempty"`
	Body      string  `json:"body,omitempty" doc:"cut at 64 KiB"`
	Operation string  `json:"operation,omitempty" enum:"generate,count_tokens,usage,token,other" default:"generate"`
	StartedAt Time    `json:"started_at,omitzero" doc:"when the request was sent"`
	RequestID string  `json:"request_id,omitempty" doc:"the same account and id are one observation"`
	Lease     string  `json:"lease,omitempty" doc:"as the pick gave it"`
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

// ClassifyRequest asks what an upstream's answer would mean. Account may be empty.
type ClassifyRequest struct {
	ReportRequest
	ID         string `json:"id,omitempty" doc:"given back in the answer"`
	ObservedAt Time   `json:"observed_at,omitzero" doc:"when the answer arrived; without it delays and instants are not converted"`
}

// ClassifyAnswer says what an upstream's answer would mean and why. Nothing is
// recorded.
type ClassifyAnswer struct {
	ID    string `json:"id,omitempty"`
	Class string `json:"class"`
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
	// Target, Effect, Why, Until and Advice are what a report of it would do now;
	// empty without a provider.
	Target string  `json:"target"`
	Effect string  `json:"effect"`
	Why    string  `json:"why,omitempty"`
	Until  Time    `json:"until"`
	Advice *Advice `json:"advice"`
}

// Hint is one statement of an upstream about when to come back.
type Hint struct {
	Source  string  `json:"source"`
	Raw     string  `json:"raw"`
	Seconds float64 `json:"seconds"`
	At      Time    `json:"at" doc:"the instant stated, if it is one"`
	Lost    string  `json:"lost,omitempty" doc:"why it did not become the deadline"`
}
