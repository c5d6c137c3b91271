package router

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/router/signal"
)

// Events as providers send them.
const (
	eventText  = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"an \\\"error\\\" is none\"}}\n\n"
	eventChat  = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hello\"}]}}]}\r\n\r\n"
	eventPing  = ": keep-alive\n\n"
	eventBusy  = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n"
	eventSpent = "data: " + quotaSpent + "\n\n"
	eventFine  = "data: {\"choices\":[],\"base_resp\":{\"status_code\":0,\"status_msg\":\"\"}}\n\n"
)

// passage is what became of the report of one body.
type passage struct {
	Reports int
	Class   events.Class
	Effect  events.Effect
	// Passed is how many bytes the client had when the report was made.
	Passed int
}

// passing lets a body pass through a Transport in the pieces that come, to a client
// that stops after upTo bytes, and tells what was reported of it. The account is
// cooling, so that a success is news; nothing is blocked in this mode.
func passing(t testing.TB, media string, pieces []string, upTo int) (string, passage) {
	t.Helper()
	p := newPool(t, setup{accounts: accounts(1, nil), observe: true})
	r := rigOver(p, func(*http.Request) (*http.Response, error) {
		resp := reply(200, "")
		resp.Header.Set("Content-Type", media)
		resp.Body = io.NopCloser(&inPieces{pieces: pieces})
		resp.ContentLength = -1
		return resp, nil
	})
	r.cool("a001", flash, 3600)
	before := p.engine.State().Head().Seq
	resp, err := r.RoundTrip(post(t, `{"model":"`+flash+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	v := passage{}
	note := func() {
		if h := p.engine.State().Head().Seq; h > before {
			v.Reports += int(h - before)
			before, v.Passed = h, got.Len()
		}
	}
	buf := make([]byte, 4096)
	for got.Len() < upTo {
		n, err := resp.Body.Read(buf)
		note() // a report that this read made came before its bytes
		got.Write(buf[:n])
		if err != nil {
			break
		}
	}
	resp.Body.Close()
	note()
	for rec, err := range p.engine.History(t.Context(), events.Query{Newest: true}) {
		if err != nil {
			t.Fatal(err)
		}
		switch e := rec.Event.(type) {
		case *events.Recovered:
			v.Class, v.Effect = events.ClassOK, events.EffectRecovered
		case *events.LimitObserved:
			v.Class, v.Effect = e.Class, e.Effect
		}
		break
	}
	if v.Reports == 0 {
		v.Class, v.Effect = "", ""
	}
	return got.String(), v
}

// inPieces gives one piece per read, and the end with a read of its own.
type inPieces struct{ pieces []string }

func (r *inPieces) Read(p []byte) (int, error) {
	if len(r.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.pieces[0])
	if r.pieces[0] = r.pieces[0][n:]; r.pieces[0] == "" {
		r.pieces = r.pieces[1:]
	}
	return n, nil
}

const (
	sse  = "text/event-stream; charset=utf-8"
	jsn  = "application/json"
	full = 1 << 30
)

func TestTransportWatchesStreams(t *testing.T) {
	limit := func(seen int) passage {
		return passage{1, events.ClassQuotaExhausted, events.EffectExtended, seen}
	}
	served := func(seen int) passage { return passage{1, events.ClassOK, events.EffectRecovered, seen} }
	long := "data: {\"text\":\"" + strings.Repeat("x", 200<<10) + "\"}\n\n"
	for name, c := range map[string]struct {
		media  string
		pieces []string
		upTo   int
		want   passage
	}{
		"served":                        {sse, []string{eventText, eventPing, eventChat}, full, served(len(eventText + eventPing + eventChat))},
		"an error, after it passed":     {sse, []string{eventText, eventSpent, eventText}, full, limit(len(eventText + eventSpent))},
		"an error in pieces":            {sse, []string{eventText + eventSpent[:40], eventSpent[40:200], eventSpent[200:] + eventText}, full, limit(len(eventText + eventSpent + eventText))},
		"an error among others":         {sse, []string{eventPing + eventText + eventSpent + eventText, eventText}, full, limit(len(eventPing + eventText + eventSpent + eventText))},
		"the first error counts":        {sse, []string{eventSpent, eventBusy}, full, limit(len(eventSpent))},
		"an error at the end, cut off":  {sse, []string{eventText, strings.TrimSpace(eventSpent)}, full, limit(len(eventText + strings.TrimSpace(eventSpent)))},
		"closed behind the error":       {sse, []string{eventText, eventSpent, eventText}, len(eventText + eventSpent), limit(len(eventText + eventSpent))},
		"carriage returns":              {sse, []string{eventChat, strings.ReplaceAll(eventSpent, "\n", "\r\n"), eventChat}, full, limit(len(eventChat+eventSpent) + 2)},
		"an error behind a long event":  {sse, []string{long, eventSpent, eventText}, full, limit(len(long + eventSpent))},
		"a status of its own, none bad": {sse, []string{eventFine, eventFine}, full, served(2 * len(eventFine))},
		"closed by the client":          {sse, []string{eventText, eventText}, len(eventText), served(len(eventText))},
		"closed before anything":        {sse, []string{eventText}, 0, passage{}},
		"closed while waiting":          {sse, []string{eventPing, eventPing, eventText}, len(eventPing), passage{}},
		"nothing at all":                {sse, nil, full, served(0)},
		"JSON, served":                  {jsn, []string{hello[:9], hello[9:]}, full, served(len(hello))},
		"JSON, closed by the client":    {jsn, []string{hello[:9], hello[9:]}, 9, served(9)},
		"JSON with an error":            {jsn, []string{quotaSpent}, full, limit(len(quotaSpent))},
		"JSON labelled as a stream":     {sse, []string{"\r\n", quotaSpent}, full, limit(2 + len(quotaSpent))},
		"a stream without its label":    {"", []string{eventText, eventSpent}, full, limit(len(eventText + eventSpent))},
		"bytes":                         {"audio/mpeg", []string{"\xff\xfb\x90\x00", long}, full, served(4 + len(long))},
	} {
		t.Run(name, func(t *testing.T) {
			body, got := passing(t, c.media, append([]string(nil), c.pieces...), c.upTo)
			if whole := strings.Join(c.pieces, ""); body != whole[:len(body)] || c.upTo == full && body != whole {
				t.Errorf("the client got %d bytes, which are not those sent", len(body))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// failureIn returns the error event that a watched body shows, with no pool behind it.
func failureIn(media string, pieces []string) string {
	resp := reply(200, "")
	resp.Header.Set("Content-Type", media)
	w := watch(&observer{seen: signal.Observation{Provider: provider, Model: flash, Status: 200}}, resp)
	for _, p := range pieces {
		w.see([]byte(p))
	}
	w.event(w.o, w.look.kept)
	return string(w.look.failure)
}

// However a stream is cut into pieces, the first error event is found, and is the
// one that a reader of whole streams finds.
func TestTransportWatchesStreamsInAnyPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.SampledFrom([]string{
			eventText, eventChat, eventPing, eventBusy, eventSpent, eventFine, "\n", "\r\n", "id: 7\n\n", "data: a\ndata: b\n\n",
		}), 0, 12).Draw(t, "events")
		want := ""
		for _, e := range list {
			if e == eventBusy || e == eventSpent {
				want = e
				break
			}
		}
		rest := strings.Join(list, "")
		var pieces []string
		for rest != "" {
			n := rapid.IntRange(1, min(len(rest), 300)).Draw(t, "piece")
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		if got := strings.TrimLeft(failureIn(sse, pieces), "\r\n"); got != want {
			t.Fatalf("found %q, want %q", got, want)
		}
	})
}

func TestTransportWatchingAllocatesNothing(t *testing.T) {
	resp := reply(200, strings.Repeat(eventText+eventChat+eventPing, 2000))
	resp.Header.Set("Content-Type", sse)
	w := watch(&observer{seen: signal.Observation{Provider: provider, Model: flash, Status: 200, Header: resp.Header}}, resp)
	buf := make([]byte, 100) // so that nearly every event comes in pieces
	n := testing.AllocsPerRun(2000, func() {
		if _, err := w.Read(buf); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations for a piece", n)
	}
	if len(w.look.failure) > 0 {
		t.Errorf("found %q", w.look.failure)
	}
}

// A body is bounded in memory, whatever it is.
func TestTransportWatchingIsBounded(t *testing.T) {
	for _, media := range []string{sse, jsn} {
		resp := reply(200, "")
		resp.Header.Set("Content-Type", media)
		w := watch(&observer{seen: signal.Observation{Status: 200}}, resp)
		piece := []byte("data: " + strings.Repeat("x", 8000))
		for range 100 {
			w.see(piece)
		}
		if len(w.look.kept) != maxKept || cap(w.look.kept) > 2*maxKept {
			t.Errorf("%s: %d bytes are kept in %d", media, len(w.look.kept), cap(w.look.kept))
		}
	}
}

// pausing is a body whose reads wait for it to be closed.
type pausing struct {
	first  io.Reader
	closed chan struct{}
}

func (p *pausing) Read(b []byte) (int, error) {
	if n, err := p.first.Read(b); err == nil {
		return n, nil
	}
	<-p.closed
	return 0, errors.New("read on closed body")
}

func (p *pausing) Close() error {
	close(p.closed)
	return nil
}

// A body may be closed while a read of it waits; the report is made once.
func TestTransportCloseEndsARead(t *testing.T) {
	r := newRig(t, 1, func(*http.Request) (*http.Response, error) {
		resp := reply(200, "")
		resp.Header.Set("Content-Type", sse)
		resp.Body = &pausing{strings.NewReader(eventSpent), make(chan struct{})}
		return resp, nil
	})
	resp, err := r.RoundTrip(post(t, `{"model":"`+opus+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	if _, err := resp.Body.Read(buf); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := resp.Body.Read(buf); err == nil {
			t.Error("a read of a closed body succeeded")
		}
	})
	resp.Body.Close()
	wg.Wait()
	if n := len(r.limits()); n != 1 {
		t.Errorf("%d limits recorded", n)
	}
}

// A connection that breaks in the middle of an answer is no limit. The account was
// serving, though, which a cooldown does not survive.
func TestRule15BrokenStream(t *testing.T) {
	for first, want := range map[string]int{eventText: 1, eventPing: 0} {
		r := rigOver(newPool(t, setup{accounts: accounts(1, nil), observe: true}), func(*http.Request) (*http.Response, error) {
			resp := reply(200, "")
			resp.Header.Set("Content-Type", sse)
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(first), iotest.ErrReader(io.ErrUnexpectedEOF)))
			return resp, nil
		})
		r.cool("a001", opus, 3600)
		r.tick(time.Minute)
		resp, err := r.RoundTrip(post(t, `{"model":"`+opus+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(resp.Body); string(b) != first || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("read %q, %v", b, err)
		}
		resp.Body.Close()
		if limits, recovered := len(r.limits()), len(recordsOf[*events.Recovered](r.pool)); limits != 1 || recovered != want {
			t.Errorf("after %q: %d limits and %d recoveries recorded, want 1 and %d", first, limits, recovered, want)
		}
	}
}

func TestRule15OperationsOfAnswers(t *testing.T) {
	for path, want := range map[string]int{"/v1/messages": 1, "/v1/messages/count_tokens": 0} {
		r := rigOver(newPool(t, setup{accounts: accounts(1, nil), observe: true}), by(nil))
		r.cool("a001", opus, 3600)
		q := post(t, `{"model":"`+opus+`"}`)
		q.URL.Path = path
		resp, err := r.RoundTrip(q)
		if err != nil {
			t.Fatal(err)
		}
		readAnswer(t, resp)
		if n := len(recordsOf[*events.Recovered](r.pool)); n != want {
			t.Errorf("%s: %d recoveries, want %d", path, n, want)
		}
	}
}
