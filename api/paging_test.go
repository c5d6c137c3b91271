package api_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/api"
)

// pages reads a list to its end; between runs between two pages.
func pages[T any](b *bench, path string, between func()) []T {
	b.t.Helper()
	var all []T
	next := path
	for range 1000 {
		p := decode[api.Page[T]](b.get(next).want(http.StatusOK))
		all = append(all, p.Items...)
		if p.NextPageToken == nil {
			return all
		}
		next = path + "&page_token=" + url.QueryEscape(*p.NextPageToken)
		between()
	}
	b.t.Fatal("the list has no end")
	return nil
}

func seqs(rows []api.EventRow) []uint64 {
	var list []uint64
	for _, r := range rows {
		list = append(list, r.Seq)
	}
	return list
}

// TestEventPagesAreStableWhileTheLogGrows: newest first, records appended between
// two pages must neither shift the pages nor appear in them.
func TestEventPagesAreStableWhileTheLogGrows(t *testing.T) {
	b := newBench(t)
	b.pool()
	for i := range 20 {
		b.post("/v1/suspend", fmt.Sprintf(`{"account":"a1","reason":"r%d","forever":true}`, i)).want(http.StatusOK)
	}
	head := len(b.records())
	n := 0
	grow := func() {
		n++
		b.post("/v1/suspend", fmt.Sprintf(`{"account":"a1","reason":"later %d","forever":true}`, n)).want(http.StatusOK)
	}
	got := seqs(pages[api.EventRow](b, "/v1/events?page_size=3", grow))
	var want []uint64
	for seq := head; seq >= 1; seq-- {
		want = append(want, uint64(seq))
	}
	if !slices.Equal(got, want) {
		t.Errorf("descending pages hold %v, want %v", got, want)
	}
	got = seqs(pages[api.EventRow](b, "/v1/events?page_size=7&order=asc", func() {}))
	if len(got) != len(b.records()) || !slices.IsSorted(got) || got[0] != 1 {
		t.Errorf("ascending pages hold %v", got)
	}
}

// TestWhyPagesStayAsOfTheFirst: what happens between two pages changes neither what the
// cells are nor their order, nor does the time that passes.
func TestWhyPagesStayAsOfTheFirst(t *testing.T) {
	b := newBench(t)
	for i := range 7 {
		b.put(fmt.Sprintf("/v1/accounts/w%d", i), `{"provider":"antigravity"}`).want(http.StatusOK)
	}
	b.post("/v1/reports", limited("w4", "claude-opus-4-6")).want(http.StatusOK)
	const path = "/v1/why?provider=antigravity&model=claude-opus-4-6"
	whole := decode[api.WhyAnswer](b.get(path).want(http.StatusOK))
	if whole.NextPageToken != nil || len(whole.Cells) != 7 || whole.Cells[0].Account != "w4" {
		t.Fatalf("the whole is %+v", whole)
	}
	var cells []api.WhyCell
	next := path + "&page_size=3"
	for page := 1; next != ""; page++ {
		a := decode[api.WhyAnswer](b.get(next).want(http.StatusOK))
		if a.AsOfSeq != whole.AsOfSeq || a.Now != whole.Now || a.Sentence != whole.Sentence || a.CellCount != 7 {
			t.Errorf("page %d is as of record %d, %s: %s", page, a.AsOfSeq, a.Now, a.Sentence)
		}
		cells = append(cells, a.Cells...)
		if next = ""; a.NextPageToken != nil {
			next = path + "&page_size=3&page_token=" + url.QueryEscape(*a.NextPageToken)
		}
		b.post("/v1/suspend", fmt.Sprintf(`{"account":"w%d","reason":"meanwhile","forever":true}`, page)).want(http.StatusOK)
		b.clock.advance(200 * time.Hour)
	}
	if diff := cmp.Diff(whole.Cells, cells); diff != "" {
		t.Errorf("the pages together differ from the whole (-whole +pages):\n%s", diff)
	}
}

// TestWhyTokensThatNoPageGave: a token says where a list goes on, and whoever makes one up
// reaches nothing with it that is not there.
func TestWhyTokensThatNoPageGave(t *testing.T) {
	b := newBench(t)
	b.pool()
	given := decode[api.WhyAnswer](b.get("/v1/why?provider=antigravity&model=m&page_size=1").want(http.StatusOK)).NextPageToken
	for change, status := range map[string]int{`"k":-5`: http.StatusOK, `"k":99`: http.StatusOK, `"k":1,"s":99`: http.StatusBadRequest} {
		doc, err := base64.RawURLEncoding.DecodeString(*given)
		if err != nil {
			t.Fatal(err)
		}
		forged := base64.RawURLEncoding.EncodeToString(bytes.Replace(doc, []byte(`"k":1`), []byte(change), 1))
		if r := b.get("/v1/why?provider=antigravity&model=m&page_token=" + forged); r.status != status {
			t.Errorf("%s is answered %d %s", change, r.status, r.body)
		}
	}
}

