package signal

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/abeyance/abeyance/events"
)

// checkBounds fails unless a signal fits the log whatever the answer was.
func checkBounds(t testing.TB, s events.Signal) {
	t.Helper()
	if !slices.Contains(events.Classes(), s.Class) {
		t.Errorf("class %q", s.Class)
	}
	switch s.Scope {
	case events.ScopeGroup, events.ScopeModel, events.ScopeAccount, events.ScopeNone:
	default:
		t.Errorf("scope %q", s.Scope)
	}
	if s.Class == events.ClassOK && s.Scope != events.ScopeNone {
		t.Errorf("a success of scope %q", s.Scope)
	}
	if s.Classifier != Version || !strings.Contains(s.Rule, "/") {
		t.Errorf("classifier %d, rule %q", s.Classifier, s.Rule)
	}
	checkStored(t, "family", s.Family, events.MaxID)
	checkStored(t, "rule", s.Rule, events.MaxName)
	checkStored(t, "reason", s.Reason, events.MaxName)
	checkStored(t, "evidence", s.Evidence, events.MaxText)
	if len(s.Hints) > maxHints {
		t.Errorf("%d hints", len(s.Hints))
	}
	for _, h := range s.Hints {
		checkStored(t, "source", h.Source, events.MaxName)
		checkStored(t, "raw", h.Raw, events.MaxRaw)
		if math.IsNaN(h.Seconds) || math.IsInf(h.Seconds, 0) {
			t.Errorf("%s: seconds %v", h.Source, h.Seconds)
		}
		if !h.At.IsZero() && (h.At.Before(firstInstant) || h.At.After(lastInstant)) {
			t.Errorf("%s: at %v", h.Source, h.At)
		}
	}
	if seconds, ok := RetryAfter(s); ok && (seconds < 0 || math.IsInf(seconds, 0)) {
		t.Errorf("delay %v", seconds)
	}
}

func checkStored(t testing.TB, what, s string, limit int) {
	t.Helper()
	if len(s) > limit || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		t.Errorf("%s does not fit the log: %q", what, s[:min(len(s), 200)])
	}
}

func TestHostileAnswersAreBounded(t *testing.T) {
	limit := func(header http.Header, body string) Observation {
		return Observation{Provider: "antigravity", Status: 429, Header: header, Body: []byte(body), ObservedAt: time.Unix(1777636800, 0)}
	}
	for name, o := range map[string]Observation{
		"megabyte header":     limit(http.Header{"Retry-After": {strings.Repeat("9", 1<<20)}, "X-Error-Json": {strings.Repeat("A", 1<<20)}}, ""),
		"deep json":           limit(nil, strings.Repeat(`{"error":`, 100_000)),
		"deep arrays":         limit(nil, strings.Repeat(`[`, 100_000)),
		"nested in strings":   limit(nil, nestedStrings(40)),
		"colours and links":   limit(nil, `{"error":{"code":429,"message":"\u001b[31mred\u001b[0m <script>alert(1)</script>\u0000\u202e"}}`),
		"control characters":  limit(nil, "{\"error\":{\"message\":\"a\rb\nc\x00d\",\"code\":\"\x1b[2J\"}}"),
		"not utf-8":           limit(nil, "{\"error\":{\"message\":\"\xff\xfe\xfd\",\"code\":\"\xc3\"}}"),
		"long names":          limit(nil, `{"error":{"code":"`+strings.Repeat("c", 9000)+`","details":[{"reason":"QUOTA_EXHAUSTED","metadata":{"model":"`+strings.Repeat("m", 9000)+`"}}]}}`),
		"many errors":         limit(nil, "["+strings.Repeat(`{"error":{"code":429}},`, 3000)+"]"),
		"many details":        limit(nil, `{"error":{"code":429,"details":[`+strings.Repeat(`{"retryDelay":"1s"},`, 3000)+"]}}"),
		"long message":        limit(nil, `{"error":{"message":"`+strings.Repeat("retry after ", 5000)+`"}}`),
		"long stream":         {Provider: "codex", Status: 200, Body: []byte(strings.Repeat("data: {\"error\":null}\n\n", 5000))},
		"long provider":       {Provider: strings.Repeat("p", 1<<20), Status: 429},
		"status out of range": {Provider: "claude", Status: 1 << 30},
		"negative status":     {Provider: "claude", Status: -1, Body: []byte(`{"error":{"code":-7}}`)},
		"html":                {Provider: "claude", Status: 503, Body: []byte("<html>" + strings.Repeat("<div>", 50_000))},
		"xml":                 {Provider: "bedrock", Status: 429, Body: []byte("<Error>" + strings.Repeat("<Code>", 50_000))},
		"far observation":     {Provider: "codex", Status: 429, Body: []byte(`{"error":{"type":"usage_limit_reached","resets_at":1777636860}}`), ObservedAt: time.Unix(1<<40, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			s := Classify(o)
			checkBounds(t, s)
			ResetAt(s, o.ObservedAt)
		})
	}
}

// nestedStrings is a document in a string in a document, and so on.
func nestedStrings(levels int) string {
	doc := `{"error":{"code":429,"message":"core"}}`
	for range levels {
		inner, _ := json.Marshal(doc)
		if doc = `{"error":{"message":` + string(inner) + `}}`; len(doc) > MaxBody {
			break
		}
	}
	return doc
}

// A body is cut before it is parsed: what lies beyond MaxBody changes nothing.
func TestBodyIsCut(t *testing.T) {
	body := make([]byte, 100<<20)
	copy(body, `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"reason":"QUOTA_EXHAUSTED"}],"pad":"`)
	o := Observation{Provider: "antigravity", Status: 429, Body: body}
	long := Classify(o)
	o.Body = body[:MaxBody]
	if diff := cmp.Diff(Classify(o), long); diff != "" {
		t.Errorf("the tail of a long body changes the signal:\n%s", diff)
	}
	if long.Class != events.ClassQuotaExhausted {
		t.Errorf("class %s", long.Class)
	}
}

