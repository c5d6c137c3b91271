package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"

	"github.com/abeyance/abeyance/events"
)

// Bounds of a stream.
const (
	streamHeartbeat = 15 * time.Second
	// streamPatience is how long a reader may take for a piece. One that takes longer is
	// dropped: it can go on from where it was.
	streamPatience = 5 * time.Second
	streamPiece    = 16 << 10 // bytes that are written at once, or one frame
	streamBuffer   = 16 << 10 // bytes that the kernel is asked to keep at most
	farewellTime   = time.Second
)

// Why streams end, beside the end of their feed.
var (
	errRevoked   = errors.New("the token was deleted")
	errLoggedOut = errors.New("the session has ended")
	errDraining  = errors.New("the server is stopping")
)

// lastEventID is the header in which a client says what it has seen.
const lastEventID = "Last-Event-ID"

// routeStream registers the one answer that has no end: a plain handler.
func (s *Server) routeStream(r chi.Router) {
	r.Get("/v1/events/stream", s.known(s.stream))
	s.documentedText(huma.Operation{
		OperationID: "stream-events", Method: http.MethodGet, Path: "/v1/events/stream", Summary: "The history as it is made",
		Description: "Server-sent events: the id is the seq, the data an item of /v1/events, on one line. Every 15 s there is a comment. " +
			"An id without data says how far the records were looked at. A client that goes on after the last id it was sent misses nothing and sees nothing twice, " +
			"also through restarts of the server. A comment that begins with \"end: \" says why the server ends the stream.",
		Parameters: s.streamParameters(),
	}, "text/event-stream", &huma.Schema{Type: huma.TypeString})
}

// streamParameters are where to begin, and the filters of the history that are no times.
func (s *Server) streamParameters() []*huma.Param {
	seq := &huma.Schema{Type: huma.TypeInteger, Format: "int64", Minimum: new(0.0)}
	list := []*huma.Param{
		{Name: "after", In: "query", Schema: seq, Description: "begin after the record of this seq, 0: with the first; without it, and without " + lastEventID + ", begin with what is new"},
		{Name: lastEventID, In: "header", Schema: seq, Description: "the same, and wins: what a client sends when it connects again"},
	}
	for _, p := range s.api.OpenAPI().Paths["/v1/events"].Get.Parameters {
		switch p.Name {
		case "account", "target", "kind", "actor", "correlation_id":
			list = append(list, p)
		}
	}
	return list
}

// subscriber is one stream.
type subscriber struct {
	feed    *feed
	group   int // of the feed's
	answer  *exchange
	control *http.ResponseController
	filter  eventFilter
	at      events.Seq // everything up to here was looked at
	told    events.Seq // the last id that was sent, or that the client began with
	fresh   bool       // it began at the head, which the client does not know
}

// stream answers with the history from a seq on, and then with each record as it comes.
func (s *Server) stream(_ http.ResponseWriter, r *http.Request) {
	x, b := exchangeOf(r.Context()), s.backend.Load()
	sub, err := s.subscribe(b, r)
	if err != nil {
		x.problem(s.problem(r.Context(), b, err))
		return
	}
	sub.feed, sub.group = s.feeds.join(b)
	defer s.feeds.leave(sub.feed)
	s.metrics.subscribers.Inc()
	defer s.metrics.subscribers.Dec()
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer context.AfterFunc(x.token.valid, func() { cancel(errRevoked) })()
	if x.session != nil {
		defer context.AfterFunc(x.session.valid, func() { cancel(errLoggedOut) })()
	}
	defer context.AfterFunc(s.draining, func() { cancel(errDraining) })()
	s.farewell(ctx, sub, sub.run(ctx))
}

// subscribe reads what a request asks for.
func (s *Server) subscribe(b *Backend, r *http.Request) (*subscriber, error) {
	select {
	case <-b.Engine.Done():
		return nil, newProblem(CodeStopped, "the engine has stopped: nothing more will come")
	case <-s.draining.Done():
		return nil, newProblem(CodeStopped, "the server is stopping: nothing more will come")
	default:
	}
	x, values := exchangeOf(r.Context()), r.URL.Query()
	sub := &subscriber{answer: x, control: http.NewResponseController(x.ResponseWriter)}
	if err := sub.begin(b, r.Header.Get(lastEventID), values.Get("after")); err != nil {
		return nil, err
	}
	return sub, sub.narrow(r.Context(), b, values)
}

