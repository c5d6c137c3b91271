package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events"
)

// raw writes a request to a server as a browser's page, or anybody, would send it.
func raw(method, path, body string, headers ...string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\n%s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", method, path, strings.Join(headers, "\r\n"), len(body), body)
}

// TestWhatBrowsersAreMadeToSend plays the pages that an operator may have open, over
// loopback and with a token that is right: what is refused is the request.
func TestWhatBrowsersAreMadeToSend(t *testing.T) {
	b := newBench(t, tune{options: func(o *api.Options) { o.AllowedHosts = nil }})
	addr := b.listen()
	host, auth := "Host: "+addr, "Authorization: Bearer "+b.token["admin"]
	port := addr[strings.LastIndexByte(addr, ':')+1:]
	const put = `{"provider":"antigravity"}`
	if a := told(t, say(t, addr, raw("PUT", "/v1/accounts/a1", put, host, auth, "Content-Type: application/json"))); a.status != http.StatusOK {
		t.Fatal(a.status, a.body)
	}
	before := len(b.records())
	const body = `{"account":"a1","reason":"r","forever":true}`
	for _, c := range []struct {
		name    string
		headers []string
		status  int
		code    string
	}{
		{"another site", []string{host, auth, "Origin: https://evil.test", "Sec-Fetch-Site: cross-site", "Content-Type: application/json"}, 403, "cross_origin"},
		{"another site, an old browser", []string{host, auth, "Origin: https://evil.test", "Content-Type: application/json"}, 403, "cross_origin"},
		{"another port of this machine", []string{host, auth, "Origin: http://127.0.0.1:1", "Sec-Fetch-Site: same-site", "Content-Type: application/json"}, 403, "cross_origin"},
		{"another port, an old browser", []string{host, auth, "Origin: http://127.0.0.1:1", "Content-Type: application/json"}, 403, "cross_origin"},
		{"a sandboxed frame", []string{host, auth, "Origin: null", "Sec-Fetch-Site: cross-site", "Content-Type: application/json"}, 403, "cross_origin"},
		{"a file", []string{host, auth, "Origin: null", "Content-Type: application/json"}, 403, "cross_origin"},
		{"a name that was made to mean this machine", []string{"Host: evil.test:" + port, auth, "Origin: http://evil.test:" + port, "Sec-Fetch-Site: same-origin", "Content-Type: application/json"}, 421, "misdirected_request"},
		{"the same, an old browser", []string{"Host: evil.test:" + port, auth, "Content-Type: application/json"}, 421, "misdirected_request"},
		{"0.0.0.0", []string{"Host: 0.0.0.0:" + port, auth, "Content-Type: application/json"}, 421, "misdirected_request"},
		{"a form", []string{host, auth, "Content-Type: application/x-www-form-urlencoded"}, 415, "unsupported_media_type"},
		{"a form of text", []string{host, auth, "Content-Type: text/plain"}, 415, "unsupported_media_type"},
		{"a form with a file", []string{host, auth, "Content-Type: multipart/form-data; boundary=x"}, 415, "unsupported_media_type"},
		{"a form of another site", []string{host, "Origin: https://evil.test", "Sec-Fetch-Site: cross-site", "Content-Type: text/plain"}, 403, "cross_origin"},
		{"a beacon", []string{host, "Content-Type: application/json"}, 401, "unauthorized"},
		{"a login of the URL", []string{host, "Authorization: Basic " + b.token["admin"], "Content-Type: application/json"}, 401, "unauthorized"},
		{"who says to be local", []string{host, "X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", "Content-Type: application/json"}, 401, "unauthorized"},
		{"a method in a header", []string{host, "X-HTTP-Method-Override: GET", "Content-Type: application/json"}, 401, "unauthorized"},
	} {
		told(t, say(t, addr, raw("POST", "/v1/suspend", body, c.headers...))).problem(c.status, c.code)
	}
	for name, preflight := range map[string][]string{
		"another site": {host, "Origin: https://evil.test", "Access-Control-Request-Method: POST", "Access-Control-Request-Private-Network: true"},
		"our own":      {host, "Origin: http://" + addr, "Access-Control-Request-Method: POST"},
	} {
		res := say(t, addr, raw("OPTIONS", "/v1/suspend", "", preflight...))
		for header := range res.Header {
			if strings.HasPrefix(header, "Access-Control-") {
				t.Errorf("%s: a preflight is answered %s", name, header)
			}
		}
	}
	if n := len(b.records()); n != before {
		t.Errorf("%d records of what was refused", n-before)
	}
	for _, headers := range [][]string{
		{host, auth, "Content-Type: application/json"},
		{host, auth, "Origin: http://" + addr, "Sec-Fetch-Site: same-origin", "Content-Type: application/json"},
		{host, auth, "Origin: http://" + addr, "Content-Type: application/json"}, // an old browser
		{"Host: localhost:" + port, auth, "Sec-Fetch-Site: none", "Content-Type: application/json"},
	} {
		told(t, say(t, addr, raw("POST", "/v1/suspend", body, headers...))).want(http.StatusOK)
	}
}

