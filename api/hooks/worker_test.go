package hooks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/events/eventstest"
	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/projection/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver takes messages without a network, so that time may be that of a test.
type receiver struct {
	mu sync.Mutex
	// answer gives the status of the n-th attempt, from 1, or an error for no answer; nil:
	// always 200.
	answer   func(n int) (status int, header http.Header, err error)
	attempts []attempt
}

// attempt is what was sent once.
type attempt struct {
	at     time.Time
	id     string
	kind   string // the type of the message
	body   []byte
	news   News
	digest Digest
	taken  bool
}

func (r *receiver) RoundTrip(q *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a := attempt{at: time.Now(), id: q.Header.Get("webhook-id"), body: body}
	var m struct {
		Type string
		Data json.RawMessage
	}
	err = json.Unmarshal(body, &m)
	if err == nil && m.Type == TypeDigest {
		err = json.Unmarshal(m.Data, &a.digest)
	} else if err == nil {
		err = json.Unmarshal(m.Data, &a.news)
	}
	if err != nil {
		return nil, err
	}
	a.kind = m.Type
	status, header := 200, http.Header{}
	if r.answer != nil {
		if status, header, err = r.answer(len(r.attempts) + 1); header == nil {
			header = http.Header{}
		}
	}
	a.taken = err == nil && status/100 == 2
	r.attempts = append(r.attempts, a)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Header: header, Body: http.NoBody, Request: q}, nil
}

// taken lists what was acknowledged, in a word each.
func (r *receiver) taken() (list []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.attempts {
		if !a.taken {
			continue
		}
		text := a.kind + " " + a.news.Account + a.news.Target
		if a.kind == TypeDigest {
			text = fmt.Sprintf("digest of %d", a.digest.Count)
		} else if a.news.Account == "" {
			text = a.kind + " " + a.news.Group
		}
		if a.news.Over {
			text += " over"
		}
		list = append(list, text)
	}
	return list
}

func (r *receiver) wants(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, r.taken()); diff != "" {
		t.Errorf("taken otherwise:\n%s", diff)
	}
}

