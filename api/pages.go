package api

import (
	"net/http"
	"strings"
)

// pagesPrefix is where the dashboard's pages are, beside the one at /.
const pagesPrefix = "/ui/"

// Dashboard gives the server its pages: those at / and below /ui/. They come before
// [Server.Ready] too, and look after who may see what by calling the API themselves.
func (s *Server) Dashboard(h http.Handler) { s.pages.Store(&h) }

// pageRoute names the requests for pages in metrics. What methods there are is not for
// clients to say: each would be a series for ever.
func pageRoute(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost:
		return method + " page"
	}
	return ""
}

// page returns the dashboard if a request is for it.
func (s *Server) page(r *http.Request) http.Handler {
	h := s.pages.Load()
	if h == nil || r.URL.Path != "/" && !strings.HasPrefix(r.URL.Path, pagesPrefix) {
		return nil
	}
	return *h
}
