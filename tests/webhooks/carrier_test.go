package webhooks

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// kills are when the receiver is killed: before a message is sent, some time while it is,
// when it is written down and not answered, and after the answer.
func kills() []string { return []string{"before", "during", "written", "after"} }

// carrier carries messages to the receiver, notes which answers came back, and kills the
// receiver now and then.
type carrier struct {
	receiver *receiver
	http     *http.Transport
	// lying: it says that a message was taken before it carries it.
	lying bool

	mu       sync.Mutex
	rand     *rand.Rand
	attempts int
	next     int // the attempt of the next kill; 0: no more
	turn     int // of the kinds of kills
	acked    []entry
	known    map[string]bool // ids that were acknowledged
	again    int             // attempts with such an id
	fired    map[string]int  // kills by when they came
	running  int             // goroutines of ours: kills and restarts to come
	idle     *sync.Cond      // on mu: running has fallen
}

func newCarrier(r *receiver, seed uint64) *carrier {
	c := &carrier{
		receiver: r, http: &http.Transport{}, rand: rand.New(rand.NewPCG(seed, 1)), next: 20,
		known: map[string]bool{}, fired: map[string]int{},
	}
	c.idle = sync.NewCond(&c.mu)
	return c
}

// aside runs something that peace waits for. No sync.WaitGroup: one may begin while another
// is waited for.
func (c *carrier) aside(f func()) {
	c.mu.Lock()
	c.running++
	c.mu.Unlock()
	go func() {
		f()
		c.mu.Lock()
		c.running--
		c.mu.Unlock()
		c.idle.Broadcast()
	}()
}

// RoundTrip implements http.RoundTripper.
func (c *carrier) RoundTrip(q *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, err
	}
	q = q.Clone(q.Context())
	q.Body = io.NopCloser(bytes.NewReader(body))
	e := entry{q.Header.Get("webhook-id"), body}
	when, after := c.plan(e.ID)
	switch when {
	case "before":
		c.kill(when)
	case "during":
		c.aside(func() {
			time.Sleep(after)
			c.kill(when)
		})
	case "written":
		q.Header.Set(holdHeader, "1")
		c.aside(func() {
			c.receiver.has(e.ID)
			c.kill(when)
		})
	}
	if c.lying {
		c.carryLater(q)
		c.taken(e)
		return &http.Response{StatusCode: http.StatusNoContent, Header: http.Header{}, Body: http.NoBody, Request: q}, nil
	}
	answer, err := c.http.RoundTrip(q)
	if err == nil && answer.StatusCode/100 == 2 {
		c.taken(e)
	}
	if when == "after" {
		c.kill(when)
	}
	return answer, err
}

// plan says whether and when the receiver is killed at this attempt.
func (c *carrier) plan(id string) (when string, after time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attempts++
	if c.known[id] {
		c.again++
	}
	if c.next == 0 || c.attempts < c.next {
		return "", 0
	}
	c.next = c.attempts + 5 + c.rand.IntN(60)
	c.turn++
	return kills()[c.turn%len(kills())], time.Duration(c.rand.IntN(3000)) * time.Microsecond
}

func (c *carrier) taken(e entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acked = append(c.acked, e)
	c.known[e.ID] = true
}

// carryLater carries a message once, whatever comes of it.
func (c *carrier) carryLater(q *http.Request) {
	q = q.WithContext(c.receiver.t.Context())
	c.aside(func() {
		if answer, err := c.http.RoundTrip(q); err == nil {
			answer.Body.Close()
		}
	})
}

// kill kills the receiver, and has it start again after a while.
func (c *carrier) kill(when string) {
	if !c.receiver.kill() {
		return
	}
	c.mu.Lock()
	c.fired[when]++
	wait := 20*time.Millisecond + time.Duration(c.rand.IntN(700))*time.Millisecond
	c.mu.Unlock()
	c.aside(func() {
		time.Sleep(wait)
		if err := c.receiver.start(); err != nil {
			c.receiver.t.Error(err)
		}
	})
}

// peace ends the kills, and returns when the receiver is up for good.
func (c *carrier) peace() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.next = 0; c.running > 0; {
		c.idle.Wait()
	}
}
