package api

import (
	"net/http"

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
	CodeNotFound         Code = "not_found"              // no such route
	CodeUnknownEvent     Code = "unknown_event"          // no record of that seq
	CodeUnknownToken     Code = "unknown_token"          //
	CodeMethod           Code = "method_not_allowed"     //
	CodeTimeout          Code = "request_timeout"        // the body did not arrive in time
	CodeTokenExists      Code = "token_exists"           //
	CodeLastAdmin        Code = "last_admin_token"       // deleting it would lock everybody out
	CodeBodyTooLarge     Code = "body_too_large"         //
	CodeMediaType        Code = "unsupported_media_type" //
	CodeInternal         Code = "internal"               // a fault of the server
	CodeUnavailable      Code = "not_available"          // this server cannot do it
	CodeStarting         Code = "starting"               // the log is being read
	CodeBusy             Code = "busy"                   // too many commands wait
	CodeStopped          Code = "stopped"                // the engine takes no commands; not executed
	CodeUnknownOutcome   Code = "outcome_unknown"        // writing failed; it may or may not be stored
	CodeCanceled         Code = "canceled"               // the request ended before it was executed
)

// statuses is the one table from codes to HTTP statuses.
func statuses() map[Code]int {
	return map[Code]int{
		Code(projection.CodeInvalid):          http.StatusUnprocessableEntity,
		Code(projection.CodeEmptyFilter):      http.StatusBadRequest,
		Code(projection.CodeUnknownAccount):   http.StatusNotFound,
		Code(projection.CodeUnknownTarget):    http.StatusNotFound,
		Code(projection.CodeWrongVerb):        http.StatusConflict,
		Code(projection.CodeAccountRemoved):   http.StatusConflict,
		Code(projection.CodeProviderMismatch): http.StatusUnprocessableEntity,
		Code(projection.CodeKeyReused):        http.StatusConflict,
		Code(projection.CodeSuspensionLive):   http.StatusConflict,
		Code(projection.CodePoolFull):         http.StatusConflict,
		Code(projection.CodeModelCellsFull):   http.StatusConflict,
		Code(projection.CodeTooLarge):         http.StatusRequestEntityTooLarge,
		Code(projection.CodeInvalidGroups):    http.StatusUnprocessableEntity,
		Code(projection.CodeInvalidPolicy):    http.StatusUnprocessableEntity,

		Code(router.BlockNoAccounts): http.StatusNotFound,
		Code(router.BlockExcluded):   http.StatusServiceUnavailable,
		Code(router.BlockDisabled):   http.StatusServiceUnavailable,
		Code(router.BlockSuspended):  http.StatusServiceUnavailable,
		Code(router.BlockHeld):       http.StatusServiceUnavailable,
		Code(router.BlockCooling):    http.StatusTooManyRequests,

		CodeInvalidBody:      http.StatusBadRequest,
		CodeUnknownParameter: http.StatusBadRequest,
		CodePageToken:        http.StatusBadRequest,
		CodeAtInFuture:       http.StatusBadRequest,
		CodeUnauthorized:     http.StatusUnauthorized,
		CodeForbiddenScope:   http.StatusForbidden,
		CodeCrossOrigin:      http.StatusForbidden,
		CodeNotFound:         http.StatusNotFound,
		CodeUnknownEvent:     http.StatusNotFound,
		CodeUnknownToken:     http.StatusNotFound,
		CodeMethod:           http.StatusMethodNotAllowed,
		CodeTimeout:          http.StatusRequestTimeout,
		CodeTokenExists:      http.StatusConflict,
		CodeLastAdmin:        http.StatusConflict,
		CodeBodyTooLarge:     http.StatusRequestEntityTooLarge,
		CodeMediaType:        http.StatusUnsupportedMediaType,
		CodeInternal:         http.StatusInternalServerError,
		CodeUnavailable:      http.StatusNotImplemented,
		CodeStarting:         http.StatusServiceUnavailable,
		CodeBusy:             http.StatusServiceUnavailable,
		CodeStopped:          http.StatusServiceUnavailable,
		CodeUnknownOutcome:   http.StatusServiceUnavailable,
		CodeCanceled:         http.StatusServiceUnavailable,
	}
}

// status returns the HTTP status of a code; a code without a row is a fault of the
// server's.
func (c Code) status() int {
	if s, ok := statuses()[c]; ok {
		return s
	}
	return http.StatusInternalServerError
}
