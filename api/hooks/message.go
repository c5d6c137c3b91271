package hooks

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
)

// Message is the body of a delivery.
type Message struct {
	Type      string   `json:"type"`
	Timestamp api.Time `json:"timestamp"` // of what it tells
	Data      any      `json:"data"`      // *News, or *Digest
}

// Types of messages that are not of one notice.
const (
	TypeDigest = "digest"
	TypeTest   = "test"
)

// News is one thing that is told.
type News struct {
	Hook  string `json:"hook"`
	LogID string `json:"log_id"`
	// Notice is its kind, in the words of the configuration.
	Notice string `json:"notice"`
	// Key is the same for the beginning and the end of one freeze, hold or suspension,
	// and of one group for ever.
	Key string `json:"key"`
	// Seq is the newest record when it happened.
	Seq      uint64 `json:"seq"`
	Provider string `json:"provider,omitempty"`
	Account  string `json:"account,omitempty"` // the stored id, unless given_ids
	Target   string `json:"target,omitempty"`
	Group    string `json:"group,omitempty"`
	Class    string `json:"class,omitempty"`
	Reason   string `json:"reason,omitempty"`
	By       string `json:"by,omitempty"`
	// Since is null where it is not known.
	Since api.Time `json:"since"`
	// Until is when it ends by itself; null: it does not.
	Until api.Time `json:"until"`
	Why   string   `json:"why"` // one plain sentence
	// Over: it has ended; EndedAt and How tell when and in which way. Ended says it in
	// words, if Why says why it began.
	Over    bool     `json:"over"`
	EndedAt api.Time `json:"ended_at"`
	How     string   `json:"how,omitempty"`
	Ended   string   `json:"ended,omitempty"`
	// ObserveOnly: nothing is blocked; it says what would be.
	ObserveOnly bool `json:"observe_only,omitempty"`
}

// Digest is several things that are over.
type Digest struct {
	Hook    string       `json:"hook"`
	LogID   string       `json:"log_id"`
	Count   int          `json:"count"`
	Notices []DigestNews `json:"notices"`
}

// DigestNews is one of them, with the type that it would have alone.
type DigestNews struct {
	Type      string   `json:"type"`
	Timestamp api.Time `json:"timestamp"`
	News
}

// typeOf is the type of a message of one item.
func typeOf(x *item) string {
	what := map[projection.NoticeKind][2]string{
		projection.NoticeExhausted: {"group.exhausted", "group.recovered"},
		projection.NoticeFrozen:    {"cell.frozen", "cell.recovered"},
		projection.NoticeHeld:      {"cell.held", "cell.recovered"},
		projection.NoticeSuspended: {"cell.suspended", "cell.recovered"},
		projection.NoticeClamped:   {"hint.clamped", ""},
		projection.NoticeDegraded:  {"engine.degraded", "engine.recovered"},
	}[x.first().Kind]
	if x.start == nil {
		return what[1]
	}
	return what[0]
}

// writer writes messages of one hook.
type writer struct {
	hook     *Hook
	log      string
	ids      *identity.Book // nil: ids as stored
	observes bool
}

// message returns the id and the body of a message.
func (w *writer) message(items []*item) (id string, body []byte, err error) {
	if len(items) == 1 {
		body, err = json.Marshal(Message{typeOf(items[0]), api.Time{Time: items[0].first().At}, w.news(items[0])})
		return w.id(items), body, err
	}
	d := &Digest{Hook: w.hook.Name, LogID: w.log, Count: len(items)}
	for _, x := range items {
		d.Notices = append(d.Notices, DigestNews{typeOf(x), api.Time{Time: x.first().At}, *w.news(x)})
	}
	body, err = json.Marshal(Message{TypeDigest, api.Time{Time: items[len(items)-1].first().At}, d})
	return w.id(items), body, err
}

// id is that of the message that says just this, and always the same: what a receiver
// has seen before it knows by it.
func (w *writer) id(items []*item) string {
	h := sha256.New()
	h.Write([]byte(w.hook.Name))
	for _, x := range items {
		for _, n := range []*projection.Notice{x.start, x.end} {
			if n != nil {
				h.Write([]byte(n.ID(w.log)))
			}
		}
	}
	return "msg_" + hex.EncodeToString(h.Sum(nil)[:16])
}

func (w *writer) news(x *item) *News {
	n := x.first()
	out := &News{
		Hook: w.hook.Name, LogID: w.log, Notice: string(n.Kind), Key: n.Key(w.log), Seq: uint64(n.Seq), Provider: n.Provider,
		Account: w.given(n.Account), Target: n.Target, Group: n.Group, Class: string(n.Class), Reason: n.Reason, By: n.Actor,
		Since: api.Time{Time: n.Since}, Until: api.Time{Time: n.Until}, Why: w.show(n.Sentence), ObserveOnly: w.observes,
	}
	if x.end != nil {
		out.Over, out.EndedAt, out.How = true, api.Time{Time: x.end.At}, string(x.end.How)
		if x.start != nil {
			out.Ended = w.show(x.end.Sentence)
		}
	}
	return out
}

func (w *writer) given(account string) string {
	if !w.hook.GivenIDs {
		return account
	}
	return w.ids.Given(account)
}

func (w *writer) show(text string) string {
	if !w.hook.GivenIDs {
		return text
	}
	return w.ids.Show(text)
}

// testMessage is a message that tells nothing.
func testMessage(h *Hook, now time.Time) (id string, body []byte, err error) {
	body, err = json.Marshal(Message{TypeTest, api.Time{Time: now}, map[string]string{
		"hook": h.Name, "why": "This is a test of the webhook " + h.Name + "; nothing has happened.",
	}})
	sum := sha256.Sum256([]byte(h.Name + now.Format(time.RFC3339Nano)))
	return "msg_" + hex.EncodeToString(sum[:16]), body, err
}