func (r *receiver) answers(f func(n int) (int, http.Header, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

func down(int) (int, http.Header, error) { return 0, nil, errors.New("connection refused") }

// house is an engine on a log in memory with a notifier, in a bubble.
type house struct {
	t        *testing.T
	log      events.Log
	engine   *projection.Engine
	path     string
	receiver *receiver
	notifier *Notifier
	book     *identity.Book
	registry *prometheus.Registry
	logs     *lockedBuffer
	ahead    atomic.Int64 // how far the engine's clock is ahead
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// inBubble runs a test on an engine with the accounts a1 to a4 of antigravity. A nil log
// is a new one in memory.
func inBubble(t *testing.T, log events.Log, test func(t *testing.T, h *house)) {
	synctest.Test(t, func(t *testing.T) {
		if log == nil {
			log = eventstest.New()
		}
		h := &house{
			t: t, log: log, path: filepath.Join(t.TempDir(), FileName), receiver: &receiver{}, book: identity.New(),
			registry: prometheus.NewRegistry(), logs: &lockedBuffer{},
		}
		o := &projection.Options{Now: h.now, Policy: &projection.PolicyConfig{
			RulesConfig: projection.RulesConfig{QuotaExhausted: &projection.ClassConfig{Jitter: new(projection.Duration(0))}},
		}}
		for _, id := range []string{"a1", "a2", "a3", "a4"} {
			o.Accounts = append(o.Accounts, projection.PutAccount{ID: id, Spec: events.AccountSpec{Provider: "antigravity"}})
		}
		var err error
		if h.engine, err = projection.Open(t.Context(), log, o); err != nil {
			t.Fatal(err)
		}
		defer h.engine.Close()
		defer func() {
			if h.notifier != nil {
				h.notifier.Close()
			}
		}()
		test(t, h)
	})
}

func (h *house) now() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) }

// hook returns a hook for kinds.
func (h *house) hook(on ...projection.NoticeKind) Hook {
	return Hook{
		Name: "ops", URL: "https://hooks.example.com/T0KEN", Secret: mustSecret(h.t, publishedSecret), Version: "test",
		Filter: projection.NoticeFilter{On: on},
	}
}

// start opens a notifier with a hook.
func (h *house) start(hooks ...Hook) {
	h.t.Helper()
	var err error
	h.notifier, err = Open(Options{
		Engine: h.engine, Path: h.path, Identities: h.book, Transport: h.receiver, Registerer: h.registry,
		Logger: slog.New(slog.NewTextHandler(h.logs, nil)),
	})
	if err == nil {
		err = h.notifier.Set(hooks)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) stop() {
	h.notifier.Close()
	h.notifier = nil
}

func (h *house) do(do projection.Intent) error {
	h.t.Helper()
	_, err := h.engine.Execute(context.Background(), projection.Command{
		Origin: events.Origin{Actor: "operator:ops", Via: events.ViaGo}, Do: do,
	})
	return err
}

// freeze cools the claude group of an account.
func (h *house) freeze(account string, d time.Duration) {
	h.t.Helper()
	err := h.do(&projection.Report{
		Account: account, Provider: "antigravity", Model: "claude-opus-4-6", Status: 429, StartedAt: time.Now(),
		Signal: events.Signal{
			Class: events.ClassQuotaExhausted, Scope: events.ScopeGroup, Rule: "test/rule", Classifier: 1,
			Hints: []events.Hint{{Source: "h", Raw: d.String(), Seconds: d.Seconds()}},
		},
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) clear(account string) {
	h.t.Helper()
	if err := h.do(&projection.Clear{Filter: projection.Filter{Account: account, Target: "claude"}}); err != nil {
		h.t.Fatal(err)
	}
}

// figure is the value of a metric of the hook ops, with a result if there is one.
func (h *house) figure(name, result string) float64 {
	h.t.Helper()
	families, err := h.registry.Gather()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if f.GetName() == name && labels["webhook"] == "ops" && labels["result"] == result {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return -1
}

func TestAHookIsToldFromTheHeadOn(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *house) {
		h.freeze("a1", time.Hour)
		h.start(h.hook(projection.NoticeFrozen, projection.NoticeRecovered))
		time.Sleep(time.Second)
		h.receiver.wants(t)
		h.freeze("a2", 30*time.Minute)
		time.Sleep(time.Second)
		h.receiver.wants(t, "cell.frozen a2claude")
		time.Sleep(2 * time.Hour) // both end, whether or not they were told of
		h.receiver.wants(t, "cell.frozen a2claude", "cell.recovered a2claude over", "cell.recovered a1claude over")
		a := h.receiver.attempts[0]
		if !strings.HasPrefix(a.id, "msg_") || a.news.Key == "" || a.news.Key != h.receiver.attempts[1].news.Key || a.id == h.receiver.attempts[1].id {
			t.Errorf("ids %s and %s, keys %s and %s", a.id, h.receiver.attempts[1].id, a.news.Key, h.receiver.attempts[1].news.Key)
		}
		if want := "claude on a2 is frozen until 2000-01-01 00:30:01 UTC, in 30m, because claude-opus-4-6 was answered quota_exhausted, with the reset that h gives"; !strings.HasPrefix(a.news.Why, want) {
			t.Errorf("told %q, want %q", a.news.Why, want)
		}
		if h.figure("abeyance_webhook_deliveries_total", "delivered") != 3 || h.figure("abeyance_webhook_lag_records", "") != 0 {
			t.Error("the metrics do not say so")
		}
	})
}

func TestAMessageIsExactlyThis(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *house) {
		h.start(h.hook(projection.NoticeFrozen))
		h.freeze("a2", 30*time.Minute)
		time.Sleep(time.Second)
		synctest.Wait()
		want := `{"type":"cell.frozen","timestamp":"2000-01-01T00:00:00.000Z","data":{"hook":"ops","log_id":"memory","notice":"frozen",` +
			`"key":"8782371a241f2ba1","seq":7,"provider":"antigravity","account":"a2","target":"claude","group":"claude",` +
			`"class":"quota_exhausted","since":"2000-01-01T00:00:00.000Z","until":"2000-01-01T00:30:00.000Z",` +
			`"why":"claude on a2 is frozen until 2000-01-01 00:30:00 UTC, in 30m, because claude-opus-4-6 was answered quota_exhausted, with the reset that h gives (record 7).",` +
			`"over":false,"ended_at":null}}`
		if diff := cmp.Diff(want, string(h.receiver.attempts[0].body)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestBackoffWhileAReceiverIsDown(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *house) {
		h.receiver.answers(down)
		h.start(h.hook(projection.NoticeFrozen))
		h.freeze("a1", 100*time.Hour)
		time.Sleep(48 * time.Hour)
		synctest.Wait()
		h.receiver.mu.Lock()
		n, ids := len(h.receiver.attempts), map[string]bool{}
		for i, a := range h.receiver.attempts {
			ids[a.id] = true
			if i == 0 {
				continue
			}
			full := maxBackoff
			if i < 16 {
				full = min(firstBackoff<<(i-1), maxBackoff)
			}
			if wait := a.at.Sub(h.receiver.attempts[i-1].at); wait < full/2 || wait > full {
				t.Errorf("attempt %d came after %s, want %s to %s", i+1, wait, full/2, full)
			}
		}
		h.receiver.mu.Unlock()
		if n < 48*60/5 || n > 48*60*60/100 || len(ids) != 1 {
			t.Errorf("%d attempts with %d ids", n, len(ids))
		}
		if lines := strings.Count(h.logs.String(), "cannot be delivered"); lines == 0 || lines > n/logEvery+1 {
			t.Errorf("%d lines about %d failures", lines, n)
		}
		if strings.Contains(h.logs.String(), "T0KEN") {
			t.Error("the log shows the address")
		}
		h.receiver.answers(nil)
		time.Sleep(maxBackoff)
		h.receiver.wants(t, "cell.frozen a1claude")
	})
}

func TestAnErrorThenAnAnswer(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *house) {
		h.receiver.answers(func(n int) (int, http.Header, error) {
			switch n {
			case 1:
				return 500, nil, nil
			case 2:
				return 503, http.Header{"Retry-After": {"600"}}, nil
			case 3:
				return 302, http.Header{"Location": {"https://elsewhere.example.com"}}, nil
			case 4:
				return 404, http.Header{"Retry-After": {"9999999"}}, nil
			}
			return 200, nil, nil
		})
		h.start(h.hook(projection.NoticeFrozen))
		h.freeze("a1", 100*time.Hour)
		time.Sleep(3 * time.Hour)
		h.receiver.wants(t, "cell.frozen a1claude")
		a := h.receiver.attempts
		if len(a) != 5 || a[2].at.Sub(a[1].at) != 10*time.Minute || a[4].at.Sub(a[3].at) != maxRetryAfter {
			t.Errorf("%d attempts: %v", len(a), a)
		}
		for result, want := range map[string]float64{"failed": 2, "redirected": 1, "refused": 1, "delivered": 1, "gone": 0, "timeout": 0} {
			if got := h.figure("abeyance_webhook_deliveries_total", result); got != want {
				t.Errorf("%v %s, want %v", got, result, want)
			}
		}
	})
}

// After days without a receiver there is no storm: what is over comes in digests, and
// what goes on alone.
func TestNoStormAfterDaysWithoutAReceiver(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *house) {
		h.receiver.answers(down)
		h.start(h.hook(projection.NoticeFrozen, projection.NoticeRecovered, projection.NoticeExhausted))
		const rounds = 100
		for range rounds {
			for _, id := range []string{"a1", "a2", "a3"} {
				h.freeze(id, 10*time.Minute)
			}
			time.Sleep(time.Hour)
		}
		h.freeze("a4", 10*time.Hour)
		h.freeze("a1", 10*time.Hour)
		time.Sleep(5 * time.Minute)
		h.receiver.answers(nil)
		time.Sleep(maxBackoff)
		var want []string
		for left := 3 * rounds; left > 0; left -= maxDigest {
			want = append(want, fmt.Sprintf("digest of %d", min(left, maxDigest)))
		}
		h.receiver.wants(t, append(want, "cell.frozen a4claude", "cell.frozen a1claude")...)
		last := uint64(0)
		for _, a := range h.receiver.attempts {
			if len(a.body) > 32<<10 {
				t.Errorf("a message of %d bytes", len(a.body))
			}
			for _, n := range a.digest.Notices {
				if n.Type != "cell.frozen" || !n.Over || n.How != "expired" || n.Ended == "" || n.Seq < last {
					t.Fatalf("a digest has %+v after record %d", n, last)
				}
				if a.taken {
					last = n.Seq
				}
			}
		}
	})
}

