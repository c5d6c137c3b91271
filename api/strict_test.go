package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/abeyance/abeyance/api"
)

// What encoding/json lets through must not: of two members it takes the last, and
// names match in any case.
func TestMembersAreNamedOnceAndInLowerCase(t *testing.T) {
	b := newBench(t)
	b.pool()
	for route, good := range takingBodies() {
		method, pattern, _ := strings.Cut(route, " ")
		name, rest, _ := strings.Cut(strings.TrimPrefix(good, `{"`), `"`)
		for what, body := range map[string]string{
			"another case":      `{"` + strings.ToUpper(name) + `"` + rest,
			"twice":             `{"` + name + `"` + strings.TrimSuffix(rest, "}") + `,"` + name + `"` + rest,
			"twice, once coded": `{"` + name + `"` + strings.TrimSuffix(rest, "}") + `, "\u00` + hex(name[0]) + name[1:] + `"` + rest,
		} {
			p := b.do(request{method: method, path: path(pattern), body: body}).problem(http.StatusBadRequest, "invalid_body")
			if !strings.Contains(p.Detail, strings.ToUpper(name)) && !strings.Contains(p.Detail, `"`+name+`" is given twice`) {
				t.Errorf("%s: %s: %s", route, what, p.Detail)
			}
		}
	}
	for path, body := range map[string]string{
		"/v1/groups": `{"dry_run":true,"groups":[{"id":"g","providers":["p"],"patterns":["x"]},{"id":"h","Label":"x"}]}`,
		"/v1/policy": `{"dry_run":true,"providers":{"codex":{"rate_limited":{"bound":{"Daily":"1h"}}}}}`,
	} {
		b.put(path, body).problem(http.StatusBadRequest, "invalid_body")
	}
	b.post("/v1/reports", `{"account":"a1","provider":"antigravity","status":200,"headers":{"A":"1","A":["2"]}}`).
		problem(http.StatusBadRequest, "invalid_body")
	b.post("/v1/pick", `{"provider":"antigravity","model":"m","strea\u212A":1}`).problem(http.StatusBadRequest, "invalid_body")
}

// Names that are not ours keep their case, and one may stand in several objects.
func TestMembersOfMapsKeepTheirCase(t *testing.T) {
	b := newBench(t)
	b.pool()
	b.post("/v1/classify", ` { "provider" : "antigravity" , "status" : 429 , "headers" : { "Retry-After" : [ "1" , "2" ] , "X" : "{\"X\":1,\"X\":2}\\" } , "body" : "" } `).
		want(http.StatusOK)
	b.put("/v1/groups", `{"dry_run":true,"groups":[],"aliases":{"kimi":{"X":"y"},"codex":{"X":"y"}}}`).want(http.StatusOK)
	b.put("/v1/policy", `{"dry_run":true,"quota_exhausted":{"ladder":["1m","2m"],"hold":[]},"rate_limited":"none"}`).want(http.StatusOK)
}

// Whatever valid JSON a body is, the walk over it ends, and finds a name given twice
// exactly where encoding/json reads back fewer members than there are.
func TestTheWalkAgreesWithTheDecoder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var twice bool
		doc := anyJSON(t, 3, &twice)
		if !json.Valid([]byte(doc)) {
			t.Fatalf("the generator wrote %s", doc)
		}
		if err := api.CheckNames([]byte(doc)); (err != nil) != twice {
			t.Errorf("%s: %v, want an error: %v", doc, err, twice)
		}
	})
}

// anyJSON draws a value, and notes whether an object in it names a member twice.
func anyJSON(t *rapid.T, depth int, twice *bool) string {
	space := rapid.SampledFrom([]string{"", " ", "\n\t", "\r\n"}).Draw(t, "space")
	kinds := 5
	if depth == 0 {
		kinds = 3
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return space + rapid.SampledFrom([]string{"1", "-1.5e+3", "true", "false", "null"}).Draw(t, "word") + space
	case 1, 2:
		return space + rapid.SampledFrom([]string{`""`, `"}"`, `"\""`, `"\\"`, `"{\"a\":1,"`, `"é"`}).Draw(t, "text") + space
	case 3:
		var items []string
		for range rapid.IntRange(0, 3).Draw(t, "items") {
			items = append(items, anyJSON(t, depth-1, twice))
		}
		return "[" + space + strings.Join(items, ",") + "]" + space
	default:
		var members []string
		seen := map[string]bool{}
		for range rapid.IntRange(0, 3).Draw(t, "members") {
			coded := rapid.SampledFrom([]string{`"a"`, `"A"`, `"\u0061"`, `"b\"{"`, `""`, `"c"`, `"d"`}).Draw(t, "name")
			var name string
			if err := json.Unmarshal([]byte(coded), &name); err != nil {
				t.Fatal(err)
			}
			*twice = *twice || seen[name]
			seen[name] = true
			members = append(members, space+coded+space+":"+anyJSON(t, depth-1, twice))
		}
		return "{" + space + strings.Join(members, ",") + "}"
	}
}

func hex(c byte) string { return string("0123456789abcdef"[c>>4]) + string("0123456789abcdef"[c&15]) }
