package faults

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	day  = 24 * time.Hour
	year = 365 * day
	// jitter is the most that the default policy puts on a deadline.
	jitter = 30 * time.Second
	// near is how close to an end a block is not asked about: requests take their time.
	near = 2 * time.Second
	// soon is how long expiries may take to be recorded: a second, and what a busy
	// machine needs more.
	soon = 3 * time.Second
)

// jumper is a daemon whose clock jumps, and what it has been told to block.
type jumper struct {
	*daemon
	clock  *clock
	blocks map[string]*block // :: account → its block of the Claude models
	jumps  int               // that must have been announced
	ids    int
}

// newJumper starts a daemon by a clock of its own.
func newJumper(t *testing.T) *jumper {
	t.Helper()
	c := newClock(t)
	d := newDaemon(t, buildShifted(t), filepath.Join(t.TempDir(), "data"))
	d.env = []string{envClock + "=" + c.path}
	d.start()
	return &jumper{daemon: d, clock: c, blocks: map[string]*block{}}
}

// at reads an instant of an answer; zero if it says none.
func at(t testing.TB, v any) time.Time {
	t.Helper()
	s, _ := v.(string)
	if s == "" {
		return time.Time{}
	}
	when, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

// cool reports a limit with a hint, and checks the deadline that it leads to against
// the rules: what the hint says, unless the account cools for longer already.
func (j *jumper) cool(account string, hint time.Duration) {
	j.t.Helper()
	j.ids++
	low := j.clock.now()
	a := j.must("POST", "/v1/reports", map[string]any{
		"account": account, "provider": provider, "model": model, "status": 429, "request_id": fmt.Sprint("r", j.ids),
		"headers": map[string]string{"Retry-After": strconv.Itoa(int(hint / time.Second))},
		"body":    `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"reason":"QUOTA_EXHAUSTED"}]}}`,
	})
	low, high := low.Add(hint-time.Second), j.clock.now().Add(hint+jitter+time.Second)
	until := at(j.t, a["until"])
	if old := j.blocks[account]; old != nil && old.until.After(low) {
		low, high = old.until, maxTime(high, old.until)
	}
	if until.Before(low) || until.After(high) {
		j.t.Errorf("%s cools until %s, want %s to %s: %v", account, until, low, high, a)
	}
	if a["effect"] == "kept" {
		return
	}
	j.blocks[account] = &block{since: int(a["seq"].(float64)), dimension: "cooling", until: until}
}

func maxTime(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// suspendFor suspends an account by hand; for ever without a length.
func (j *jumper) suspendFor(account string, length time.Duration) {
	j.t.Helper()
	body := map[string]any{"account": account, "target": "claude", "reason": "jumps"}
	end := time.Time{}
	if length == 0 {
		body["forever"] = true
	} else {
		body["for"] = length.String()
		end = j.clock.now().Add(length)
	}
	a := j.must("POST", "/v1/suspend", body)
	b := &block{since: int(a["seq"].(float64)), dimension: "suspended"}
	if length > 0 {
		b.until = j.untils()[account]
		if b.until.Sub(end).Abs() > near {
			j.t.Errorf("%s is suspended until %s, want %s", account, b.until, end)
		}
	}
	j.blocks[account] = b
}

// untils reads the ends of the blocks in force, by account.
func (j *jumper) untils() map[string]time.Time {
	j.t.Helper()
	ends := map[string]time.Time{}
	for token := ""; ; {
		page := j.must("GET", "/v1/cells?target=claude&page_size=1000"+token, nil)
		for _, item := range page["items"].([]any) {
			cell := item.(map[string]any)
			for _, part := range []string{"cooling", "suspended"} {
				if b, ok := cell[part].(map[string]any); ok {
					ends[fmt.Sprint(cell["account"])] = at(j.t, b["until"])
				}
			}
		}
		next, _ := page["next_page_token"].(string)
		if next == "" {
			return ends
		}
		token = "&page_token=" + next
	}
}

// picks says which accounts are given to requests and should not be, by the clock, or
// the other way round, of some hundred; and which ends have moved.
func (j *jumper) picks() (wrong []string) {
	j.t.Helper()
	for i, account := range slices.Sorted(maps.Keys(j.blocks)) {
		b, now := j.blocks[account], j.clock.now()
		if i%(1+len(j.blocks)/100) != 0 {
			continue
		}
		if !b.until.IsZero() && now.Sub(b.until).Abs() < near {
			continue
		}
		a, err := j.pick(model, account)
		if err != nil {
			j.t.Fatalf("the daemon is gone: %v\n%s", err, j.out)
		}
		if free := a.status == http.StatusOK && a.body["probe"] == false; free != b.over(now) {
			wrong = append(wrong, fmt.Sprintf("blocked until %s, and at %s a pick for %s was answered %v", b.until, now, account, a))
		}
	}
	now, ends := j.clock.now(), j.untils()
	for account, b := range j.blocks {
		if !b.over(now.Add(near)) && !b.until.Equal(ends[account]) {
			wrong = append(wrong, fmt.Sprintf("moved: %s was blocked until %s, and is until %s", account, b.until, ends[account]))
		}
	}
	return wrong
}

// wake sends a command: the daemon looks at its clock.
func (j *jumper) wake() {
	j.t.Helper()
	j.ids++
	j.must("PUT", fmt.Sprint("/v1/accounts/waker", j.ids), map[string]any{"provider": "codex"})
}

// recorded waits until the history tells all ends that there are by now, and returns
// how long that took, and what is wrong if it does not within a limit.
func (j *jumper) recorded(limit time.Duration) (took time.Duration, wrong []string) {
	j.t.Helper()
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		h := j.timeline()
		wrong = append(h.ends(j.blocks, j.clock.now()), h.order()...)
		if took = time.Since(began); len(wrong) == 0 || took > limit {
			return took, wrong
		}
	}
}

// announced says how the jumps are not counted, logged and shown as they should be. by
// is the last of them.
func (j *jumper) announced(by time.Duration) (wrong []string) {
	j.t.Helper()
	if n := j.metric("abeyance_clock_jumps_total"); n != j.jumps {
		wrong = append(wrong, fmt.Sprintf("%d jumps are counted, want %d", n, j.jumps))
	}
	if n := strings.Count(j.out.String(), "the system clock jumped"); n != j.jumps {
		wrong = append(wrong, fmt.Sprintf("%d jumps are logged, want %d", n, j.jumps))
	}
	shown, _ := j.must("GET", "/v1/summary", nil)["clock_jump"].(map[string]any)
	_, status := j.cli("status")
	said := strings.Contains(status, "the system clock jumped by ")
	if j.jumps == 0 {
		if shown != nil || said {
			wrong = append(wrong, fmt.Sprintf("a jump is shown: %v\n%s", shown, status))
		}
		return wrong
	}
	count, _ := shown["count"].(float64)
	seconds, _ := shown["seconds"].(float64)
	if int(count) != j.jumps || seconds < by.Seconds()-2 || seconds > by.Seconds()+2 || !said {
		wrong = append(wrong, fmt.Sprintf("a jump by %s is shown as %v\n%s", by, shown, status))
	}
	return wrong
}

// metric reads a counter without labels.
func (d *daemon) metric(name string) int {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), "GET", d.url+"/metrics", nil)
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	resp, err := d.client.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	doc := new(strings.Builder)
	if err := resp.Write(doc); err != nil {
		d.t.Fatal(err)
	}
	_, rest, ok := strings.Cut(doc.String(), "\n"+name+" ")
	if !ok {
		d.t.Fatalf("there is no metric %s:\n%s", name, doc)
	}
	value, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil {
		d.t.Fatal(err)
	}
	return int(n)
}

// busy returns how much processor time the daemon takes, as a share of one, while
// nobody asks it for anything.
func (d *daemon) busy() float64 {
	d.t.Helper()
	const while = 400 * time.Millisecond
	ticks := func() (n int) {
		for _, field := range d.stat()[11:13] { // in the program and for it in the kernel
			more, err := strconv.Atoi(field)
			if err != nil {
				d.t.Fatal(err)
			}
			n += more
		}
		return n
	}
	before := ticks()
	time.Sleep(while)
	return float64(ticks()-before) / 100 / while.Seconds()
}

// stat is what the kernel says of the process after its name: the state comes first.
func (d *daemon) stat() []string {
	d.t.Helper()
	doc, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	if err != nil {
		d.t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(doc), ") ")
	return strings.Fields(after)
}
