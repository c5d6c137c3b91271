package faults

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// row is a record as the history tells it.
type row struct {
	Seq     int       `json:"seq"`
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Account string    `json:"account"`
	Command string    `json:"correlation_id"`
	Data    struct {
		Dimension string    `json:"dimension"`
		Due       time.Time `json:"due"`
		Cells     []struct {
			Account string `json:"account"`
		} `json:"cells"`
	} `json:"data"`
}

// timeline is a whole history, oldest first.
type timeline []row

// timeline reads the history.
func (d *daemon) timeline() timeline {
	d.t.Helper()
	var all timeline
	for token := ""; ; {
		page := d.must("GET", "/v1/events?order=asc&page_size=1000"+token, nil)
		doc, err := json.Marshal(page["items"])
		if err != nil {
			d.t.Fatal(err)
		}
		var rows []row
		if err := json.Unmarshal(doc, &rows); err != nil {
			d.t.Fatal(err)
		}
		all = append(all, rows...)
		next, _ := page["next_page_token"].(string)
		if next == "" {
			return all
		}
		token = "&page_token=" + next
	}
}

// block is what blocks an account, which has one at most at a time.
type block struct {
	since     int    // the record that it was last set by
	dimension string // cooling or suspended
	until     time.Time
}

func (b *block) over(now time.Time) bool { return !b.until.IsZero() && !now.Before(b.until) }

// ends says what is wrong with the expiries of a history: the blocks that are over are
// to be recorded as over, once, those that are due together in the order of their ends,
// and no others. Blocks that were replaced are not asked about.
func (h timeline) ends(blocks map[string]*block, now time.Time) (wrong []string) {
	count := map[string]int{}
	for i, r := range h {
		if r.Kind != "expired" {
			continue
		}
		with := i > 0 && h[i-1].Command == r.Command && h[i-1].Kind == r.Kind && h[i-1].Data.Dimension == r.Data.Dimension
		for _, c := range r.Data.Cells {
			b := blocks[c.Account]
			if b == nil || b.since > r.Seq {
				continue // of a block before this one
			}
			count[c.Account]++
			if b.until.After(r.Data.Due) || with && b.until.Before(h[i-1].Data.Due) {
				wrong = append(wrong, fmt.Sprintf("out of order: %s, due %s, ends in record %d, due %s", c.Account, b.until, r.Seq, r.Data.Due))
			}
			if b.dimension != r.Data.Dimension {
				wrong = append(wrong, fmt.Sprintf("another: %s of %s ends in record %d", r.Data.Dimension, c.Account, r.Seq))
			}
		}
	}
	for account, b := range blocks {
		switch n := count[account]; {
		case b.over(now) && n == 0:
			wrong = append(wrong, fmt.Sprintf("no expiry: %s is over since %s", account, b.until))
		case b.over(now) && n > 1:
			wrong = append(wrong, fmt.Sprintf("repeated: %s expired %d times", account, n))
		case !b.over(now) && n > 0:
			wrong = append(wrong, fmt.Sprintf("too early: %s expired, due %s and now it is %s", account, b.until, now))
		}
	}
	return wrong
}

// order says where a history is not in the order of time.
func (h timeline) order() (wrong []string) {
	for i := 1; i < len(h); i++ {
		if h[i].At.Before(h[i-1].At) {
			wrong = append(wrong, fmt.Sprintf("record %d is dated %s, after %s", h[i].Seq, h[i].At, h[i-1].At))
		}
	}
	return wrong
}

// The negative control of the comparison, without a daemon: each thing that can be
// wrong is seen, and a history as it should be is not blamed.
func TestTimelineSeesWhatIsWrong(t *testing.T) {
	noon := time.Date(2026, 3, 17, 12, 0, 0, 0, time.UTC)
	record := func(seq int, at time.Duration, accounts ...string) (r row) {
		r.Seq, r.At, r.Kind, r.Command = seq, noon.Add(at), "expired", "one"
		r.Data.Dimension, r.Data.Due = "cooling", noon.Add(at)
		for _, a := range accounts {
			r.Data.Cells = append(r.Data.Cells, struct {
				Account string `json:"account"`
			}{a})
		}
		return r
	}
	blocks := func() map[string]*block {
		return map[string]*block{
			"a": {since: 1, dimension: "cooling", until: noon.Add(time.Minute)},
			"b": {since: 2, dimension: "cooling", until: noon.Add(2 * time.Minute)},
			"c": {since: 3, dimension: "cooling", until: noon.Add(time.Hour)},
			"d": {since: 4, dimension: "suspended"},
		}
	}
	first, second := record(5, time.Minute, "a"), record(6, 2*time.Minute, "b")
	manual := second
	manual.Data.Dimension = "suspended"
	for _, c := range []struct {
		name string
		rows timeline
		want string // empty: nothing is wrong
	}{
		{"as it should be", timeline{first, second}, ""},
		{"an end of a block before", timeline{record(1, -time.Hour, "b"), first, second}, ""},
		{"none", timeline{first}, "no expiry: b"},
		{"twice", timeline{first, second, record(7, 2*time.Minute, "b")}, "repeated: b"},
		{"too early", timeline{first, record(6, time.Hour, "b", "c")}, "too early: c"},
		{"for ever", timeline{first, record(6, time.Hour, "b", "d")}, "too early: d"},
		{"later ones first", timeline{record(5, 2*time.Minute, "b"), record(6, 2*time.Minute, "a")}, "out of order: a"},
		{"due later than the record says", timeline{first, record(6, 90*time.Second, "b")}, "out of order: b"},
		{"another block", timeline{first, manual}, "another: suspended of b"},
		{"time going back", timeline{second, first}, "record 5 is dated"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wrong := slices.Concat(c.rows.ends(blocks(), noon.Add(10*time.Minute)), c.rows.order())
			if got := strings.Join(wrong, "; "); c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}
