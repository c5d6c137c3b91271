package plugin

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Host is the way back: what the plugin may ask its host.
type Host interface {
	// Call calls a method of the host and returns its answer. It may be called from any
	// goroutine, and must return an error once the host is gone.
	Call(method string, request []byte) ([]byte, error)
}

// maxLines bounds the lines that wait for the host's log.
const maxLines = 256

// hostLog is a slog.Handler whose lines end up in the host's log. The host is called by
// one goroutine: a line costs its writer nothing but a place in the queue.
type hostLog struct {
	*lines
	attrs []slog.Attr
	group string // the prefix of names, with its dot
}

// lines is what the handlers derived from one share.
type lines struct {
	host    Host
	queue   chan logRequest
	dropped atomic.Uint64
	stop    chan struct{} // closed to end run; of the current one
	ended   sync.WaitGroup
}

func newHostLog(h Host) *hostLog {
	return &hostLog{lines: &lines{host: h, queue: make(chan logRequest, maxLines)}}
}

// begin hands lines to the host from now on. Those from before it wait.
func (l *lines) begin() {
	l.stop = make(chan struct{})
	l.ended.Go(func() { l.run(l.stop) })
}

// end hands over what is queued, and no more.
func (l *lines) end() {
	close(l.stop)
	l.ended.Wait()
}

func (l *lines) run(stop <-chan struct{}) {
	for {
		select {
		case q := <-l.queue:
			l.send(q)
		case <-stop:
			for {
				select {
				case q := <-l.queue:
					l.send(q)
				default:
					return
				}
			}
		}
	}
}

// send hands one line to the host. That its log cannot be written leaves nobody to
// tell, and a host that panics on it must not take anything along.
func (l *lines) send(q logRequest) {
	defer func() { _ = recover() }()
	if n := l.dropped.Swap(0); n > 0 {
		q.Message += fmt.Sprintf(" (%d lines before it were dropped)", n)
	}
	doc, err := json.Marshal(q)
	if err == nil {
		_, _ = l.host.Call(methodLog, doc)
	}
}

// Enabled implements slog.Handler.
func (l *hostLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// Handle implements slog.Handler. The host's format shows few fields, so that the line
// holds all of it.
func (l *hostLog) Handle(_ context.Context, r slog.Record) error {
	text := []byte("abeyance: " + r.Message)
	for _, a := range l.attrs {
		text = appendAttr(text, a)
	}
	r.Attrs(func(a slog.Attr) bool {
		a.Key = l.group + a.Key
		text = appendAttr(text, a)
		return true
	})
	select {
	case l.queue <- logRequest{Level: levelOf(r.Level), Message: string(text)}:
	default:
		l.dropped.Add(1)
	}
	return nil
}

// appendAttr appends " key=value", quoted where it must be.
func appendAttr(text []byte, a slog.Attr) []byte {
	text = append(append(text, ' '), a.Key...)
	text = append(text, '=')
	value := a.Value.Resolve().String()
	if value == "" || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r == '"' || r == '=' || !strconv.IsPrint(r) }) {
		return strconv.AppendQuote(text, value)
	}
	return append(text, value...)
}

func levelOf(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "error"
	case l >= slog.LevelWarn:
		return "warn"
	default:
		return "info"
	}
}

// WithAttrs implements slog.Handler.
func (l *hostLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *l
	c.attrs = append(c.attrs[:len(c.attrs):len(c.attrs)], attrs...)
	for i := len(c.attrs) - len(attrs); i < len(c.attrs); i++ {
		c.attrs[i].Key = l.group + c.attrs[i].Key
	}
	return &c
}

// WithGroup implements slog.Handler.
func (l *hostLog) WithGroup(name string) slog.Handler {
	c := *l
	c.group += name + "."
	return &c
}
