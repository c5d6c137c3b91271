package incident

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// response is what an upstream answers.
type response struct {
	status int
	header http.Header
	body   string
}

// object is a JSON object.
type object = map[string]any

func answer(status int, header http.Header, body any) response {
	doc, err := json.MarshalIndent(body, "", "  ")
	if err != nil {
		panic(err) // unreachable: every body is made of strings and numbers
	}
	return response{status, header, string(doc)}
}

func headers(kv ...string) http.Header {
	h := http.Header{}
	for i := 0; i+1 < len(kv); i += 2 {
		h.Set(kv[i], kv[i+1])
	}
	return h
}

// Antigravity labels everything as an event stream.
func google(status int, name, message string, details ...any) response {
	e := object{"code": status, "message": message, "status": name}
	if len(details) > 0 {
		e["details"] = details
	}
	return answer(status, headers("Content-Type", "text/event-stream"), object{"error": e})
}

func errorInfo(reason string, metadata object) object {
	return object{
		"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "cloudcode-pa.googleapis.com", "metadata": metadata,
	}
}

func retryInfo(d time.Duration) object {
	return object{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": secondsOf(d) + "s"}
}

func secondsOf(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }

// googleQuota is a spent quota of Antigravity: of 5 hours, or of the week.
func googleQuota(model string, now, reset time.Time, weekly bool) response {
	d := reset.Sub(now)
	message := "You have exhausted your capacity on this model. Your quota will reset after %s."
	if weekly {
		message = "Individual quota reached. Contact your administrator to enable overages. Resets in %s."
	}
	return google(429, "RESOURCE_EXHAUSTED", fmt.Sprintf(message, d.Truncate(time.Second)),
		errorInfo("QUOTA_EXHAUSTED", object{
			"uiMessage": "true", "model": model, "quotaResetDelay": d.String(), "quotaResetTimeStamp": reset.Format(time.RFC3339),
		}), retryInfo(d))
}

// googleRate is a limit per minute.
func googleRate(model string, now time.Time, d time.Duration) response {
	return google(429, "RESOURCE_EXHAUSTED", fmt.Sprintf("You have exhausted your capacity on this model. Your quota will reset after %s.", d.Truncate(time.Second)),
		errorInfo("RATE_LIMIT_EXCEEDED", object{
			"uiMessage": "true", "model": model, "quotaResetDelay": d.String(), "quotaResetTimeStamp": now.Add(d).Format(time.RFC3339),
		}), retryInfo(d))
}

// googleCapacity is a shortage; some say for how long.
func googleCapacity(model string, d time.Duration) response {
	details := []any{errorInfo("MODEL_CAPACITY_EXHAUSTED", object{"model": model})}
	if d > 0 {
		details = append(details, retryInfo(d))
	}
	return google(503, "UNAVAILABLE", "No capacity available for model "+model+" on the server", details...)
}

// googlePlain says nothing about a quota, whatever its words: a request can provoke it.
func googlePlain() response {
	return google(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).")
}

func googleBan() response {
	return google(403, "PERMISSION_DENIED", "This service has been disabled in this account for violation of Terms of Service. "+
		"If you believe this is an error, contact support.")
}

// claudeWindows are the subscription's windows, which stand on every answer.
type claudeWindows struct {
	now, fiveHour, weekly time.Time
	spent                 string // 5h, 7d or 7d_opus; empty: none
	opus                  time.Time
}

func (w claudeWindows) reset() time.Time {
	return map[string]time.Time{"5h": w.fiveHour, "7d": w.weekly, "7d_opus": w.opus}[w.spent]
}

// claudeQuota is a spent window of a Claude subscription.
func claudeQuota(w claudeWindows) response {
	const prefix = "anthropic-ratelimit-unified-"
	epoch := func(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
	h := headers("Content-Type", "application/json", prefix+"status", "rejected", prefix+"reset", epoch(w.reset()),
		prefix+"5h-status", "allowed", prefix+"5h-reset", epoch(w.fiveHour), prefix+"7d-status", "allowed", prefix+"7d-reset", epoch(w.weekly),
		prefix+"representative-claim", map[string]string{"5h": "five_hour", "7d": "seven_day", "7d_opus": "seven_day_opus"}[w.spent],
		prefix+"fallback-percentage", "0.5", prefix+"overage-status", "rejected", prefix+"overage-disabled-reason", "org_level_disabled",
		"retry-after", strconv.FormatInt(int64(w.reset().Sub(w.now)/time.Second), 10))
	h.Set(prefix+w.spent+"-status", "rejected")
	h.Set(prefix+w.spent+"-reset", epoch(w.reset()))
	h.Set(prefix+w.spent+"-utilization", "1.0")
	return answer(429, h, claudeError("rate_limit_error", "This request would exceed your account's rate limit. Please try again later."))
}

func claudeError(kind, message string) object {
	return object{"type": "error", "error": object{"type": kind, "message": message}}
}

func claudeBurst() response {
	return answer(429, headers("Content-Type", "application/json", "x-should-retry", "true"), claudeError("rate_limit_error", "rate limit exceeded"))
}

func claudeOverloaded() response {
	return answer(529, headers("Content-Type", "application/json", "retry-after", "30"), claudeError("overloaded_error", "Overloaded"))
}

func claudeExpired() response {
	return answer(401, headers("Content-Type", "application/json"),
		claudeError("authentication_error", "OAuth token has expired. Please obtain a new token or refresh your existing token."))
}

// codexQuota is a spent window of Codex. A reset that is zero is not told.
func codexQuota(limit string, now, reset time.Time, window time.Duration) response {
	prefix := "x-" + limit + "-"
	e := object{"type": "usage_limit_reached", "message": "The usage limit has been reached", "plan_type": "pro"}
	h := headers("Content-Type", "application/json", "x-codex-active-limit", limit, prefix+"limit-name", limit, "x-codex-plan-type", "pro")
	if !reset.IsZero() {
		seconds := int64(reset.Sub(now) / time.Second)
		e["resets_at"], e["resets_in_seconds"] = reset.Unix(), seconds
		slot := "primary"
		if window > day {
			slot = "secondary"
		}
		h.Set(prefix+slot+"-used-percent", "100")
		h.Set(prefix+slot+"-window-minutes", strconv.FormatInt(int64(window/time.Minute), 10))
		h.Set(prefix+slot+"-reset-at", strconv.FormatInt(reset.Unix(), 10))
		h.Set(prefix+slot+"-reset-after-seconds", strconv.FormatInt(seconds, 10))
	}
	return answer(429, h, object{"error": e})
}

func codexRate(model string, d time.Duration) response {
	return answer(429, headers("Content-Type", "application/json"), object{"error": object{
		"type": "tokens", "code": "rate_limit_exceeded",
		"message": fmt.Sprintf("Rate limit reached for %s on tokens per min (TPM). Please try again in %ss.", model, secondsOf(d)),
	}})
}

func badGateway() response {
	return response{
		502, headers("Content-Type", "text/html", "Server", "cloudflare"),
		"<html>\n<head><title>502 Bad Gateway</title></head>\n<body>\n<center><h1>502 Bad Gateway</h1></center>\n</body>\n</html>\n",
	}
}

func served() response {
	return response{200, headers("Content-Type", "text/event-stream"), ""}
}
