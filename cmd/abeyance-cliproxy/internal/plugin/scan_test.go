package plugin

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// goPick is the request as encoding/json reads it: the oracle.
type goPick struct {
	Provider, Model string
	Candidates      []goCandidate
}

type goCandidate struct {
	ID, Provider, Status string
	Priority             int
	Attributes           map[string]string
}

func (q *goPick) want() pickRequest {
	p := pickRequest{provider: q.Provider, model: q.Model}
	for _, c := range q.Candidates {
		x := candidate{c.ID, c.Provider, c.Priority, c.Status}
		if x.provider == "" {
			x.provider = q.Provider
		}
		p.candidates = append(p.candidates, x)
	}
	return p
}

func comparePick(t *testing.T, want, got pickRequest) {
	t.Helper()
	if len(got.candidates) == 0 {
		got.candidates = nil
	}
	got.session, got.rank = "", 0 // which encoding/json does not look for here
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(pickRequest{}, candidate{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestReadPick(t *testing.T) {
	for _, doc := range []string{
		`{"Provider":"codex","Model":"gpt-5","Candidates":[{"ID":"a","Priority":-3,"Status":"active","Attributes":{"x":"y"},"Metadata":{"n":[1,2,{"z":null}]}},{"ID":"b","Provider":"claude"}]}`,
		" {\n\t\"Model\" : \"a\\u00e9\\\"\\\\\\/\\n\" , \"Candidates\" : null , \"Provider\":null,\"Options\":{\"Headers\":{\"A\":[\"b\"]}}}\r\n",
		`{"Model":"é\ud83d\ude00","Candidates":[]}`,
		`{"Candidates":[null,{}],"x":-0.5e+10,"y":true,"z":false,"n":null,"s":"\\"}`,
		`null`, `{}`,
	} {
		var q goPick
		if err := json.Unmarshal([]byte(doc), &q); err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
		got, err := readPick(doc)
		if err != nil {
			t.Errorf("%s: %v", doc, err)
			continue
		}
		comparePick(t, q.want(), got)
	}
}

// TestSession: what a request says of its conversation, the best of it.
func TestSession(t *testing.T) {
	for doc, want := range map[string]string{
		`{"Options":{"Headers":{"session_id":["a","b"]},"Metadata":{"x":1}}}`:                                      "a",
		`{"Options":{"Headers":{"x-session-id":["low"],"X-Claude-Code-Session-Id":["high"]}}}`:                     "high",
		`{"Options":{"Headers":{"Session-Id":["h"]},"Metadata":{"derived_session_id":"d"}}}`:                       "d",
		`{"Options":{"Metadata":{"execution_session_id":"e","derived_session_id":"d"}}}`:                           "e",
		`{"Options":{"Metadata":{"execution_session_id":7,"derived_session_id":[]},"Headers":{"Session-Id":[1]}}}`: "",
		`{"Options":{"Metadata":null,"Headers":[],"Stream":true}}`:                                                 "",
		`{"Options":null}`: "",
		`{"Options":{"Metadata":{"execution_session_id":"` + strings.Repeat("x", 257) + `"}}}`: "",
	} {
		q, err := readPick(doc)
		if err != nil || q.session != want {
			t.Errorf("%s: %q %v, want %q", doc, q.session, err, want)
		}
	}
}

func TestReadPickRefuses(t *testing.T) {
	for _, doc := range []string{
		``, ` `, `{`, `[]`, `"x"`, `7`, `{}{}`, `{"Model":}`, `{"Model":1}`, `{"Model":"a`, `{"Model":"\x"}`, `{"Model":"\u12g4"}`,
		`{"Model" "a"}`, `{"Model":"a",}`, `{,}`, `{"Candidates":{}}`, `{"Candidates":[{"Priority":1.5}]}`, `{"Candidates":[{"Priority":"1"}]}`,
		`{"Candidates":[{"ID":1}]}`, `{"Candidates":[1]}`, `{"x":01}`, `{"x":-}`, `{"x":1.}`, `{"x":1e}`, `{"x":tru}`, `{"x":nul}`, "{\"x\":\"\n\"}", `{"x":[1,]}`, `{"x":[1 2]}`,
		`{"Candidates":[{"Priority":99999999999999999999}]}`, `{"x":` + strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1) + `}`,
	} {
		if q, err := readPick(doc); err == nil {
			t.Errorf("%.100s was read as %+v", doc, q)
		}
	}
}

// FuzzReadPick holds the scanner to encoding/json: the same documents are refused, and
// what is read is the same where names are written once and as the host writes them.
func FuzzReadPick(f *testing.F) {
	for _, doc := range []string{
		`{"Provider":"codex","Model":"gpt-5","Candidates":[{"ID":"a","Priority":-3,"Status":"active","Attributes":{"x":"y"}}]}`,
		`{"Candidates":[null,{}],"x":-0.5e+10,"y":true,"z":false,"n":null,"s":"\\\u00e9"}`, `{"Model":"\ud800"}`, `null`, "{\"Model\":\"\xff\"}", `{"Options":7}`, `{"Options":{"Headers":{"Session-Id":["a"]}}}`,
	} {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		got, err := readPick(doc)
		if err == nil && !json.Valid([]byte(doc)) {
			t.Fatalf("%q is no JSON, and was read as %+v", doc, got)
		}
		var q goPick
		bad := json.Unmarshal([]byte(doc), &q)
		if err != nil || bad != nil || !unambiguous(doc) {
			// encoding/json takes names of any case, so that it may miss more types.
			if err != nil && bad == nil && unambiguous(doc) && strings.Count(doc, "[")+strings.Count(doc, "{") < maxDepth {
				t.Fatalf("%q was refused", doc)
			}
			return
		}
		comparePick(t, q.want(), got)
	})
}

// unambiguous reports whether every name that counts is written at most once in all, in
// one way.
func unambiguous(doc string) bool {
	low := strings.ToLower(doc)
	for _, name := range []string{"Provider", "Model", "Candidates", "ID", "Status", "Priority", "Attributes"} {
		if strings.Count(low, strings.ToLower(name)) > 1 || strings.Count(doc, name) != strings.Count(low, strings.ToLower(name)) {
			return false
		}
	}
	return !strings.ContainsAny(doc, "\\ſK") // which can write a name in another way
}

// BenchmarkReadPick reads a request with 60 candidates; the other is encoding/json.
func BenchmarkReadPick(b *testing.B) {
	var q goPick
	q.Provider, q.Model = "antigravity", "claude-opus-4-6-thinking"
	for range 60 {
		q.Candidates = append(q.Candidates, goCandidate{
			ID: "antigravity-someone@example.com.json", Provider: "antigravity", Status: "active",
			Attributes: map[string]string{"path": "/root/.cli-proxy-api/antigravity-someone@example.com.json", "auth_kind": "oauth"},
		})
	}
	doc, err := json.Marshal(q)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("scanner", func(b *testing.B) {
		b.SetBytes(int64(len(doc)))
		for b.Loop() {
			if _, err := readPick(string(doc)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("json", func(b *testing.B) {
		b.SetBytes(int64(len(doc)))
		for b.Loop() {
			var q goPick
			if err := json.Unmarshal(doc, &q); err != nil {
				b.Fatal(err)
			}
		}
	})
}
