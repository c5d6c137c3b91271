package tests

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// seen is a record as a stream or a list shows it.
type seen struct {
	Seq     uint64 `json:"seq"`
	Account string `json:"account"`
	Hash    string `json:"hash"`
}

// follower follows a daemon that comes and goes, by what server-sent events have for it.
type follower struct {
	daemon *atomic.Pointer[daemon]
	query  string

	last    string // the newest id
	records []seen
	began   int // streams
}

// follow goes on until the record of a seq has been passed.
func (f *follower) follow(ctx context.Context, until *atomic.Uint64) error {
	for !f.past(until) {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("at id %q: %w", f.last, err)
		}
		if err := f.once(ctx, until); err != nil {
			return err
		}
	}
	return nil
}

func (f *follower) past(until *atomic.Uint64) bool {
	last, _ := strconv.ParseUint(f.last, 10, 64)
	return until.Load() > 0 && last >= until.Load()
}

// once follows one stream to its end. That it ends, or cannot begin, is no error.
func (f *follower) once(ctx context.Context, until *atomic.Uint64) error {
	d := f.daemon.Load()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+"/v1/events/stream"+f.query, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	if f.last != "" {
		req.Header.Set("Last-Event-ID", f.last)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		time.Sleep(20 * time.Millisecond)
		return nil
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		if resp.StatusCode != http.StatusServiceUnavailable {
			return fmt.Errorf("the stream was answered %s", resp.Status)
		}
		time.Sleep(20 * time.Millisecond)
		return nil
	}
	f.began++
	return f.read(bufio.NewScanner(resp.Body), until)
}

func (f *follower) read(lines *bufio.Scanner, until *atomic.Uint64) error {
	id, data := "", ""
	for !f.past(until) && lines.Scan() {
		line := lines.Text()
		if v, ok := strings.CutPrefix(line, "id: "); ok {
			id = v
		}
		if v, ok := strings.CutPrefix(line, "data: "); ok {
			data = v
		}
		if line != "" {
			continue
		}
		if id != "" {
			f.last = id
		}
		if data != "" {
			var r seen
			if err := json.Unmarshal([]byte(data), &r); err != nil {
				return err
			}
			f.records = append(f.records, r)
		}
		id, data = "", ""
	}
	return nil
}

// stop asks the daemon to end, and says how long it took.
func (d *daemon) stop() time.Duration {
	d.t.Helper()
	began := time.Now()
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		skip(d.t, "this system cannot ask a process to end: "+err.Error())
	}
	d.ended = true
	if err := d.cmd.Wait(); err != nil {
		d.t.Errorf("the daemon ended with %v and said:\n%s", err, d.out)
	}
	return time.Since(began)
}

// TestStreamThroughRestarts: while records are written by several clients, the daemon is
// killed or stopped again and again. Whoever follows it gets each record once, with the
// hash that is in the log; and streams do not hold a stop up.
func TestStreamThroughRestarts(t *testing.T) {
	const restarts, seed = 6, 417
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, seed))
	var now atomic.Pointer[daemon]
	d := startDaemon(t, t.TempDir())
	now.Store(d)
	for _, id := range []string{"a1", "a2"} {
		d.must(200, "PUT", "/v1/accounts/"+id, map[string]any{"provider": "antigravity"})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	writing, quit := context.WithCancel(ctx)
	var writers, readers sync.WaitGroup
	for w := range 3 {
		writers.Go(func() { write(writing, &now, w) })
	}
	var until atomic.Uint64
	all := []*follower{{query: "?after=0"}, {query: "?after=2"}, {query: "?after=0&account=a1"}, {query: ""}}
	for _, f := range all {
		f.daemon = &now
		readers.Go(func() {
			if err := f.follow(ctx, &until); err != nil {
				t.Error(err)
			}
		})
	}
	for i := range restarts {
		time.Sleep(time.Duration(200+random.IntN(300)) * time.Millisecond)
		if i%2 == 0 {
			d.kill()
		} else if took := d.stop(); took > 5*time.Second {
			t.Errorf("with streams open the daemon took %s to stop", took)
		}
		d = startDaemon(t, d.dir)
		now.Store(d)
	}
	time.Sleep(300 * time.Millisecond)
	quit()
	writers.Wait()
	last := d.must(200, "POST", "/v1/suspend", map[string]any{"account": "a1", "reason": "the last record", "forever": true})
	until.Store(uint64(last["last_seq"].(float64)))
	readers.Wait()
	checkFollowed(t, d, all, restarts)
}

// write appends records until the context ends; whether the daemon is there or not.
func write(ctx context.Context, now *atomic.Pointer[daemon], w int) {
	for i := 0; ctx.Err() == nil; i++ {
		d := now.Load()
		_, err := d.call(ctx, "POST", "/v1/suspend", map[string]any{
			"account": fmt.Sprint("a", 1+i%2), "target": "model:m" + fmt.Sprint(w), "reason": fmt.Sprint(w, " ", i), "forever": true,
		})
		if err != nil {
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// checkFollowed compares what each follower got with the history.
func checkFollowed(t *testing.T, d *daemon, all []*follower, restarts int) {
	t.Helper()
	history := d.history()
	for _, f := range all {
		var want []seen
		for _, r := range history {
			if r.Seq > after(f) && (!strings.Contains(f.query, "account=a1") || r.Account == "a1") {
				want = append(want, r)
			}
		}
		if bad := firstDifference(f.records, want); bad != "" || len(want) == 0 {
			t.Errorf("%q: %s", f.query, bad)
		}
		if f.began <= restarts {
			t.Errorf("%q followed %d streams: not every restart cut it off", f.query, f.began)
		}
		t.Logf("%q: %d records by %d streams", f.query, len(f.records), f.began)
		// What is compared must be able to differ.
		if firstDifference(append(f.records[:1:1], f.records[2:]...), want) == "" || firstDifference(append(f.records, f.records[0]), want) == "" {
			t.Error("a gap or a repeat is not seen")
		}
	}
}

// after is the seq that a follower began after.
func after(f *follower) uint64 {
	switch {
	case strings.Contains(f.query, "after=0"):
		return 0
	case strings.Contains(f.query, "after="):
		return 2
	default:
		return f.records[0].Seq - 1 // it began with what was new
	}
}

func firstDifference(got, want []seen) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i == len(got):
			return fmt.Sprintf("record %d is missing at the end", want[i].Seq)
		case i == len(want):
			return fmt.Sprintf("record %d is too much", got[i].Seq)
		case got[i] != want[i]:
			return fmt.Sprintf("%+v in place of %+v", got[i], want[i])
		}
	}
	return ""
}

// history lists all records, oldest first.
func (d *daemon) history() (list []seen) {
	d.t.Helper()
	query := "/v1/events?order=asc&page_size=1000"
	for token := ""; ; {
		a, err := d.call(d.t.Context(), "GET", query+token, nil)
		if err != nil {
			d.t.Fatal(err)
		}
		var page struct {
			Items []seen  `json:"items"`
			Next  *string `json:"next_page_token"`
		}
		if err := json.Unmarshal(a.body, &page); err != nil {
			d.t.Fatal(err)
		}
		if list = append(list, page.Items...); page.Next == nil {
			return list
		}
		token = "&page_token=" + *page.Next
	}
}