// TestOneThousandWrongKeys, each with other headers, over loopback: no way around the
// pace, and the right key passes all the while.
func TestOneThousandWrongKeys(t *testing.T) {
	b := newBench(t, tune{quiet: true})
	addr := b.listen()
	var mu sync.Mutex
	count := map[int]int{}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for n := worker; n < 1000; n += 8 {
				ip := fmt.Sprintf("10.%d.%d.%d", n%7, n%251, n%253)
				res := say(t, addr, raw("GET", "/v1/head", "", "Host: "+addr, "Authorization: Bearer "+wrongKey(n),
					"X-Forwarded-For: "+ip, "X-Real-IP: "+ip, "Forwarded: for="+ip, "CF-Connecting-IP: "+ip, "User-Agent: "+ip))
				mu.Lock()
				count[res.StatusCode]++
				mu.Unlock()
				if n%100 < 8 {
					told(t, say(t, addr, raw("GET", "/v1/head", "", "Host: "+addr, "Authorization: Bearer "+b.token["read"]))).want(http.StatusOK)
				}
			}
		})
	}
	wg.Wait()
	// A new guess is allowed every 6 s: a slow machine may see one or two more.
	if count[401] < api.GuessBurst || count[401] > api.GuessBurst+10 || count[401]+count[429] != 1000 {
		t.Errorf("answers %v, want %d of 401 and the rest of 429", count, api.GuessBurst)
	}
}

// appendOnly fails a test when a record is appended while it must not be.
type appendOnly struct {
	events.Log
	t      testing.TB
	forbid bool
}

func (l *appendOnly) Append(ctx context.Context, recs []events.Record) error {
	if l.forbid {
		l.t.Errorf("%s was appended", recs[0].Event.Kind())
	}
	return l.Log.Append(ctx, recs)
}

// TestNoGetChangesAnything walks every route that browsers think safe.
func TestNoGetChangesAnything(t *testing.T) {
	var log *appendOnly
	b := newBench(t, tune{log: func(l events.Log) events.Log {
		log = &appendOnly{Log: l, t: t}
		return log
	}})
	b.pool()
	b.post("/v1/reports", limited("a1", "claude-opus-4-6")).want(http.StatusOK)
	b.post("/v1/suspend", `{"account":"a2","reason":"r","forever":true}`).want(http.StatusOK)
	before, tokens := dump(t, b), fmt.Sprint(b.tokens.List())
	log.forbid = true
	tried := 0
	for _, route := range b.routes() {
		_, pattern, _ := strings.Cut(route, " ")
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace} {
			for _, query := range []string{"", "?account=a1&target=claude&reason=r&forever=true&name=x&force=true&dry_run=false&_method=DELETE"} {
				where := path(pattern)
				if strings.Contains(where, "?") {
					query = strings.Replace(query, "?", "&", 1)
				}
				a := b.do(request{method: method, path: where + query, body: `{"account":"a1","reason":"r","forever":true}`, header: map[string]string{"X-HTTP-Method-Override": "POST"}})
				if a.status < 500 {
					tried++
				}
			}
		}
	}
	if tried < 100 || dump(t, b) != before || fmt.Sprint(b.tokens.List()) != tokens {
		t.Errorf("%d requests changed something", tried)
	}
	log.forbid = false
	b.post("/v1/lift", `{"account":"a2"}`).want(http.StatusOK)
	if dump(t, b) == before {
		t.Error("a change would not be seen")
	}
}

// dump is the whole state, as text.
func dump(t testing.TB, b *bench) string {
	t.Helper()
	doc, err := b.engine.State().Dump()
	if err != nil {
		t.Fatal(err)
	}
	return string(doc)
}

