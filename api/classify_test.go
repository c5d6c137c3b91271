package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/api"
)

// A rate limit with a reset of days is ruled a spent quota: a question must say so as
// the report of the same answer does.
func TestClassifyShowsTheClassThatIsRuled(t *testing.T) {
	b := newBench(t)
	b.pool()
	body := `{"account":"g1","provider":"codex","model":"gpt-5","status":429,"headers":{"Retry-After":"691200"},"body":"{\"error\":{\"type\":\"rate_limit_exceeded\"}}"}`
	asked := decode[api.ClassifyAnswer](b.post("/v1/classify", body).want(http.StatusOK))
	told := decode[api.ReportAnswer](b.post("/v1/reports", body).want(http.StatusOK))
	if asked.Class != "rate_limited" || asked.RuledClass != "quota_exhausted" || asked.RuledClass != told.Class {
		t.Errorf("asked: %s, ruled %s; the report says %s", asked.Class, asked.RuledClass, told.Class)
	}
}

// Any scalar is an id and is given back as it was written.
func TestClassifyGivesItsIdBack(t *testing.T) {
	b := newBench(t)
	const rest = `"provider":"antigravity","status":200}`
	for _, id := range []string{`1`, `-1.50e3`, `"x"`, `""`, `true`, `null`, `18446744073709551616`} {
		if a := b.post("/v1/classify", `{"id": `+id+` ,`+rest).want(http.StatusOK); !strings.HasPrefix(a.body, `{"id":`+id+`,`) {
			t.Errorf("the id %s came back in %s", id, a.body)
		}
	}
	if a := b.post("/v1/classify", `{`+rest).want(http.StatusOK); strings.Contains(a.body, `"id"`) {
		t.Errorf("an id out of nothing: %s", a.body)
	}
	for _, id := range []string{`[1]`, `{"a":1}`, `[]`} {
		b.post("/v1/classify", `{"id":`+id+`,`+rest).problem(http.StatusBadRequest, "invalid_body")
	}
}

func TestClassifyNeedsAProvider(t *testing.T) {
	b := newBench(t)
	for _, body := range []string{`{}`, `{"id":1,"status":429}`} {
		if p := b.post("/v1/classify", body).problem(http.StatusUnprocessableEntity, "invalid"); !strings.Contains(p.Detail, "provider") {
			t.Errorf("%s: %s", body, p.Detail)
		}
	}
}
