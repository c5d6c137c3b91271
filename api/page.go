package api

// Bounds of list pages.
const (
	defaultPage = 100
	maxPage     = 1000
)

// Page is the answer of every list.
type Page[T any] struct {
	AsOfSeq uint64 `json:"as_of_seq" doc:"the newest record that the answer knows of"`
	Now     Time   `json:"now" doc:"the instant that statuses are judged by"`
	Items   []T    `json:"items" nullable:"false"`
	// NextPageToken asks for the page after this one; nil on the last. A page may be
	// short, or even empty, although there is another.
	NextPageToken *string `json:"next_page_token"`
}