// begin reads where to begin.
func (s *subscriber) begin(b *Backend, header, query string) error {
	head, name, text := b.Engine.State().Head().Seq, lastEventID, header
	if text == "" {
		name, text = "after", query
	}
	if text == "" {
		s.at, s.told, s.fresh = head, head, true
		return nil
	}
	seq, err := strconv.ParseUint(text, 10, 64) // the greatest for one that is out of range
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange):
		return invalid("%s: %q is no seq: write that of the record to go on after, or 0", name, text)
	case events.Seq(seq) > head:
		return newProblem(CodeAtInFuture, fmt.Sprintf("%s: no record %s; the log ends at %d", name, text, head))
	}
	s.at, s.told = events.Seq(seq), events.Seq(seq)
	return nil
}

// narrow reads which records are asked for.
func (s *subscriber) narrow(ctx context.Context, b *Backend, values url.Values) (err error) {
	q := eventsQuery{
		Account: values.Get("account"), Target: values.Get("target"), Kind: values.Get("kind"),
		Actor: values.Get("actor"), CorrelationID: values.Get("correlation_id"),
	}
	if s.filter, err = b.eventFilter(&q); err != nil {
		return err
	}
	return b.knows(ctx, s.filter.Filter, q.Account)
}

// run sends until the context ends, the feed ends, or the reader takes nothing more. A
// write that is under way when the context ends has little time left.
func (s *subscriber) run(ctx context.Context) error {
	cut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = s.control.SetWriteDeadline(time.Now().Add(farewellTime)) // a writer without deadlines never waits
		close(cut)
	})
	err := s.send(ctx)
	if stop() {
		return err
	}
	<-cut // a farewell gets a deadline of its own
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err // the request's context ends with a write that fails
}

