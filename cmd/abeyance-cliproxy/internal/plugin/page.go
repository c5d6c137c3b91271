package plugin

import (
	"embed"
	"net/http"
	"path"
	"strings"
)

// The page holds no data: hosts show it to anybody. It asks for the management key and
// fetches everything with it.

//go:embed page
var pageFiles embed.FS

// resourceBase is where the host has the resources of plugins.
const resourceBase = "/v0/resource/plugins/"

// pagePolicy lets the page load and call nothing but its own host.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"

// pages are the files by the name in their paths.
func pages() map[string]string {
	return map[string]string{
		"quota":     "text/html; charset=utf-8",
		"quota.js":  "text/javascript; charset=utf-8",
		"quota.css": "text/css; charset=utf-8",
	}
}

func resources() []resourceRoute {
	return []resourceRoute{
		{Path: "/quota", Menu: "Abeyance", Description: "Which account may serve which quota group, and why not"},
		{Path: "/quota.js"},
		{Path: "/quota.css"},
	}
}

// resource answers a request to the page.
func resource(where string) managementResponse {
	name := path.Base(where)
	media, known := pages()[name]
	if !known || !strings.HasPrefix(where, resourceBase) {
		return problem(http.StatusNotFound, "not_found", "abeyance has no such page")
	}
	file := name
	if name == "quota" {
		file = "quota.html"
	}
	doc, err := pageFiles.ReadFile("page/" + file)
	if err != nil {
		return problem(http.StatusNotFound, "not_found", "abeyance has no such page") // unreachable: it is built in
	}
	return managementResponse{StatusCode: http.StatusOK, Body: doc, Headers: http.Header{
		"Content-Type": {media}, "Content-Security-Policy": {pagePolicy}, "X-Content-Type-Options": {"nosniff"},
		"Cache-Control": {"no-store"}, "Referrer-Policy": {"no-referrer"},
	}}
}
