package incident

import (
	"strings"
	"time"

	"github.com/abeyance/abeyance/events"
	"github.com/abeyance/abeyance/projection"
)

// The providers and how many accounts of each there are.
const (
	antigravity = "antigravity"
	claude      = "claude"
	codex       = "codex"

	antigravityAccounts = 14
	claudeAccounts      = 8
	codexAccounts       = 8
)

// The models that clients ask for.
const (
	opus   = "claude-opus-4-6-thinking" // of Antigravity
	sonnet = "claude-sonnet-4-6"        // of Antigravity and Claude
	pro    = "gemini-3-pro-high"
	flash  = "gemini-3-flash"
	opus4  = "claude-opus-4-6" // of Claude
	gpt    = "gpt-5.3-codex"
	spark  = "gpt-5.3-codex-spark"
)

// id names an account: ag-01, cl-01, cx-01.
func id(prefix string, n int) string {
	return prefix + "-" + string(rune('0'+n/10)) + string(rune('0'+n%10))
}

// pool is what is configured.
func pool() (list []projection.PutAccount) {
	for _, p := range []struct {
		provider, prefix string
		accounts         int
	}{{antigravity, "ag", antigravityAccounts}, {claude, "cl", claudeAccounts}, {codex, "cx", codexAccounts}} {
		for n := 1; n <= p.accounts; n++ {
			list = append(list, projection.PutAccount{ID: id(p.prefix, n), Spec: events.AccountSpec{Provider: p.provider}})
		}
	}
	return list
}

// upstream is what the providers know: how much every account has used.
type upstream struct {
	quotas map[quotaKey]*quota
	rates  map[rateKey]*rate
	banned map[string]bool // :: account
	poison string          // the request that is refused whoever asks
	tokens map[string]bool // :: account whose token has expired
}

type quotaKey struct {
	account, family string
	length          time.Duration
}

type rateKey struct{ account, model string }

func newUpstream() *upstream {
	return &upstream{quotas: map[quotaKey]*quota{}, rates: map[rateKey]*rate{}, banned: map[string]bool{}, tokens: map[string]bool{}}
}

// quota is one window of one family of one account.
type quota struct {
	limit, used int
	length      time.Duration
	reset       time.Time // when the window ends; zero: none has begun
	silent      bool      // its refusals do not say when it ends
}

const (
	fiveHours = 5 * time.Hour
	week      = 7 * day
)

// spent uses one request up, unless there is none left.
func (q *quota) spent(now time.Time) bool {
	if !now.Before(q.reset) {
		q.used, q.reset = 0, now.Add(q.length).Truncate(time.Second)
	}
	if q.used >= q.limit {
		return true
	}
	q.used++
	return false
}

// rate lets requests through at a pace.
type rate struct {
	tokens int
	at     time.Time
}

// The pace of every account and model: so many at once, and one more each ratePace.
const (
	rateBurst = 3
	ratePace  = 6 * time.Second
)

// exceeded returns how long to wait; 0: go.
func (r *rate) exceeded(now time.Time) time.Duration {
	gained := int(now.Sub(r.at) / ratePace)
	if gained > 0 {
		r.tokens = min(rateBurst, r.tokens+gained)
		r.at = r.at.Add(time.Duration(gained) * ratePace)
	}
	if r.tokens == 0 {
		return ratePace - now.Sub(r.at)
	}
	r.tokens--
	return 0
}

// family is what a model shares its quota with, as the provider has it: Antigravity's
// Gemini models share one, which the groups know only from the second day on.
func family(provider, model string) string {
	switch {
	case provider == claude:
		return "all"
	case provider == codex && strings.Contains(model, "spark"):
		return "spark"
	case provider == codex:
		return "main"
	case strings.HasPrefix(model, "claude-"):
		return "claude"
	default:
		return "gemini"
	}
}

// limits are the requests that a family of an account may make in 5 hours and in a week.
func limits(provider, family string) (fiveHour, weekly int) {
	switch provider + "/" + family {
	case antigravity + "/claude":
		return 34, 260
	case antigravity + "/gemini":
		return 84, 1500
	case claude + "/all":
		return 76, 700
	case codex + "/spark":
		return 9, 500
	default:
		return 66, 640
	}
}

// quota returns a window.
func (u *upstream) quota(provider, account, family string, length time.Duration) *quota {
	k := quotaKey{account, family, length}
	if u.quotas[k] == nil {
		fiveHour, weekly := limits(provider, family)
		limit := fiveHour
		if length == week {
			limit = weekly
		}
		u.quotas[k] = &quota{limit: limit, length: length, silent: family == "spark"}
	}
	return u.quotas[k]
}

// pace returns the rate of an account and model.
func (u *upstream) pace(account, model string, now time.Time) *rate {
	k := rateKey{account, model}
	if u.rates[k] == nil {
		u.rates[k] = &rate{rateBurst, now}
	}
	return u.rates[k]
}
