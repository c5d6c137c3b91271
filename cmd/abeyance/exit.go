package main

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/abeyance/abeyance/api"
	"github.com/abeyance/abeyance/events/boltlog"
	"github.com/abeyance/abeyance/projection"
)

// Exit codes. Scripts depend on them.
const (
	exitOK       = 0
	exitFailure  = 1
	exitUsage    = 2
	exitBlocked  = 3 // pick: nothing usable; why --check: blocked
	exitAuth     = 4
	exitNotFound = 5
	exitConflict = 6
	exitTimedOut = 8 // recheck --wait: not every cell was answered in time
	// exitInterrupted is what shells say of a command that SIGINT ended: 128 + 2.
	exitInterrupted = 130
)

// usageError is a command line that cannot be meant. It says what is wrong and
// what to write instead.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

func usage(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// exitError ends the program with a code of its own. A nil err means that
// everything has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

// Unwrap returns the cause.
func (e *exitError) Unwrap() error { return e.err }

// problemError is an answer of the daemon that is not a success.
type problemError struct {
	api.Problem
	body []byte // whole, for the members that some problems have beside these
}

func (e *problemError) Error() string { return e.Detail }

// exitCode is the one place where errors become exit codes.
func exitCode(err error) int {
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	if e, ok := errors.AsType[*problemError](err); ok {
		return exitOfProblem(&e.Problem)
	}
	if e, ok := errors.AsType[*projection.Error](err); ok {
		return exitOfCode(api.Code(e.Code))
	}
	if errors.Is(err, projection.ErrFuture) {
		return exitOfCode(api.CodeAtInFuture)
	}
	if _, ok := errors.AsType[*boltlog.MissingError](err); ok {
		return exitNotFound
	}
	if _, ok := errors.AsType[*boltlog.LockedError](err); ok {
		return exitConflict
	}
	return exitFailure
}

func exitOfProblem(p *api.Problem) int {
	switch p.Code {
	case api.Code(projection.CodeInvalid):
		return exitUsage
	case api.Code(projection.CodeProviderMismatch):
		return exitConflict
	case api.CodeWrongTokens:
		return exitAuth
	}
	switch p.Status {
	case http.StatusBadRequest:
		return exitUsage
	case http.StatusUnauthorized, http.StatusForbidden:
		return exitAuth
	case http.StatusNotFound:
		return exitNotFound
	case http.StatusConflict:
		return exitConflict
	default:
		return exitFailure
	}
}

// exitOfCode is for questions answered without the daemon: as if it had refused them.
func exitOfCode(code api.Code) int {
	return exitOfProblem(&api.Problem{Code: code, Status: code.Status()})
}