func TestRule17AbsurdDelays(t *testing.T) {
	for raw, want := range map[string]string{
		"999999999999": "", "9999999999": "", "-1": events.LostNegative, "NaN": events.LostNotFinite, "Inf": events.LostNotFinite,
		"0": events.LostZero, "1e400": events.LostUnreadable, "Fri, 31 Dec 9999 23:59:59 GMT": events.LostNotFinite, "\x00": events.LostUnreadable,
		"Thu, 01 Jan 1970 00:00:00 GMT": events.LostPast,
	} {
		s := Classify(Observation{Provider: "openai-compat", Status: 429, Header: http.Header{"Retry-After": {raw}}, ObservedAt: time.Unix(1777636800, 0)})
		checkBounds(t, s)
		if len(s.Hints) != 1 || s.Hints[0].Lost != want {
			t.Errorf("Retry-After %q: %+v, want lost %q", raw, s.Hints, want)
		}
	}
}

func TestCompressedBodyFallsBackToStatus(t *testing.T) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	fmt.Fprint(w, `{"error":{"type":"usage_limit_reached"}}`)
	w.Close()
	s := Classify(Observation{Provider: "codex", Status: 429, Header: http.Header{"Retry-After": {"15"}}, Body: b.Bytes()})
	if seconds, _ := RetryAfter(s); s.Class != events.ClassRateLimited || s.Scope != events.ScopeModel || seconds != 15 {
		t.Errorf("got %+v", s)
	}
}

// Names of headers are compared without regard to case, whoever built the map.
func TestHeaderNamesInAnyCase(t *testing.T) {
	for _, name := range []string{"retry-after", "Retry-After", "RETRY-AFTER", "retry-After"} {
		s := Classify(Observation{Provider: "x", Status: 429, Header: http.Header{name: {"7"}}})
		if seconds, ok := RetryAfter(s); !ok || seconds != 7 {
			t.Errorf("%s is not read", name)
		}
	}
	h := http.Header{"retry-after": {"7"}, "x-other": {"1"}}
	before := maps.Clone(h)
	Classify(Observation{Provider: "x", Status: 429, Header: h})
	if diff := cmp.Diff(before, h); diff != "" {
		t.Errorf("the observation was changed:\n%s", diff)
	}
}

// plantedSecrets are credentials in the shapes that events.Scrub knows.
func plantedSecrets() []string {
	var secrets []string
	for i := range 25 {
		tail := fmt.Sprintf("%02dabcDEF0123456789xyzXYZ%02d", i, i)
		claims := base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"` + tail + `"}`))
		secrets = append(secrets,
			"sk-ant-"+tail, "AIza"+tail, "ya29."+tail, "ghp_"+tail, "xai-"+tail,
			"eyJhbGciOiJIUzI1NiJ9."+claims+".c2lnbmF0dXJl"+tail,
			"Bearer "+tail, fmt.Sprintf("jane.doe%02d@example.com", i))
	}
	return secrets
}

func TestRule35NoSecretInTheSignal(t *testing.T) {
	places := []func(secret string) (http.Header, string){
		func(s string) (http.Header, string) {
			return nil, `{"error":{"message":` + quote("denied for "+s+".") + `}}`
		},
		func(s string) (http.Header, string) {
			return nil, `{"error":{"code":` + quote(s) + `,"type":` + quote(s) + `}}`
		},
		func(s string) (http.Header, string) {
			return nil, `{"error":{"status":` + quote(s) + `,"details":[{"reason":"QUOTA_EXHAUSTED","metadata":{"model":` + quote(s) + `,"quotaResetDelay":` + quote(s) + `}}]}}`
		},
		func(s string) (http.Header, string) { return nil, "upstream said: " + s },
		func(s string) (http.Header, string) { return http.Header{"Retry-After": {s}}, "" },
		func(s string) (http.Header, string) {
			return http.Header{"X-Codex-Active-Limit": {s}, "X-Codex-Primary-Reset-At": {s}}, `{"error":{"type":"usage_limit_reached","plan_type":` + quote(s) + `,"resets_at":` + quote(s) + `}}`
		},
		func(s string) (http.Header, string) {
			return http.Header{"Anthropic-Ratelimit-Unified-Representative-Claim": {"seven_day_" + s}, "Anthropic-Ratelimit-Unified-Status": {"rejected"}, "Authorization": {s}}, ""
		},
		func(s string) (http.Header, string) {
			return http.Header{"X-Ratelimit-Exceeded": {s}, "X-Amzn-Errortype": {s}}, `{"error":{"metadata":{"limit_source":` + quote(s) + `}}}`
		},
	}
	providers := []string{"antigravity", "claude", "codex", "github-copilot", "openrouter", "bedrock", "other"}
	for i, secret := range plantedSecrets() {
		for j, place := range places {
			provider := providers[(i+j+i/len(providers))%len(providers)] // every pair of place and provider occurs
			header, body := place(secret)
			s := Classify(Observation{Provider: provider, Status: 429, Header: header, Body: []byte(body)})
			if text := fmt.Sprintf("%+v", s); leaks(text, secret) {
				t.Fatalf("secret %d in place %d of %s: %s", i, j, provider, text)
			}
		}
	}
}

// leaks looks for the secret itself, and for it in the lower case of names.
func leaks(text, secret string) bool {
	secret = strings.TrimPrefix(secret, "Bearer ")
	return strings.Contains(strings.ToLower(text), strings.ToLower(secret))
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}
