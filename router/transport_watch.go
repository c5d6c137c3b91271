package router

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/router/signal"
)

// maxKept is how much of a body is kept while it passes: of a stream the event under
// way, of any other body its beginning. Classifying looks at no more.
const maxKept = signal.MaxBody

// watched is the body of a success on its way to the client. Each read is one read of
// the provider's body, into the client's memory; what came is looked at afterwards.
type watched struct {
	body io.ReadCloser

	mu     sync.Mutex
	o      *observer // guarded by mu; nil once the report is made
	look   look      // guarded by mu
	stream bool      // the answer says it is a stream
}

// look is what a body has shown so far.
type look struct {
	form    bodyForm
	content bool   // something that a client asked for has passed
	failure []byte // the error event that passed; nil: none
	kept    []byte // of the event under way, or of the whole body
	blank   bool   // the line under way is empty so far
}

// bodyForm is how a body is looked at; its first byte that is no space decides.
type bodyForm uint8

const (
	formUnknown bodyForm = iota
	formStream           // server-sent events, one by one
	formWhole            // its beginning, at its end
)

func watch(o *observer, resp *http.Response) *watched {
	media := resp.Header.Get("Content-Type")
	return &watched{
		body: resp.Body, o: o, look: look{blank: true},
		stream: len(media) >= len(mediaStream) && strings.EqualFold(media[:len(mediaStream)], mediaStream),
	}
}

const mediaStream = "text/event-stream"

// Read implements io.Reader. An error event is reported with the read after the one
// that passed it on, so that the client does not wait for the log.
func (w *watched) Read(p []byte) (int, error) {
	w.settle(func(l *look) bool { return l.failure != nil })
	n, err := w.body.Read(p)
	w.mu.Lock()
	if w.o != nil {
		w.see(p[:n])
	}
	w.mu.Unlock()
	if err != nil {
		w.settle(func(l *look) bool {
			l.content = l.content || err == io.EOF // an end that was meant is an answer, even an empty one
			return true
		})
	}
	return n, err
}

// Close implements io.Closer. A body may be closed while a read waits, which ends
// that read.
func (w *watched) Close() error {
	err := w.body.Close()
	w.settle(func(*look) bool { return true })
	return err
}

// settle makes the report if it is time to, once.
func (w *watched) settle(due func(*look) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.o == nil || !due(&w.look) {
		return
	}
	o, l := w.o, &w.look
	w.o = nil
	if l.form == formStream && l.failure == nil {
		w.event(o, l.kept) // the end of the body ends the event under way
	}
	switch {
	case l.failure != nil:
		o.report(l.failure)
	case !l.content:
		o.release()
	case l.form == formWhole:
		o.report(l.kept)
	default:
		o.report(nil)
	}
	l.kept = nil
}

// see looks at bytes that pass.
func (w *watched) see(p []byte) {
	l := &w.look
	if l.form == formUnknown {
		if p = bytes.TrimLeft(p, " \t\r\n\xef\xbb\xbf"); len(p) == 0 {
			return
		}
		l.form = formWhole
		if w.stream && p[0] != '{' && p[0] != '[' && p[0] != '<' {
			l.form = formStream
		}
	}
	switch {
	case l.failure != nil:
	case l.form == formWhole:
		l.content = true
		l.keep(p)
	default:
		w.lines(p)
	}
}

// lines cuts a stream into events, each of which ends with an empty line. Events
// that lie in one piece are looked at where they are.
func (w *watched) lines(p []byte) {
	l, start := &w.look, 0
	for from := 0; from < len(p); {
		line := p[from:]
		end := bytes.IndexByte(line, '\n')
		if end >= 0 {
			line = line[:end]
		}
		l.blank = l.blank && (len(line) == 0 || len(line) == 1 && line[0] == '\r')
		if end < 0 {
			break
		}
		from += end + 1
		if l.blank {
			piece := p[start:from]
			if len(l.kept) > 0 {
				l.keep(piece)
				piece = l.kept
			}
			w.event(w.o, piece)
			l.kept, start = l.kept[:0], from
		}
		l.blank = true
	}
	l.keep(p[start:])
}

// keep adds to what is kept, up to the bound.
func (l *look) keep(p []byte) {
	l.kept = append(l.kept, p[:min(len(p), maxKept-len(l.kept))]...)
}

// event looks at one event of a stream. Comments, which keep connections open, are
// no content.
func (w *watched) event(o *observer, data []byte) {
	l := &w.look
	l.content = l.content || bytes.Contains(data, []byte("data:"))
	if l.failure != nil {
		return
	}
	seen := o.seen
	seen.Body = data
	if signal.Classify(seen).Class != events.ClassOK {
		l.failure = slices.Clone(data)
	}
}
