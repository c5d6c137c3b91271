{
  "version": 1,
  "auth_id": "antigravity-mira.k@example.com.json",
  "provider": "antigravity",
  "updated_at": "2026-11-23T09:00:01.25Z",
  "records": [
    {
      "provider": "antigravity",
      "auth_id": "antigravity-mira.k@example.com.json",
      "status": "cooling",
      "next_retry_after": "2026-11-23T09:30:00Z",
      "reason": "unauthorized",
      "quota": {"exceeded": false, "next_recover_at": "0001-01-01T00:00:00Z"},
      "last_error": {"message": "token of mira.k@example.com refused: Bearer abcdefghijklmnop", "retryable": false, "http_status": 401},
      "updated_at": "2026-11-23T09:00:00Z"
    },
    {
      "provider": "antigravity",
      "auth_id": "antigravity-mira.k@example.com.json",
      "model": "claude-opus-4-6-thinking",
      "status": "cooling",
      "next_retry_after": "2026-11-26T08:15:27.791609974Z",
      "reason": "quota",
      "quota": {"exceeded": true, "reason": "quota", "next_recover_at": "2026-11-26T08:15:27.791609974Z", "backoff_level": 2},
      "updated_at": "2026-11-23T09:00:00Z"
    },
    {"auth_id": "", "model": "gpt-5", "next_retry_after": "2026-11-23T21:00:00Z", "reason": "not_found", "last_error": null},
    {"auth_id": "x.json", "provider": "xai", "model": "grok-4", "next_retry_after": "0001-01-01T00:00:00Z", "reason": "payment_required"},
    {"auth_id": "x.json", "provider": "xai", "model": "grok-5", "next_retry_after": "2026-11-23T09:30:00Z", "last_error": {"message": "", "retryable": true, "http_status": 503}},
    {"auth_id": "v.json", "provider": "vertex", "model": "gemini-3-pro", "next_retry_after": "2026-11-23T09:30:00Z"},
    {"auth_id": "x.json", "provider": "xai", "model": "grok-6", "next_retry_after": "2026-11-23T09:30:00Z", "reason": "capacity"},
    {"auth_id": "x.json", "provider": "xai", "model": "grok-7", "next_retry_after": "2026-11-23T09:30:00Z", "reason": "", "last_error": {"http_status": 403, "message": "m", "retryable": false}}
  ]
}
