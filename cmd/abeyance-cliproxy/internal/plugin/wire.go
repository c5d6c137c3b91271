package plugin

import (
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// schemaVersion is the version of the contract that is declared: hosts refuse one
// above their own, and the first has all that is used.
const schemaVersion = 1

// The methods of the host that concern this plugin.
const (
	methodRegister    = "plugin.register"
	methodReconfigure = "plugin.reconfigure"
	methodShutdown    = "plugin.shutdown"
	methodPick        = "scheduler.pick"
	methodUsage       = "usage.handle"
	methodRoutes      = "management.register"
	methodManage      = "management.handle"

	methodLog = "host.log" // the other way
)

// failure is the error of an answer.
type failure struct {
	Code       string `json:"code"`
	Message    string `json:"message"`
	Retryable  bool   `json:"retryable,omitempty"`
	HTTPStatus int    `json:"http_status,omitempty"`
}

// Codes of failures that are not those of a pick.
const (
	codeUnknownMethod = "unknown_method"
	codeInvalid       = "invalid_request"
	codeConfig        = "invalid_config"
	codeUnavailable   = "unavailable"
	codeInternal      = "internal"
)

// ok answers with a value that can be marshalled.
func ok(result any) []byte {
	doc, err := json.Marshal(struct {
		OK     bool `json:"ok"`
		Result any  `json:"result"`
	}{true, result})
	if err != nil {
		return fail(&failure{Code: codeInternal, Message: err.Error()}) // unreachable: the types are ours
	}
	return doc
}

func fail(f *failure) []byte {
	doc, err := json.Marshal(struct {
		OK    bool     `json:"ok"`
		Error *failure `json:"error"`
	}{false, f})
	if err != nil {
		return []byte(`{"ok":false,"error":{"code":"internal"}}`) // unreachable: only texts and numbers
	}
	return doc
}

// lifecycle is the request of register and reconfigure.
type lifecycle struct {
	ConfigYAML []byte `json:"config_yaml"` // base64 on the wire
}

// registration says what the plugin is and does.
type registration struct {
	SchemaVersion int          `json:"schema_version"`
	Metadata      metadata     `json:"metadata"`
	Capabilities  capabilities `json:"capabilities"`
}

type metadata struct {
	Name, Version, Author, GitHubRepository, Logo string
	ConfigFields                                  []configField
}

type configField struct {
	Name, Type  string
	EnumValues  []string
	Description string
}

type capabilities struct {
	Scheduler     bool `json:"scheduler"`
	UsagePlugin   bool `json:"usage_plugin"`
	ManagementAPI bool `json:"management_api"`
}

// usageRecord is what of a usage record a report needs. The client's key and all the
// rest are never read.
type usageRecord struct {
	Provider        string
	Model           string
	Alias           string
	AuthID          string
	Generate        *bool // nil: the host is too old to say
	RequestedAt     time.Time
	Latency         time.Duration
	Failed          bool
	Failure         usageFailure
	ResponseHeaders http.Header
}

type usageFailure struct {
	StatusCode int
	Body       string
}

// managementRoutes answers management.register.
type managementRoutes struct {
	Routes    []managementRoute `json:"routes"`
	Resources []resourceRoute   `json:"resources"`
}

type managementRoute struct{ Method, Path, Description string }

type resourceRoute struct{ Path, Menu, Description string }

// managementRequest is one request to a route or a resource.
type managementRequest struct {
	Method, Path string
	Headers      http.Header
	Query        url.Values
	Body         []byte
}

type managementResponse struct {
	StatusCode int
	Headers    http.Header
	Body       []byte
}

// logRequest is one line for the host's log.
type logRequest struct {
	Level   string `json:"level"`
	Message string `json:"message"`
}
