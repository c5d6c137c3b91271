package api

import (
	"encoding/base64"
	"encoding/json"
	"hash/fnv"
	"time"
)

// cursor is where the next page of a list begins: after the last item of the page
// before. It says nothing of the log's length, so that pages do not shift while the
// log grows. It holds stored ids only.
type cursor struct {
	// List is a digest of the list and its filters: a token is good for them only.
	List    uint64 `json:"l"`
	Account string `json:"a,omitempty"`
	Target  string `json:"t,omitempty"`
	Seq     uint64 `json:"s,omitempty"`
	// Skip counts the items before, and Now is the instant, of a list that stays as of Seq.
	Skip int       `json:"k,omitempty"`
	Now  time.Time `json:"n,omitzero"`
}

// Paging is the part of a query that every list takes. It is exported because huma
// reads no embedded struct that is not.
type Paging struct {
	PageSize  int    `query:"page_size" minimum:"1" maximum:"1000" default:"100" doc:"rows of the page, at most"`
	PageToken string `query:"page_token" format:"page-token" doc:"next_page_token of the page before; the filters must be the same"`
}

// size is the number of items of a page.
func (q *Paging) size() int {
	if q.PageSize == 0 {
		return defaultPage
	}
	return min(q.PageSize, maxPage)
}

// after reads the page token: the cursor of the page before, or one before the
// first item. filters name the list and everything that decides what is in it.
func (q *Paging) after(filters ...string) (cursor, error) {
	start := cursor{List: digest(filters)}
	if q.PageToken == "" {
		return start, nil
	}
	var c cursor
	doc, err := base64.RawURLEncoding.DecodeString(q.PageToken)
	if err != nil || json.Unmarshal(doc, &c) != nil {
		return start, newProblem(CodePageToken, "page_token is not one that a page gave")
	}
	if c.List != start.List {
		return start, newProblem(CodePageToken, "page_token is of another list, or of other filters")
	}
	return c, nil
}

// token returns the form that travels.
func (c cursor) token() *string {
	doc, err := json.Marshal(c)
	if err != nil {
		return nil // unreachable: a cursor holds nothing that cannot be marshalled
	}
	return new(base64.RawURLEncoding.EncodeToString(doc))
}

func digest(parts []string) uint64 {
	h := fnv.New64a()
	for _, p := range parts {
		_, _ = h.Write([]byte(p))
		_, _ = h.Write([]byte{0})
	}
	return h.Sum64()
}
