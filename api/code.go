package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/abeyance/abeyance/projection"
	"github.com/abeyance/abeyance/router"
)

// Code names a problem for programs. The refusals of package projection and the
// blocks of package router keep the codes they have there; the others are below.
type Code string

// The codes of this package.
const (
	CodeInvalidBody      Code = "invalid_body"           // not one JSON value with the members that the route takes
	CodeUnknownParameter Code = "unknown_parameter"      // a query that the route does not take, or a parameter given twice
	CodePageToken        Code = "invalid_page_token"     // not of this list and these filters
	CodeAtInFuture       Code = "at_in_future"           // beyond the head, or after now
	CodeUnauthorized     Code = "unauthorized"           // no token, or one not known
	CodeForbiddenScope   Code = "forbidden_scope"        // the token lacks the scope
	CodeCrossOrigin      Code = "cross_origin"           // a browser sent it from another site
	CodeMisdirected      Code = "misdirected_request"    // its Host is no name of this server
	CodeWrongTokens      Code = "too_many_wrong_tokens"  // of this peer; a right one passes at any time
	CodeTooManyChanges   Code = "too_many_changes"       // with this token; nothing was done
	CodeNotFound         Code = "not_found"              // no such route
	CodeUnknownEvent     Code = "unknown_event"          // no record of that seq
	CodeUnknownToken     Code = "unknown_token"          //
	CodeMethod           Code = "method_not_allowed"     //
	CodeTimeout          Code = "request_timeout"        // the body did not arrive in time
	CodeTokenExists      Code = "token_exists"           //
	CodeLastAdmin        Code = "last_admin_token"       // deleting it would lock everybody out
	CodeBodyTooLarge     Code = "body_too_large"         //
	CodeMediaType        Code = "unsupported_media_type" //
	CodeInvalidImport    Code = "invalid_import"         // the file is none that can be imported; the detail names the line
	CodeOwned            Code = "owned_by_file"          // the configuration file owns the section; the detail names its line
	CodeInvalidConfig    Code = "invalid_config"         // the configuration file; the detail names each mistake with its line
	CodeLogNotEmpty      Code = "log_not_empty"          // an export makes a whole log, and this one has records
	CodeWholeAccount     Code = "whole_account"          // the account as a whole is blocked, and one group was to be freed
	CodeInternal         Code = "internal"               // a fault of the server
	CodeUnavailable      Code = "not_available"          // this server cannot do it
	CodeStarting         Code = "starting"               // the log is being read
	CodeBusy             Code = "busy"                   // too many commands wait
	CodeDiskFull         Code = "disk_full"              // not executed; the server goes on once there is room
	CodeStopped          Code = "stopped"                // the engine takes no commands; not executed
	CodeUnknownOutcome   Code = "outcome_unknown"        // writing failed; it may or may not be stored
	CodeCanceled         Code = "canceled"               // the request ended before it was executed
)

// Codes lists every code.
func Codes() []Code {
	return []Code{
		Code(projection.CodeInvalid), Code(projection.CodeEmptyFilter), Code(projection.CodeUnknownAccount),
		Code(projection.CodeUnknownTarget), Code(projection.CodeWrongVerb), Code(projection.CodeAccountRemoved),
		Code(projection.CodeProviderMismatch), Code(projection.CodeKeyReused), Code(projection.CodeSuspensionLive),
		Code(projection.CodePoolFull), Code(projection.CodeModelCellsFull), Code(projection.CodeTooLarge),
		Code(projection.CodeInvalidGroups), Code(projection.CodeInvalidPolicy),
		Code(router.BlockNoAccounts), Code(router.BlockExcluded), Code(router.BlockDisabled), Code(router.BlockSuspended),
		Code(router.BlockHeld), Code(router.BlockCooling),
		CodeInvalidBody, CodeUnknownParameter, CodePageToken, CodeAtInFuture, CodeUnauthorized, CodeForbiddenScope,
		CodeCrossOrigin, CodeMisdirected, CodeWrongTokens, CodeTooManyChanges, CodeNotFound, CodeUnknownEvent, CodeUnknownToken,
		CodeMethod, CodeTimeout, CodeTokenExists, CodeLastAdmin, CodeBodyTooLarge, CodeMediaType, CodeInvalidImport, CodeLogNotEmpty,
		CodeWholeAccount, CodeOwned, CodeInvalidConfig, CodeInternal, CodeUnavailable, CodeStarting, CodeBusy, CodeDiskFull, CodeStopped,
		CodeUnknownOutcome, CodeCanceled,
	}
}

// Status is the one table from codes to HTTP statuses. A code without a row is a
// fault of the server's.
func (c Code) Status() int {
	switch c {
	case CodeInvalidBody, CodeUnknownParameter, CodePageToken, CodeAtInFuture, Code(projection.CodeEmptyFilter):
		return http.StatusBadRequest
	case CodeUnauthorized:
		return http.StatusUnauthorized
	case CodeForbiddenScope, CodeCrossOrigin:
		return http.StatusForbidden
	case CodeNotFound, CodeUnknownEvent, CodeUnknownToken, Code(router.BlockNoAccounts),
		Code(projection.CodeUnknownAccount), Code(projection.CodeUnknownTarget):
		return http.StatusNotFound
	case CodeMethod:
		return http.StatusMethodNotAllowed
	case CodeTimeout:
		return http.StatusRequestTimeout
	case CodeTokenExists, CodeLastAdmin, CodeLogNotEmpty, CodeWholeAccount, CodeOwned, Code(projection.CodeWrongVerb), Code(projection.CodeAccountRemoved),
		Code(projection.CodeKeyReused), Code(projection.CodeSuspensionLive), Code(projection.CodePoolFull),
		Code(projection.CodeModelCellsFull):
		return http.StatusConflict
	case CodeBodyTooLarge, Code(projection.CodeTooLarge):
		return http.StatusRequestEntityTooLarge
	case CodeMediaType:
		return http.StatusUnsupportedMediaType
	case Code(projection.CodeInvalid), Code(projection.CodeProviderMismatch), Code(projection.CodeInvalidGroups),
		Code(projection.CodeInvalidPolicy), CodeInvalidImport, CodeInvalidConfig:
		return http.StatusUnprocessableEntity
	case CodeMisdirected:
		return http.StatusMisdirectedRequest
	case Code(router.BlockCooling), CodeWrongTokens, CodeTooManyChanges:
		return http.StatusTooManyRequests
	case CodeUnavailable:
		return http.StatusNotImplemented
	case CodeStarting, CodeBusy, CodeDiskFull, CodeStopped, CodeUnknownOutcome, CodeCanceled, Code(router.BlockExcluded),
		Code(router.BlockDisabled), Code(router.BlockSuspended), Code(router.BlockHeld):
		return http.StatusServiceUnavailable
	default: // CodeInternal
		return http.StatusInternalServerError
	}
}

// Schema implements huma.SchemaProvider.
func (Code) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	texts := map[string]string{}
	for _, c := range Codes() {
		s.Enum = append(s.Enum, string(c))
		texts[string(c)] = c.Text()
	}
	s.Extensions = map[string]any{"x-enum-descriptions": texts}
	return s
}
