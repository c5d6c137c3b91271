package ui_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// suspend blocks a target of an account; lift ends it.
func (s *site) suspend(account, target string) {
	s.t.Helper()
	s.execute(&projection.Suspend{Filter: projection.Filter{Account: account, Target: target}, Reason: "the card was lost", Forever: true})
}

func (s *site) lift(account, target string) {
	s.t.Helper()
	s.execute(&projection.Lift{Filter: projection.Filter{Account: account, Target: target}})
}

// page returns what a page shows, from <main on.
func (s *site) page(path string) string {
	s.t.Helper()
	w := s.get(path)
	if w.Code != http.StatusOK {
		s.t.Fatalf("%s answered %d %s", path, w.Code, w.Body)
	}
	return main(w.Body)
}

// part returns a part of a page, as scripts ask for it.
func (s *site) part(path string) string {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("X-Abeyance-Part", "1")
	return s.do(r).Body.String()
}

// An account of a provider without groups is shown by the cell of everything.
func TestAccountsWithoutGroups(t *testing.T) {
	s := newSite(t).ready()
	put := func(id string, disabled bool) {
		s.execute(&projection.PutAccount{ID: id, Spec: events.AccountSpec{Provider: "myprov", Weight: 1, Disabled: disabled}})
	}
	put("m2", true)
	put("m1", false)
	shows := func(account, status string) {
		t.Helper()
		row := regexp.MustCompile(`<tr data-account="` + account + `"[^>]*data-provider="myprov">.*<div data-target="\*" data-status="` + status + `">.*</tr>`)
		for _, path := range []string{"/", "/ui/rows?account=m1&account=m2"} {
			text := s.part(path)
			if len(row.FindAllString(text, -1)) != 1 || strings.Count(text, `<div data-target="*"`) != 2 || strings.Contains(text, "The pool is empty") {
				t.Errorf("%s does not show %s as %s: %s", path, account, status, text)
			}
		}
	}
	shows("m1", "available")
	shows("m2", "disabled")
	s.suspend("m1", "*")
	shows("m1", "suspended")
	s.lift("m1", "*")
	shows("m1", "available")
	s.suspend("m1", "model:x")
	shows("m1", "available")
}

// What is free again is no block.
func TestOtherBlocksAreInForce(t *testing.T) {
	s := newSite(t).ready()
	s.account("a1")
	s.suspend("a1", "*")
	s.suspend("a1", "model:x")
	if text := s.page("/"); strings.Count(text, `<div data-target=`) != 2 {
		t.Errorf("two blocks are not shown: %s", text)
	}
	s.lift("a1", "*")
	s.lift("a1", "model:x")
	s.execute(&projection.PutAccount{ID: "a1", Spec: events.AccountSpec{Provider: "antigravity", Weight: 1, Disabled: true}})
	if text := s.page("/"); strings.Contains(text, `<div data-target=`) {
		t.Errorf("blocks are shown that have ended: %s", text)
	}
}

// buttons lists the actions that a page offers: verb and target.
func buttons(page string) (list []string) {
	for _, m := range regexp.MustCompile(`data-verb="(\w+)"[^>]*data-target="([^"]*)">([^<]*)<`).FindAllStringSubmatch(page, -1) {
		list = append(list, m[1]+" "+m[2]+" "+m[3])
	}
	return list
}

// record is how a table names a record.
func record(seq events.Seq) string { return fmt.Sprintf(">%d</a>", seq) }

// The page of a cell that a block of everything blocks has the records of that block, and the
// actions that end it.
func TestACellUnderABlockOfEverything(t *testing.T) {
	s := newSite(t).ready()
	s.account("a1")
	s.suspend("a1", "*")
	seq := s.engine.State().Head().Seq
	for path, want := range map[string]string{
		"/ui/cell?account=a1&target=claude": "lift * Lift · *, suspend claude Suspend",
		"/ui/cell?account=a1&target=*":      "lift * Lift, suspend * Suspend",
		"/ui/cell?account=a1":               "lift  Lift, suspend  Suspend",
	} {
		page := s.page(path)
		if got := strings.Join(buttons(page), ", "); got != want {
			t.Errorf("%s offers %q, not %q", path, got, want)
		}
		_, history, _ := strings.Cut(page, "<h2>History</h2>")
		if strings.Count(history, `<th scope="row">`) != 1 && path != "/ui/cell?account=a1" || !strings.Contains(history, record(seq)) {
			t.Errorf("%s: the history is %s", path, history)
		}
		if n := strings.Count(page, `<section class="why"><h2>*`) + strings.Count(page, `<section class="why"><h2><a href="../ui/cell?account=a1&amp;target=%2A">*</a>`); n != 1 || strings.Contains(page, "Other blocks") {
			t.Errorf("%s has the block %d times: %s", path, n, page)
		}
	}
	s.suspend("a1", "claude")
	page := s.page("/ui/cell?account=a1&target=claude")
	if got, want := strings.Join(buttons(page), ", "), "lift claude Lift, lift * Lift · *, suspend claude Suspend"; got != want {
		t.Errorf("offered are %q, not %q", got, want)
	}
	if _, history, _ := strings.Cut(page, "<h2>History</h2>"); strings.Count(history, `<th scope="row">`) != 2 || strings.Index(history, record(seq+1)) > strings.Index(history, record(seq)) {
		t.Errorf("the history is not of both, the newest first: %s", history)
	}
	if page := s.page("/ui/cell?account=a1&target=claude&at=seq:4"); len(buttons(page)) != 0 {
		t.Error("something is offered to be done to the past")
	}
}