// TestRestartsNeitherLoseNorRepeat: a notifier is closed and opened again, at times while
// its receiver is down; what is over meanwhile is told with its beginning or alone.
func TestRestartsNeitherLoseNorRepeat(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *house) {
		hook := h.hook(projection.NoticeFrozen, projection.NoticeRecovered)
		h.start(hook)
		h.freeze("a1", time.Hour)
		time.Sleep(time.Second)
		h.stop()
		h.freeze("a2", time.Hour)
		h.start(hook)
		time.Sleep(time.Second)
		h.receiver.wants(t, "cell.frozen a1claude", "cell.frozen a2claude")
		h.receiver.answers(down)
		h.freeze("a3", time.Hour)
		h.freeze("a4", time.Hour)
		time.Sleep(10 * time.Second)
		h.clear("a4")
		h.stop()
		h.receiver.answers(func(n int) (int, http.Header, error) {
			if n%2 == 0 {
				return 0, nil, errors.New("connection reset")
			}
			return 200, nil, nil
		})
		for range 20 { // stopped at any moment
			h.start(hook)
			time.Sleep(150 * time.Millisecond)
			h.stop()
		}
		h.start(hook)
		time.Sleep(2 * time.Hour)
		h.receiver.wants(t, "cell.frozen a1claude", "cell.frozen a2claude", "cell.frozen a3claude", "cell.frozen a4claude over",
			"cell.recovered a1claude over", "cell.recovered a2claude over", "cell.recovered a3claude over")
	})
}