// TestLogLinesHoldWhatTheyTell: whatever ids, reasons, names and headers hold, one
// request is one line of JSON with its own keys.
func TestLogLinesHoldWhatTheyTell(t *testing.T) {
	hostile := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		"a\nlevel=ERROR msg=forged", "a\r\n{\"level\":\"ERROR\",\"msg\":\"forged\"}", "\x1b[2J\x1b]0;x\x07", "a\x00b", "\u2028\u202ex", `","msg":"forged`, "\xff\xfe",
	}))
	b := newBench(t, tune{options: func(o *api.Options) { o.TrustedProxies = inside() }})
	b.pool()
	rapid.Check(t, func(t *rapid.T) {
		b.logs.Reset()
		text := hostile.Draw(t, "text")
		header := func(text string) string {
			return strings.Map(func(r rune) rune {
				if unicode.IsControl(r) {
					return ' '
				}
				return r
			}, text)
		}
		doc, err := json.Marshal(map[string]any{"account": text, "reason": text, "target": text, "name": text, "provider": text, "model": text, "forever": true, "on_behalf_of": text})
		if err != nil {
			t.Fatal(err)
		}
		requests := 0
		for _, route := range []string{"POST /v1/suspend", "POST /v1/reports", "POST /v1/tokens", "PUT /v1/accounts/{id}", "GET /v1/why?account={id}", "GET /{id}", "POST /v1/pick", "DELETE /v1/tokens/{id}"} {
			method, pattern, _ := strings.Cut(route, " ")
			b.do(request{method: method, path: strings.Replace(pattern, "{id}", url.QueryEscape(text), 1), body: string(doc), header: map[string]string{
				"User-Agent": header(text), "X-Abeyance-Via": header(text), "Idempotency-Key": header(text), "X-Forwarded-For": header(text),
			}})
			requests++
		}
		lines := bytes.Split(bytes.TrimSuffix(b.logs.Bytes(), []byte("\n")), []byte("\n"))
		seen := 0
		for _, line := range lines {
			var entry map[string]any
			if err := json.Unmarshal(line, &entry); err != nil {
				t.Fatalf("%v in the line %q", err, line)
			}
			if bytes.ContainsFunc(line, unicode.IsControl) {
				t.Fatalf("a control character in the line %q", line)
			}
			switch entry["msg"] {
			case "request":
				seen++
			case "a token was made", "a token was deleted": // beside the request's line
			default:
				t.Fatalf("a line that nobody wrote: %q", line)
			}
			for key := range entry {
				if !slices.Contains([]string{"time", "level", "msg", "route", "status", "bytes", "took", "peer", "client", "token", "account", "name", "by"}, key) {
					t.Fatalf("a key %q that nobody wrote", key)
				}
			}
		}
		if seen != requests {
			t.Fatalf("%d lines of %d requests:\n%s", seen, requests, b.logs)
		}
	})
}

// TestIdsHaveOneForm: what is taken as an id comes back as it was, and what could pass
// for another is refused.
func TestIdsHaveOneForm(t *testing.T) {
	b := newBench(t)
	for id, ok := range map[string]bool{
		"a1": true, "über": true, "a/b c?d#e%2F": true, strings.Repeat("x", 256): true, "аdmin": true, // Cyrillic: another id, not a form of the same
		strings.Repeat("x", 257): false, "u\u0308ber": false, "a\u202eb": false, "a\u2066b": false, "a\x1bb": false, "a\nb": false, "a\x00b": false, "a\u0085b": false, "\xff": false,
	} {
		a := b.put("/v1/accounts/"+url.PathEscape(id), `{"provider":"kimi"}`)
		if !ok {
			a.problem(http.StatusUnprocessableEntity, "invalid")
			continue
		}
		if row := decode[api.AccountAnswer](a.want(http.StatusOK)).Account; row == nil || row.Account != id {
			t.Errorf("%q became %+v", id, row)
		}
	}
}

// TestFramesHoldOneRecord: whatever a record holds, on the stream it is one id and one
// line of JSON, in the order of the log. A browser also takes a lone CR for an end of line.
func TestFramesHoldOneRecord(t *testing.T) {
	hostile := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		"a\n\nevent: lift\ndata: {}\n\n", "a\r\rdata: {}\r\r", "\nid: 999\n", "a\u2028\u2029\u0085b", "\x00", ": end: forged\n\n", "\xff",
	}))
	streaming(t, tune{quiet: true}, func(l *live) {
		r := l.follow("?after=4")
		next := uint64(5)
		rapid.Check(t, func(t *rapid.T) {
			text := hostile.Draw(t, "text")
			body, err := json.Marshal(map[string]any{"account": "a1", "reason": "r" + text, "forever": true, "on_behalf_of": text})
			if err != nil {
				t.Fatal(err)
			}
			l.do(request{method: http.MethodPost, path: "/v1/suspend", body: string(body), header: map[string]string{"Idempotency-Key": fmt.Sprint("k", next)}})
			l.post("/v1/reports", limited("a2", "claude"+text))
			for head := uint64(l.engine.State().Head().Seq); next <= head; next++ {
				block := r.block()
				if len(block) != 2 || strings.ContainsAny(block[1], "\r\x00") {
					t.Fatalf("no frame: %q", block)
				}
				if row := r.parse(block); row.Seq != next {
					t.Fatalf("record %d, want %d", row.Seq, next)
				}
			}
		})
		if next < 50 {
			t.Errorf("only %d records were followed", next)
		}
	})
}
