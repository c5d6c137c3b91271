// Package signal reads what an upstream answer means: it turns an [Observation],
// the answer as the proxy saw it, into an events.Signal, which holds no header and
// no body, only what was decisive in them.
//
// [Classify] takes an answer apart in steps, each in files of its own:
//
//   - body.go, success.go: the form of the body, whatever its label says, and
//     whether a 2xx answer carries an error at all;
//   - json.go: a reader of JSON that is truncated, corrupted or quoted otherwise;
//   - problem.go: the provider's error object, out of arrays, streams, WebSocket
//     frames, and strings in strings;
//   - duration.go, instant.go, sentence.go, hints.go: when to come back, in every
//     notation that occurs, in the provider's order of precedence;
//   - verdict.go: what codes, sentences and statuses mean everywhere;
//   - family.go and one file per family: what they mean for one provider. All
//     families have the same shape; google.go is a good one to read first.
//
// The formats come from the providers' documentation and from answers that users
// published. Rules match fields and the words in them, never whole answers.
package signal

import (
	"net/http"
	"time"

	"github.com/abeyance/abeyance/events"
)

// MaxBody is how much of a body is read. Providers' error bodies are below 8 KiB;
// what is longer is cut before it is parsed.
const MaxBody = 64 << 10

// Observation is one upstream response as the proxy saw it.
type Observation struct {
	Provider  string           // the provider's id, any case
	Model     string           // as the client named it; may be empty
	Operation events.Operation // empty means generate
	Status    int              // HTTP status; 0 if there was no response
	Header    http.Header      // nil is valid
	Body      []byte           // at most MaxBody of it is read
	// ObservedAt is when the answer arrived. Zero: relative and absolute hints are
	// not converted into each other.
	ObservedAt time.Time
	StartedAt  time.Time // when the request was sent; zero: unknown
	RequestID  string
}
