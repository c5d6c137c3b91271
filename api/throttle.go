package api

import (
	"fmt"
	"net/http"
	"time"
)

// unauthorized refuses a request without a known token; given is what it presents,
// empty for none. Only a wrong token counts against its peer.
func (s *Server) unauthorized(x *exchange, given string) *Problem {
	if given != "" {
		peer := s.peers.of(x.request)
		wait, first := s.guesses.wrong(peer, x.began)
		if first {
			s.logger.WarnContext(x.request.Context(), "wrong tokens keep coming from one peer", "peer", peer.String())
		}
		if wait > 0 {
			p := newProblem(CodeWrongTokens, "too many wrong tokens came from your address; a right one is taken at any time")
			p.retryAfter = seconds(wait)
			return p
		}
	}
	return newProblem(CodeUnauthorized, "send a known token as Authorization: Bearer TOKEN")
}

// changePace is the pace of a token's changes: so many a second in the long run, ten
// seconds' worth at once.
func changePace(perSecond int) pace {
	if perSecond <= 0 {
		return pace{burst: 1}
	}
	return pace{every: time.Second / time.Duration(perSecond), burst: 10 * perSecond}
}

// isPaced reports whether requests of a method and scope count as changes.
func isPaced(method string, need Scope) bool {
	return method != http.MethodGet && (need == ScopeOperate || need == ScopeAdmin)
}

// paced holds up a token that changes things without end, as a script in a loop does.
// What is on the path of a proxy's requests is never held up.
func (s *Server) paced(x *exchange, need Scope) *Problem {
	if !isPaced(x.request.Method, need) {
		return nil
	}
	wait := x.token.changes.take(s.changes, x.began)
	if wait == 0 {
		return nil
	}
	p := newProblem(CodeTooManyChanges, fmt.Sprintf("the token %s changes more than %d things a second; nothing was done",
		x.token.Name, time.Second/s.changes.every))
	p.retryAfter = seconds(wait)
	return p
}
