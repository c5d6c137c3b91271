package api_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/api"
)

// takingBodies are the routes that read a body strictly, each with one that it takes.
func takingBodies() map[string]string {
	return map[string]string{
		"POST /v1/pick":           `{"provider":"antigravity","model":"m"}`,
		"POST /v1/reports":        `{"account":"a1","provider":"antigravity","model":"m","status":200}`,
		"POST /v1/classify":       `{"provider":"antigravity","status":200}`,
		"POST /v1/suspend":        `{"account":"a1","reason":"r","forever":true,"dry_run":true}`,
		"POST /v1/lift":           `{"account":"a1","dry_run":true}`,
		"POST /v1/clear":          `{"account":"a1","dry_run":true}`,
		"POST /v1/recheck":        `{"account":"a1","dry_run":true}`,
		"PUT /v1/accounts/{id}":   `{"provider":"antigravity"}`,
		"PATCH /v1/accounts/{id}": `{"priority":0}`,
		"PUT /v1/groups":          `{"dry_run":true}`,
		"PUT /v1/policy":          `{"dry_run":true}`,
		"POST /v1/reload":         `{"dry_run":true,"on_behalf_of":"ops"}`,
		"POST /v1/tokens":         `{"name":"t","scopes":["read"]}`,
		"POST /v1/replay":         `{"from":"seq:1"}`,
		"POST /v1/session":        `{"person":"ops"}`,

		"POST /v1/accounts/{id}/forget": `{"on_behalf_of":"ops"}`,
	}
}

// goodBodies are all the routes that read a JSON body, each with one that it takes.
func goodBodies() map[string]string {
	all := takingBodies()
	maps.Copy(all, compatBodies())
	return all
}

// takesFiles tells the route whose body is a file of any format.
func takesFiles(route string) bool { return route == "POST /v1/import" }

func TestBodiesAreReadStrictly(t *testing.T) {
	b := newBench(t)
	b.pool()
	for route := range api.RouteScopes() {
		if goodBodies()[route] == "" && !takesFiles(route) && !strings.HasPrefix(route, "GET ") && !strings.HasPrefix(route, "DELETE ") {
			t.Errorf("%s is not tested", route)
		}
	}
	before := len(b.records())
	for route, good := range takingBodies() {
		method, pattern, _ := strings.Cut(route, " ")
		send := func(body string, header map[string]string) answer {
			return b.do(request{method: method, path: path(pattern), body: body, header: header})
		}
		for name, bad := range map[string]string{
			"empty":           " ",
			"broken":          `{"account"`,
			"unknown field":   strings.Replace(good, "{", `{"actor":"operator:root",`, 1),
			"trailing value":  good + good,
			"trailing text":   good + "x",
			"a list":          "[" + good + "]",
			"null with text":  "null null",
			"wrong type":      strings.Replace(good, "{", `{"dry_run":"yes","reason":1,"status":"x","scopes":1,"priority":"x","on_behalf_of":2,"name":3,"to":4,`, 1),
			"not JSON at all": "provider=antigravity",
		} {
			a := send(bad, nil)
			if a.status != http.StatusBadRequest {
				t.Errorf("%s: %s: status %d: %s", route, name, a.status, a.body)
				continue
			}
			a.problem(http.StatusBadRequest, "invalid_body")
		}
		send(good+strings.Repeat(" ", 1<<20), nil).problem(http.StatusRequestEntityTooLarge, "body_too_large")
		for _, media := range []string{"text/plain", "application/x-www-form-urlencoded", "application/problem+json", ""} {
			send(good, map[string]string{"Content-Type": media}).problem(http.StatusUnsupportedMediaType, "unsupported_media_type")
		}
		send(good, map[string]string{"Content-Encoding": "gzip"}).problem(http.StatusUnsupportedMediaType, "unsupported_media_type")
		if n := len(b.records()); n != before {
			t.Fatalf("%s: a refused body appended %d records", route, n-before)
		}
		send(good, map[string]string{"Content-Type": "application/json; charset=utf-8"}).want(http.StatusOK)
		before = len(b.records())
	}
}

// TestBodyOfUnknownLength covers bodies without a Content-Length.
func TestBodyOfUnknownLength(t *testing.T) {
	b := newBench(t)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/clear", strings.NewReader(strings.Repeat(" ", 1<<20+1)))
	r.ContentLength = -1
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+b.token["admin"])
	w := httptest.NewRecorder()
	b.server.ServeHTTP(w, r)
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", w.Code)
	}
}

func TestBodiesThatAreNotUTF8(t *testing.T) {
	b := newBench(t)
	b.pool()
	b.post("/v1/suspend", "{\"account\":\"a1\",\"reason\":\"\xff\",\"forever\":true}").problem(http.StatusBadRequest, "invalid_body")
	// A proxy that passes an upstream's garbage on must still be able to report it.
	a := b.post("/v1/reports", "{\"account\":\"a1\",\"provider\":\"antigravity\",\"model\":\"m\",\"status\":429,\"body\":\"\xff\xfe\"}")
	if got := decode[api.ReportAnswer](a.want(http.StatusOK)); got.Effect != "started" {
		t.Errorf("%+v", got)
	}
}

func TestQueriesAreReadStrictly(t *testing.T) {
	b := newBench(t)
	b.pool()
	for _, path := range []string{
		"/v1/cells?acount=a1", "/v1/cells?account=a1&account=a2", "/v1/cells?account=%zz", "/v1/cells?a;b", "/v1/head?x=",
		"/v1/events?limit=1", "/v1/verify?fast=1",
	} {
		b.get(path).problem(http.StatusBadRequest, "unknown_parameter")
	}
	b.post("/v1/pick?dry_run=true", `{"provider":"antigravity","model":"m"}`).problem(http.StatusBadRequest, "unknown_parameter")
	for _, path := range []string{
		"/v1/cells?page_size=0", "/v1/cells?page_size=1001", "/v1/cells?page_size=x", "/v1/cells?status=frozen",
		"/v1/cells?older_than=soon", "/v1/cells?at=yesterday", "/v1/cells?at=seq:0", "/v1/cells?at=seq:-1",
		"/v1/events?order=up", "/v1/events?kind=frozen", "/v1/events?since=today", "/v1/events/0", "/v1/events/x",
		"/v1/why", "/v1/why?provider=antigravity", "/v1/why?account=a1&provider=antigravity&model=m", "/v1/verify?head=1",
	} {
		a := b.get(path)
		if a.status == http.StatusNotImplemented {
			continue // no verification on this bench
		}
		a.problem(http.StatusUnprocessableEntity, "invalid")
	}
}