func (s *subscriber) send(ctx context.Context) error {
	beat := time.NewTicker(streamHeartbeat)
	defer beat.Stop()
	if err := s.open(ctx); err != nil {
		return err
	}
	for {
		more, err := s.step(ctx)
		if err != nil {
			return err
		}
		select {
		case <-more:
		case <-beat.C:
			err = s.beat(ctx)
		case <-ctx.Done():
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

// open sends the headers, and to a client that named no record the seq that it can go
// on after if the stream breaks before there is one.
func (s *subscriber) open(ctx context.Context) error {
	x := s.answer
	x.streamed = true
	narrow(ctx, streamBuffer)
	// The bound on reading a request would end the request.
	_ = s.control.SetReadDeadline(time.Time{})
	h := x.Header()
	h["Content-Type"] = []string{"text/event-stream"}
	h["X-Accel-Buffering"] = []string{"no"} // of a proxy, which would keep events until it has many
	// The end of the stream is that of the connection, whose bounds are not those of other
	// answers any more. Chunks would take two more writes each.
	h["Connection"], h["Transfer-Encoding"] = []string{"close"}, []string{"identity"}
	x.WriteHeader(http.StatusOK)
	begin := fmt.Sprintf(": after record %d\n", s.at)
	if s.fresh {
		begin += fmt.Sprintf("id: %d\n", s.at)
	}
	return s.push(ctx, []byte(begin+"\n"), streamPatience)
}

// beat sends a comment, and how far the records were looked at, if the client cannot
// know: so it need not look at them again.
func (s *subscriber) beat(ctx context.Context) error {
	text := ": heartbeat\n"
	if s.at > s.told {
		s.told = s.at
		text += fmt.Sprintf("id: %d\n", s.at)
	}
	return s.push(ctx, []byte(text+"\n"), streamPatience)
}

// step sends a piece of what there is. The channel is closed when there is more.
func (s *subscriber) step(ctx context.Context) (<-chan struct{}, error) {
	buf := s.feed.buffers.Get().(*[]byte)
	defer s.feed.buffers.Put(buf)
	piece, more, err := s.feed.take((*buf)[:0], s)
	if errors.Is(err, errBehind) {
		piece, err = s.catchUp(ctx, piece)
	}
	if cap(piece) <= 2*streamPiece {
		*buf = piece
	}
	if err == nil && len(piece) > 0 {
		err = s.push(ctx, piece, streamPatience)
	}
	if more == nil {
		more = always()
	}
	return more, err
}

// always returns a channel that is closed.
func always() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// pick appends the frames that are asked for to buf, up to a piece, and moves on behind
// them. It reports whether it has come to their end.
func (s *subscriber) pick(buf []byte, frames []frame) (piece []byte, whole bool) {
	for _, x := range frames {
		if len(buf) > 0 && len(buf)+len(x.text) > streamPiece {
			return buf, false
		}
		s.at = x.record.Seq
		if s.filter.matches(x.record) {
			buf, s.told = append(buf, x.text...), s.at
		}
	}
	return buf, true
}

// catchUp appends a piece of frames from the log, for a reader who is behind those of
// the feed.
func (s *subscriber) catchUp(ctx context.Context, buf []byte) ([]byte, error) {
	if s.filter != (eventFilter{}) {
		return s.search(ctx, buf)
	}
	b := s.feed.block(s.at + 1)
	switch {
	case b == nil:
		return s.search(ctx, buf)
	case b.err != nil:
		return buf, b.err
	}
	i := slices.IndexFunc(b.frames, func(x frame) bool { return x.record.Seq > s.at })
	if i < 0 { // unreachable as long as no log begins later than its first record
		return s.search(ctx, buf)
	}
	buf, _ = s.pick(buf, b.frames[i:])
	return buf, nil
}

// search reads the log for what is asked for, and makes frames of that alone. After many
// records it returns without one.
func (s *subscriber) search(ctx context.Context, buf []byte) ([]byte, error) {
	b := s.feed.backend
	head, looked := b.Engine.State().Head().Seq, 0
	for r, err := range b.Engine.History(ctx, events.Query{Account: s.filter.Account, After: s.at, Before: head + 1}) {
		if err != nil {
			return buf, err
		}
		if len(buf) >= streamPiece || looked == maxScan {
			return buf, nil
		}
		looked++
		s.at = r.Seq
		if !s.filter.matches(r) {
			continue
		}
		s.told = r.Seq
		if buf, err = b.appendFrame(buf, r); err != nil {
			return buf, err
		}
	}
	s.at = head
	return buf, nil
}

// push sends a part of a stream at once, within a time of its own.
func (s *subscriber) push(ctx context.Context, part []byte, within time.Duration) error {
	// A writer without deadlines, as in tests, never waits.
	_ = s.control.SetWriteDeadline(time.Now().Add(within))
	if err := ctx.Err(); err != nil { // the deadline that goes with it may have been set before
		return err
	}
	n, err := s.answer.ResponseWriter.Write(part)
	s.answer.bytes += int64(n)
	if err != nil {
		return err
	}
	return s.control.Flush()
}

// farewell tells a reader why the stream ends, if it does not end by the reader.
func (s *Server) farewell(ctx context.Context, sub *subscriber, err error) {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.metrics.dropped.Inc()
		s.logger.InfoContext(ctx, "a stream was dropped: its reader took nothing", "token", sub.answer.token.Name,
			"peer", sub.answer.request.RemoteAddr, "for", streamPatience.String(), "seq", uint64(sub.at))
		return
	case errors.Is(err, errRevoked), errors.Is(err, errLoggedOut), errors.Is(err, errDraining), errors.Is(err, errEngineStopped):
	case sub.answer.request.Context().Err() != nil:
		return // the reader left
	default:
		s.logger.ErrorContext(ctx, "a stream failed", "error", err, "seq", uint64(sub.at))
		err = errors.New("the server failed; its log says why")
	}
	// An error is the connection's: nobody is left to tell.
	_ = sub.push(context.WithoutCancel(ctx), fmt.Appendf(nil, ": end: %v\n\n", err), farewellTime)
}