// TestAnEndToldAheadIsNotToldAgain: the end of a freeze was told with its beginning, while
// an earlier one waits; after a restart only what was not told comes.
func TestAnEndToldAheadIsNotToldAgain(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *house) {
		hook := h.hook(projection.NoticeFrozen, projection.NoticeRecovered)
		h.receiver.answers(down)
		h.start(hook)
		h.freeze("a1", 100*time.Hour)
		h.freeze("a2", 100*time.Hour)
		time.Sleep(time.Second)
		h.clear("a1")
		accepted := atomic.Int32{}
		h.receiver.answers(func(int) (int, http.Header, error) {
			if accepted.Add(1) == 1 {
				return 200, nil, nil
			}
			return down(0)
		})
		time.Sleep(20 * time.Second)
		h.receiver.wants(t, "cell.frozen a1claude over")
		h.stop()
		h.receiver.answers(nil)
		h.start(hook)
		time.Sleep(time.Second)
		h.receiver.wants(t, "cell.frozen a1claude over", "cell.frozen a2claude")
	})
}

func TestGoneUntilTheConfigurationIsLoadedAgain(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *house) {
		hook := h.hook(projection.NoticeFrozen)
		h.receiver.answers(func(int) (int, http.Header, error) { return 410, nil, nil })
		h.start(hook)
		h.freeze("a1", 100*time.Hour)
		h.freeze("a2", 100*time.Hour)
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		if n := len(h.receiver.attempts); n != 1 || !strings.Contains(h.logs.String(), "410 Gone") || h.figure("abeyance_webhook_disabled", "") != 1 {
			t.Errorf("%d attempts, disabled %v; logged %q", n, h.figure("abeyance_webhook_disabled", ""), h.logs)
		}
		h.receiver.answers(nil)
		if err := h.notifier.Set([]Hook{hook}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		h.receiver.wants(t, "cell.frozen a1claude", "cell.frozen a2claude")
		if h.figure("abeyance_webhook_disabled", "") != 0 {
			t.Error("it is disabled still")
		}
	})
}

