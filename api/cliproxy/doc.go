// Package cliproxy reads the files in which CLIProxyAPI keeps what it knows of
// suspended accounts, as bytes to values: it changes nothing and knows no state.
//
// # config.yaml
//
// Two sections of the document are read, whatever else it holds. Each is a list;
// fields that are not listed here are refused.
//
//	oauth-account-quota-group-state:
//	  - auth_id: antigravity-mira.json      # the account
//	    group_id: claude_45                 # also google-gemini-image, see below
//	    manual_suspended: true
//	    manual_reason: billing dispute
//	    auto_suspended_until: 2026-11-23T14:30:00Z
//	    auto_reason: quota_exhausted
//	    source_model: claude-opus-4-6
//	    source_provider: antigravity
//	    reset_time_source: retry_after
//	    updated_at: 2026-11-23T09:00:00Z
//	    updated_by: ops
//	oauth-quota-groups:
//	  - id: claude_45
//	    label: Claude
//	    providers: [antigravity]
//	    patterns: ["claude-*"]
//	    priority: 300
//	    enabled: true
//
// The members provider, label and effective_status, which the management API shows with
// an entry, are taken, too. An entry of the old group google-gemini-image becomes one of
// gemini-flash, of gemini-pro, or one of each, by its source_model; a definition of that
// group is ignored, as CLIProxyAPI does.
//
// The lines of the sections are found first, and each entry is read by itself: so a large
// file costs little memory, nothing outside the sections is read as YAML, and an alias can
// repeat nothing. Therefore the two keys must stand at the beginning of a line.
//
// # .cds files
//
// One JSON object with what cools of an account, or of several:
//
//	{"version": 1, "auth_id": "antigravity-mira.json", "provider": "antigravity", "updated_at": "2026-11-23T09:00:00Z",
//	 "records": [{"provider": "antigravity", "auth_id": "antigravity-mira.json", "model": "claude-opus-4-6", "status": "cooling",
//	   "next_retry_after": "2026-11-23T14:30:00Z", "reason": "quota",
//	   "quota": {"exceeded": true, "reason": "quota", "next_recover_at": "2026-11-23T14:30:00Z", "backoff_level": 1},
//	   "last_error": {"code": "", "message": "...", "retryable": true, "http_status": 429},
//	   "updated_at": "2026-11-23T09:00:00Z"}]}
//
// The providers vertex and openai-compatibility are vertex-ai and openai-compat here.
// A record without a model is about the whole account. One with a model is about that
// model alone: the file does not say whether the others of its family were limited.
package cliproxy