func TestEventFilters(t *testing.T) {
	b := newBench(t)
	b.pool() // records 3 and 4
	b.post("/v1/reports", limited("a1", "claude-opus-4-6")).want(http.StatusOK)
	b.clock.advance(time.Hour)
	b.post("/v1/suspend", `{"account":"a2","target":"gemini-pro","reason":"r","forever":true}`).want(http.StatusOK)
	last := decode[api.ActionAnswer](b.post("/v1/clear", `{"account":"a1","target":"claude"}`).want(http.StatusOK))
	hour := url.QueryEscape(start().Add(time.Hour).Format(time.RFC3339))
	for query, want := range map[string][]uint64{
		"kind=limit_observed":                   {5},
		"kind=account_added&order=asc":          {3, 4},
		"account=a1":                            {7, 5, 3},
		"account=a1&target=claude":              {7, 5},
		"target=gemini-pro":                     {6},
		"actor=operator:admin":                  {7, 6, 4, 3},
		"actor=proxy:admin":                     {5},
		"correlation_id=" + last.CorrelationID:  {7},
		"since=" + hour:                         {7, 6},
		"until=" + hour + "&account=a1":         {5, 3},
		"since=" + hour + "&until=" + hour:      nil,
		"since=2030-01-01T00:00:00Z":            nil,
		"until=2020-01-01T00:00:00Z":            nil,
		"until=2030-01-01T00:00:00Z&account=a2": {6, 4},
	} {
		if got := seqs(pages[api.EventRow](b, "/v1/events?page_size=2&"+query, func() {})); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
}

func TestCellPagesHoldEachCellOnce(t *testing.T) {
	b := newBench(t)
	for i := range 7 {
		b.put(fmt.Sprintf("/v1/accounts/acc-%d@x.test", i), `{"provider":"antigravity"}`).want(http.StatusOK)
	}
	b.put("/v1/accounts/other", `{"provider":"kimi"}`).want(http.StatusOK)
	b.post("/v1/suspend", `{"provider":"kimi","reason":"r","forever":true}`).want(http.StatusOK)
	whole := decode[api.Page[api.CellRow]](b.get("/v1/cells?page_size=1000")).Items
	if len(whole) != 7*3+1 {
		t.Fatalf("%d rows", len(whole))
	}
	stored := func(r api.CellRow) string { return b.book.Stored(r.Account) + "\x00" + r.Target }
	if !slices.IsSortedFunc(whole, func(x, y api.CellRow) int {
		if stored(x) < stored(y) {
			return -1
		}
		return 1
	}) {
		t.Error("the rows are not sorted bytewise by stored id and target")
	}
	for _, size := range []int{1, 2, 5, 21, 22, 23} {
		got := pages[api.CellRow](b, fmt.Sprintf("/v1/cells?page_size=%d", size), func() {})
		if !slices.EqualFunc(got, whole, func(x, y api.CellRow) bool { return stored(x) == stored(y) }) {
			t.Errorf("pages of %d differ from the whole", size)
		}
	}
	accounts := pages[api.AccountRow](b, "/v1/accounts?page_size=3", func() {})
	if len(accounts) != 8 {
		t.Errorf("%d accounts on all pages", len(accounts))
	}
}

// TestPagesStayWhenTheirLastItemGoes: a token names a position, not an item.
func TestPagesStayWhenTheirLastItemGoes(t *testing.T) {
	b := newBench(t)
	for _, id := range []string{"a", "b", "c", "d"} {
		b.put("/v1/accounts/"+id, `{"provider":"kimi"}`).want(http.StatusOK)
	}
	var ids []string
	removed := false
	for _, r := range pages[api.AccountRow](b, "/v1/accounts?page_size=2", func() {
		if !removed {
			b.do(request{method: http.MethodDelete, path: "/v1/accounts/b"}).want(http.StatusOK)
		}
		removed = true
	}) {
		ids = append(ids, r.Account)
	}
	if !slices.Equal(ids, []string{"a", "b", "c", "d"}) {
		t.Errorf("%v", ids)
	}
}

func TestPageTokensAreOfOneListAndItsFilters(t *testing.T) {
	b := newBench(t)
	b.pool()
	token := *decode[api.Page[api.CellRow]](b.get("/v1/cells?page_size=1&provider=antigravity")).NextPageToken
	b.get("/v1/cells?page_size=5&provider=antigravity&page_token=" + token).want(http.StatusOK)
	for _, path := range []string{
		"/v1/cells?page_token=" + token,
		"/v1/cells?provider=codex&page_token=" + token,
		"/v1/accounts?page_token=" + token,
		"/v1/events?page_token=" + token,
		"/v1/cells?page_token=%F0",
		"/v1/cells?page_token=" + base64.RawURLEncoding.EncodeToString([]byte("{")),
	} {
		b.get(path).problem(http.StatusBadRequest, "invalid_page_token")
	}
}