func TestSetChangesHooksWhileTheyRun(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *house) {
		hook := h.hook(projection.NoticeFrozen)
		h.receiver.answers(down)
		h.start(hook)
		h.freeze("a1", 100*time.Hour)
		time.Sleep(time.Minute)
		same := h.notifier.list()[0]
		if err := h.notifier.Set([]Hook{hook}); err != nil || h.notifier.list()[0] != same {
			t.Errorf("a hook that is as before was started anew, %v", err)
		}
		bad := hook
		bad.URL = "http://hooks.example.com"
		if err := h.notifier.Set([]Hook{bad}); err == nil || h.notifier.list()[0] != same {
			t.Errorf("error %v; or a bad hook took the place of a good one", err)
		}
		h.receiver.answers(nil)
		changed := hook
		changed.Filter.Group = "claude"
		second := hook
		second.Name = "second"
		if err := h.notifier.Set([]Hook{changed, second}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		h.receiver.wants(t, "cell.frozen a1claude") // the new one begins at the head
		h.freeze("a2", 100*time.Hour)
		time.Sleep(time.Second)
		h.receiver.wants(t, "cell.frozen a1claude", "cell.frozen a2claude", "cell.frozen a2claude")
		if err := h.notifier.Set(nil); err != nil {
			t.Fatal(err)
		}
		h.freeze("a3", 100*time.Hour)
		if err := h.notifier.Set([]Hook{hook}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		h.receiver.wants(t, "cell.frozen a1claude", "cell.frozen a2claude", "cell.frozen a2claude")
		h.notifier.Close()
		if err := h.notifier.Set([]Hook{hook}); err == nil {
			t.Error("a closed notifier takes hooks")
		}
	})
}

// TestACursorThatCannotBeSaved: nothing more is sent until it can.
func TestACursorThatCannotBeSaved(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *house) {
		dir := filepath.Join(filepath.Dir(h.path), "sub")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		h.path = filepath.Join(dir, FileName)
		h.start(h.hook(projection.NoticeFrozen))
		if err := os.Rename(dir, dir+".away"); err != nil {
			t.Fatal(err)
		}
		h.freeze("a1", 100*time.Hour)
		h.freeze("a2", 100*time.Hour)
		time.Sleep(time.Hour)
		h.receiver.wants(t, "cell.frozen a1claude")
		if !strings.Contains(h.logs.String(), "cannot be saved") {
			t.Error("nothing is logged")
		}
		if err := os.Rename(dir+".away", dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(maxBackoff)
		h.receiver.wants(t, "cell.frozen a1claude", "cell.frozen a2claude")
	})
}

