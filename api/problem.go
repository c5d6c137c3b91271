package api

import "net/http"

// Problem is the body of every error answer: application/problem+json (RFC 9457).
type Problem struct {
	Type   string `json:"type" doc:"always about:blank: the code says which problem it is"`
	Title  string `json:"title" doc:"the HTTP status in words"`
	Status int    `json:"status"`
	Detail string `json:"detail" doc:"what is wrong and what to do, for people"`
	Code   Code   `json:"code" doc:"which problem it is, for programs; codes never change their meaning"`
	// Cells are those in the way, where that is the reason; at most 100.
	Cells []CellRef `json:"cells,omitempty"`

	retryAfter int // seconds of the Retry-After header; 0: none
}

// Blocked is the problem that a pick answers if no account can serve the request.
type Blocked struct {
	Problem
	Reasons []BlockedReason `json:"reasons" nullable:"false" doc:"why each account cannot serve it; at most 100"`
	Counts  BlockedCounts   `json:"counts" doc:"all accounts by why they cannot"`
	// EarliestEnd is when the first account comes back by itself; zero: none does.
	EarliestEnd Time `json:"earliest_end"`
	NextProbe   Time `json:"next_probe" doc:"when one request may be let through to look; null: not planned"`
}

// BlockedReason says why one account cannot serve a request.
type BlockedReason struct {
	Account string `json:"account"`
	Target  string `json:"target" doc:"of the block that lasts longest; empty for an excluded account"`
	Status  string `json:"status" enum:"excluded,disabled,suspended,held,cooling,available"`
	Until   Time   `json:"until" doc:"when it ends by itself"`
	// Volatile blocks are in no record, because the log cannot be written.
	Volatile bool `json:"volatile,omitempty" doc:"known to this process alone, and only for minutes"`
}

// BlockedCounts are accounts by why they cannot serve a request.
type BlockedCounts struct {
	Excluded  int `json:"excluded"`
	Disabled  int `json:"disabled"`
	Suspended int `json:"suspended"`
	Held      int `json:"held"`
	Cooling   int `json:"cooling"`
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

// newProblem fills in what follows from the code.
func newProblem(code Code, detail string) *Problem {
	status := code.Status()
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Code: code}
}
