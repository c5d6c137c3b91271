package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/router"
)

// pickRequest is what of scheduler.pick counts. Its texts share the memory of the
// request: what outlives the call must be cloned.
type pickRequest struct {
	provider   string // empty if the route takes several
	model      string // as the client named it
	candidates []candidate
	session    string // what sticky keeps together; empty: nothing says
	rank       int    // of where session was found; a lower one counts
}

// candidate is an account that the host could use.
type candidate struct {
	id       string
	provider string
	priority int
	status   string
}

// statusDisabled is the status of an account that the host's operator has disabled.
const statusDisabled = "disabled"

func (c *candidate) disabled() bool { return strings.EqualFold(c.status, statusDisabled) }

// readPick reads the request of a pick.
func readPick(doc string) (pickRequest, error) {
	var q pickRequest
	s := scanner{doc: doc}
	s.object(func(name string) {
		switch name {
		case "Provider":
			q.provider = s.text()
		case "Model":
			q.model = s.text()
		case "Candidates":
			q.candidates = make([]candidate, 0, 64)
			s.array(func() { q.candidates = append(q.candidates, s.candidate()) })
		case "Options":
			q.options(&s)
		default:
			s.skip()
		}
	})
	if err := s.end(); err != nil {
		return pickRequest{}, err
	}
	for i := range q.candidates {
		if c := &q.candidates[i]; c.provider == "" {
			c.provider = q.provider
		}
	}
	return q, nil
}

// sessionNames are where a request says which conversation it is of: in what the host
// found out, or in the headers of clients, the ones that say it best first.
var sessionNames = []string{
	"execution_session_id", "derived_session_id", "X-Claude-Code-Session-Id", "Session-Id", "Session_id", "X-Session-ID",
}

// options looks for the session in the options of a request. Whatever else they hold,
// and in whatever form, is no concern of a pick.
func (q *pickRequest) options(s *scanner) {
	if s.next() != '{' {
		s.skip()
		return
	}
	s.object(func(name string) {
		if (name != "Headers" && name != "Metadata") || s.next() != '{' {
			s.skip()
			return
		}
		s.object(func(name string) {
			rank := slices.IndexFunc(sessionNames, func(n string) bool { return strings.EqualFold(n, name) })
			if value := s.first(); rank >= 0 && value != "" && len(value) <= events.MaxID && (q.session == "" || rank < q.rank) {
				q.session, q.rank = value, rank
			}
		})
	})
}

// first reads a text, or the first of a list of texts; of any other value nothing.
func (s *scanner) first() (text string) {
	switch s.next() {
	case '"':
		return s.text()
	case '[':
		n := 0
		s.array(func() {
			if n++; n == 1 && s.next() == '"' {
				text = s.text()
				return
			}
			s.skip()
		})
		return text
	default:
		s.skip()
		return ""
	}
}

func (s *scanner) candidate() (c candidate) {
	s.object(func(name string) {
		switch name {
		case "ID":
			c.id = s.text()
		case "Provider":
			c.provider = s.text()
		case "Priority":
			c.priority = s.integer()
		case "Status":
			c.status = s.text()
		default:
			s.skip()
		}
	})
	return c
}

// What a pick came to, as a label of the metric.
const (
	pickFree    = "free"     // nothing blocked: left to the host
	pickServed  = "picked"   // a usable account of ours
	pickProbe   = "probe"    // one that cools, to see whether its quota is back
	pickBlocked = "blocked"  // nothing usable
	pickObserve = "observe"  // left to the host, as the mode says
	pickIdle    = "not_open" // left to the host, since the log is not open
	pickInvalid = "invalid"
)

// notHandled leaves a pick to the host.
var notHandled = []byte(`{"ok":true,"result":{"AuthID":"","DelegateBuiltin":"","Handled":false}}`)

// pick answers scheduler.pick.
func (p *Plugin) pick(request []byte) []byte {
	q, err := readPick(string(request))
	if err != nil {
		p.metrics.pick(pickInvalid)
		return fail(&failure{Code: codeInvalid, Message: err.Error()})
	}
	c, cfg := p.core.Load(), p.config.Load()
	if c == nil || cfg == nil {
		p.metrics.pick(pickIdle)
		return notHandled
	}
	c.learner.offer(q.candidates)
	if cfg.Mode == modeObserve {
		p.metrics.pick(pickObserve)
		return notHandled
	}
	return p.choose(c, &q, cfg.Strategy)
}

// choose picks among the candidates that the host has not disabled.
func (p *Plugin) choose(c *core, q *pickRequest, s router.Strategy) []byte {
	o := router.Offer{Model: q.model, Accounts: make([]router.Offered, 0, len(q.candidates)), Strategy: s, Session: q.session, Now: c.engine.Now()}
	for i := range q.candidates {
		if x := &q.candidates[i]; !x.disabled() {
			o.Accounts = append(o.Accounts, router.Offered{Account: x.id, Provider: provider(x.provider), Priority: x.priority})
		}
	}
	if len(o.Accounts) == 0 {
		p.metrics.pick(pickFree)
		return notHandled // the host knows best what to say when it has nobody
	}
	choice, err := c.router.Choose(o)
	if blocked, ok := errors.AsType[*router.BlockedError](err); ok {
		p.metrics.pick(pickBlocked)
		return fail(refusal(blocked))
	}
	if err != nil {
		p.metrics.pick(pickInvalid)
		return fail(&failure{Code: codeInvalid, Message: err.Error()})
	}
	if choice.Blocked == 0 {
		p.metrics.pick(pickFree)
		return notHandled
	}
	if choice.Lease.Probe == 0 {
		p.metrics.pick(pickServed)
	} else {
		p.metrics.pick(pickProbe)
		c.probes.add(choice.Lease, o.Now)
	}
	return picked(choice.Lease.Account)
}

// picked answers with an account.
func picked(account string) []byte {
	const before, after = `{"ok":true,"result":{"AuthID":`, `,"DelegateBuiltin":"","Handled":true}}`
	id, err := json.Marshal(account)
	if err != nil {
		return notHandled // unreachable: a text can be marshalled
	}
	doc := make([]byte, 0, len(before)+len(id)+len(after))
	doc = append(doc, before...)
	doc = append(doc, id...)
	return append(doc, after...)
}

// refusal says that nothing is usable. The host passes on the status and the message
// alone, so that the message holds the code and the wait too.
func refusal(e *router.BlockedError) *failure {
	f := &failure{Code: string(e.Code), Message: "abeyance: " + e.Error(), HTTPStatus: http.StatusTooManyRequests}
	if wait := e.RetryAfter(); wait > 0 {
		f.Retryable = true
		f.Message += fmt.Sprintf("; retry after %d s", wait/time.Second)
	}
	return f
}

// provider is a provider of the host by the name that Abeyance has for it.
func provider(name string) string {
	switch name {
	case "vertex":
		return "vertex-ai"
	case "aistudio": // the same models behind another door
		return "gemini-api"
	}
	return name
}