func TestGivenIDsAreShownToWhoAsksForThem(t *testing.T) {
	const mail = "bob@example.com"
	for _, given := range []bool{false, true} {
		inBubble(t, nil, func(t *testing.T, h *house) {
			if err := h.book.Add(mail); err != nil {
				t.Fatal(err)
			}
			stored := h.book.Stored(mail)
			if err := h.do(&projection.PutAccount{ID: stored, Spec: events.AccountSpec{Provider: "antigravity"}}); err != nil {
				t.Fatal(err)
			}
			hook := h.hook(projection.NoticeFrozen)
			hook.GivenIDs = given
			h.start(hook)
			h.freeze(stored, time.Hour)
			time.Sleep(time.Second)
			synctest.Wait()
			a := h.receiver.attempts[0]
			want := map[bool]string{false: stored, true: mail}[given]
			if a.news.Account != want || !strings.Contains(a.news.Why, "on "+want) || strings.Contains(string(a.body), "@") != given {
				t.Errorf("given %t: %s", given, a.body)
			}
			if strings.Contains(h.logs.String(), mail) {
				t.Error("the log shows an e-mail address")
			}
		})
	}
}

// failing is a log that can fail.
type failing struct {
	*eventstest.Log
	err atomic.Pointer[error]
}

func (l *failing) Append(ctx context.Context, recs []events.Record) error {
	if err := l.err.Load(); err != nil {
		return *err
	}
	return l.Log.Append(ctx, recs)
}

func TestDegradedIsToldOncePerOutage(t *testing.T) {
	log := &failing{Log: eventstest.New()}
	inBubble(t, log, func(t *testing.T, h *house) {
		h.start(h.hook(projection.NoticeDegraded, projection.NoticeRecovered))
		for range 2 {
			full := error(events.ErrFull)
			log.err.Store(&full)
			for range 3 {
				if err := h.do(&projection.Suspend{Filter: projection.Filter{Account: "a1"}, Reason: "x", Forever: true}); !errors.Is(err, events.ErrFull) {
					t.Fatalf("error %v", err)
				}
				time.Sleep(time.Minute)
			}
			log.err.Store(nil)
			if err := h.do(&projection.PatchAccount{ID: "a1", Priority: new(h.engine.State().Account("a1").Spec.Priority + 1)}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		h.receiver.wants(t, "engine.degraded ", "engine.recovered  over", "engine.degraded ", "engine.recovered  over")
		if a := h.receiver.attempts; a[0].news.Key != a[1].news.Key || a[0].news.Key == a[2].news.Key || a[0].id == a[2].id {
			t.Error("the outages have one key, or an outage has two")
		}
	})
}

func TestAnOutageThatEndsTheProcessIsTold(t *testing.T) {
	log := &failing{Log: eventstest.New()}
	inBubble(t, log, func(t *testing.T, h *house) {
		h.start(h.hook(projection.NoticeDegraded))
		broken := errors.New("input/output error")
		log.err.Store(&broken)
		if err := h.do(&projection.Suspend{Filter: projection.Filter{Account: "a1"}, Reason: "x", Forever: true}); err == nil {
			t.Fatal("a command was acknowledged without a log")
		}
		began := time.Now()
		h.stop()
		h.receiver.wants(t, "engine.degraded ")
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("stopping took %s", took)
		}
	})
}

func TestStoppingWaitsForNobody(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *house) {
		h.start(h.hook(projection.NoticeFrozen))
		h.notifier.list()[0].sender.transport = hanging{}
		h.freeze("a1", time.Hour)
		time.Sleep(time.Second)
		synctest.Wait()
		began := time.Now()
		h.stop()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("stopping took %s", took)
		}
	})
}

