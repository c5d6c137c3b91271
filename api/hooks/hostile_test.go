package hooks

import (
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/abeyance/abeyance/projection"
)

// says answers every connection with some bytes, which need be no HTTP.
func says(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 1024))
			_, _ = io.WriteString(c, text)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return "http://" + l.Addr().String() + "/hook"
}

// What a receiver answers is hostile: errors quote it, and the log shows errors.
func TestWhatAReceiverAnswersIsNotQuotedAsItIs(t *testing.T) {
	long := strings.Repeat("x", 8<<10)
	for name, text := range map[string]string{
		"no HTTP":          "bob@example.com " + long + "\r\n\r\n",
		"no status":        "HTTP/1.1 bob@example.com\r\n\r\n",
		"no location":      "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: http://[bob@example.com" + long + "\r\n\r\n",
		"no header at all": "HTTP/1.1 200 OK\r\nbob@example.com " + long + "\r\n\r\n",
	} {
		s := newSender(hookAt(t, says(t, text)), nil)
		a := s.send(t.Context(), "msg_x", nil)
		if a.outcome == outcomeDelivered || strings.Contains(a.text, "example.com") || len(a.text) > maxAnswerText {
			t.Errorf("%s: %s, %.200q (%d bytes)", name, a.outcome, a.text, len(a.text))
		}
		if name == "no location" && a.outcome != outcomeRedirected {
			t.Errorf("%s is %+v", name, a)
		}
		s.close()
	}
}

// hooks that change end together, so that a reload waits for one that hangs, and not for
// each.
func TestSetEndsHooksTogether(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *house) {
		var hooks []Hook
		for i := range MaxHooks {
			hook := h.hook(projection.NoticeFrozen)
			hook.Name = "ops" + strings.Repeat("x", i)
			hooks = append(hooks, hook)
		}
		h.start(hooks...)
		for _, w := range h.notifier.list() {
			w.sender.transport = hanging{}
		}
		h.freeze("a1", 100*time.Hour)
		time.Sleep(time.Second)
		synctest.Wait()
		began := h.now()
		if err := h.notifier.Set(nil); err != nil {
			t.Fatal(err)
		}
		if took := h.now().Sub(began); took > 2*lastGrace {
			t.Errorf("it took %s", took)
		}
	})
}
