package api_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/abeyance/abeyance/api"
)

// document is the part of an OpenAPI document that is looked at.
type document struct {
	Paths map[string]map[string]struct {
		OperationID string                                      `json:"operationId"`
		Scope       string                                      `json:"x-abeyance-scope"`
		Parameters  []struct{ Name, In string }                 `json:"parameters"`
		RequestBody *struct{ Content map[string]any }           `json:"requestBody"`
		Responses   map[string]struct{ Content map[string]any } `json:"responses"`
	}
	Components struct{ Schemas map[string]any }
}

func TestOpenAPIDescribesEveryRoute(t *testing.T) {
	b := newBench(t)
	a := b.get("/openapi.json").want(http.StatusOK)
	var doc document
	if err := json.Unmarshal([]byte(a.body), &doc); err != nil {
		t.Fatal(err)
	}
	for route, scope := range api.RouteScopes() {
		method, path, _ := strings.Cut(route, " ")
		op, ok := doc.Paths[path][strings.ToLower(method)]
		if !ok {
			t.Errorf("%s is not described", route)
			continue
		}
		media := "application/json"
		switch route {
		case "GET /metrics":
			media = "text/plain"
		case "GET /openapi.json":
			media = "application/openapi+json"
		case "GET /v1/backup":
			media = "application/octet-stream"
		case "GET /v1/export":
			media = "application/x-ndjson"
		case "GET /v1/events/stream":
			media = "text/event-stream"
		}
		if op.Scope != string(scope) || op.OperationID == "" || op.Responses["200"].Content[media] == nil ||
			op.Responses["default"].Content["application/problem+json"] == nil {
			t.Errorf("%s: %+v", route, op)
		}
		if takesBody(route) != (op.RequestBody != nil) && !takesFiles(route) {
			t.Errorf("%s: the body is not described", route)
		}
	}
	for path, want := range map[string]string{
		"/v1/events":        "account actor correlation_id kind order page_size page_token since target until",
		"/v1/events/stream": "Last-Event-ID account actor after correlation_id kind target",
	} {
		var lists []string
		for _, p := range doc.Paths[path]["get"].Parameters {
			lists = append(lists, p.Name)
		}
		slices.Sort(lists)
		if got := strings.Join(lists, " "); got != want {
			t.Errorf("parameters of %s: %s", path, got)
		}
	}
	if doc.Components.Schemas["ErrorModel"] != nil || doc.Components.Schemas["Problem"] == nil {
		t.Error("the problems described are not ours")
	}
	for _, want := range []string{`"all_cooling"`, `"Blocked"`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("the document lacks %s", want)
		}
	}
	if again := b.get("/openapi.json").body; again != a.body {
		t.Error("the document differs from call to call")
	}
}