func TestACursorOfALogThatLostItsEnd(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *house) {
		doc, err := json.Marshal(cursorFile{1, "memory", map[string]cursor{"ops": {Seq: 5000, At: time.Now()}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(h.path, doc, 0o600); err != nil {
			t.Fatal(err)
		}
		h.freeze("a1", time.Hour)
		h.start(h.hook(projection.NoticeFrozen))
		h.freeze("a2", time.Hour)
		time.Sleep(time.Second)
		h.receiver.wants(t, "cell.frozen a2claude")
		if !strings.Contains(h.logs.String(), "begins at the head") {
			t.Errorf("logged %q", h.logs)
		}
	})
}

// TestThousandsOfFreezesAreLookedAheadInPieces: more than a queue holds.
func TestThousandsOfFreezesAreLookedAheadInPieces(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *house) {
		h.receiver.answers(down)
		h.start(h.hook(projection.NoticeFrozen))
		const n = maxPending + maxPending/2
		for range n {
			h.freeze("a1", 10*time.Minute)
			h.clear("a1")
		}
		time.Sleep(time.Hour)
		h.receiver.answers(nil)
		time.Sleep(maxBackoff + time.Minute)
		synctest.Wait()
		seen := 0
		for _, a := range h.receiver.attempts {
			if a.taken {
				seen += a.digest.Count
			}
		}
		if seen != n || h.figure("abeyance_webhook_pending", "") != 0 || h.figure("abeyance_webhook_lag_records", "") != 0 {
			t.Errorf("%d of %d were told, pending %v, lag %v", seen, n, h.figure("abeyance_webhook_pending", ""), h.figure("abeyance_webhook_lag_records", ""))
		}
	})
}

// TestTheClockGoesBack: what was told while it was ahead is not told again, and a freeze
// of the time after is not taken for one that is over.
func TestTheClockGoesBack(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *house) {
		h.start(h.hook(projection.NoticeFrozen, projection.NoticeRecovered))
		time.Sleep(time.Minute)
		h.ahead.Store(int64(48 * time.Hour))
		time.Sleep(time.Minute)
		h.ahead.Store(0)
		time.Sleep(time.Minute)
		h.freeze("a1", time.Hour)
		time.Sleep(time.Minute)
		h.receiver.wants(t, "cell.frozen a1claude")
		time.Sleep(time.Hour)
		h.receiver.wants(t, "cell.frozen a1claude", "cell.recovered a1claude over")
	})
}

// TestTheClockGoesBackWhileSomethingWaits: what was told ahead of it is not told again.
func TestTheClockGoesBackWhileSomethingWaits(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *house) {
		hook := h.hook(projection.NoticeFrozen, projection.NoticeRecovered)
		h.receiver.answers(down)
		h.start(hook)
		h.freeze("a1", 100*time.Hour)
		h.freeze("a2", 100*time.Hour)
		time.Sleep(time.Second)
		h.clear("a1")
		accepted := atomic.Int32{}
		h.receiver.answers(func(int) (int, http.Header, error) {
			if accepted.Add(1) == 1 {
				return 200, nil, nil
			}
			return down(0)
		})
		time.Sleep(20 * time.Second)
		h.receiver.wants(t, "cell.frozen a1claude over")
		h.ahead.Store(-int64(5 * time.Minute))
		time.Sleep(2 * time.Minute)
		h.receiver.answers(nil)
		time.Sleep(20 * time.Minute)
		h.receiver.wants(t, "cell.frozen a1claude over", "cell.frozen a2claude")
	})
}

// TestWhatWasToldAndDoesNotComeAgainIsForgotten, so that a cursor does not grow.
func TestWhatWasToldAndDoesNotComeAgainIsForgotten(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, h *house) {
		hook := h.hook(projection.NoticeFrozen)
		h.start(hook)
		h.stop()
		c, err := openCursors(h.path, "memory", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		was := c.hooks["ops"]
		was.Told = []string{"0123456789abcdef0123456789abcdef"}
		if err := c.put("ops", was); err != nil {
			t.Fatal(err)
		}
		h.start(hook)
		h.freeze("a1", time.Hour)
		time.Sleep(time.Second)
		h.stop()
		if c, err = openCursors(h.path, "memory", slog.New(slog.DiscardHandler)); err != nil || len(c.hooks["ops"].Told) > 0 {
			t.Errorf("told is %v, %v", c.hooks["ops"].Told, err)
		}
	})
}
