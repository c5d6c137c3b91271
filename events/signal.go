package events

import "time"

// Class says what an upstream answer means for the account it was sent with.
type Class string

// The classes, from "it works" to "not the account's doing".
const (
	ClassOK             Class = "ok"              // the request was served
	ClassQuotaExhausted Class = "quota_exhausted" // a quota window is spent
	ClassRateLimited    Class = "rate_limited"    // too fast; seconds to minutes
	ClassCapacity       Class = "capacity"        // the provider lacks capacity for this model
	ClassOverloaded     Class = "overloaded"      // the provider as a whole is overloaded
	ClassAuth           Class = "auth"            // the credential was refused; refresh it
	ClassPayment        Class = "payment"         // money: balance, credits, spending cap
	ClassForbidden      Class = "forbidden"       // the account may not; often a human must act
	ClassNotFound       Class = "not_found"       // route or model unknown
	ClassBadRequest     Class = "bad_request"     // the request's own fault
	ClassServerError    Class = "server_error"    // the provider or the network failed
)

// Classes lists every class, in the order of the constants.
func Classes() []Class {
	return []Class{
		ClassOK, ClassQuotaExhausted, ClassRateLimited, ClassCapacity, ClassOverloaded, ClassAuth,
		ClassPayment, ClassForbidden, ClassNotFound, ClassBadRequest, ClassServerError,
	}
}

// Scope says how far a signal reaches.
type Scope string

// The scopes.
const (
	ScopeGroup   Scope = "group"   // the quota group of the model, or the family the provider named
	ScopeModel   Scope = "model"   // the requested model only
	ScopeAccount Scope = "account" // everything on the account
	ScopeNone    Scope = "none"    // nothing: no account state changes
)

// Window is the length of the quota window that a signal is about.
type Window string

// The windows. WindowUnknown is the zero value.
const (
	WindowUnknown  Window = ""
	WindowFiveHour Window = "5h"
	WindowDaily    Window = "daily"
	WindowWeekly   Window = "weekly"
	WindowMonthly  Window = "monthly"
)

// Operation is the kind of request that an upstream answered.
type Operation string

// The operations. Only OpGenerate can recover a cell; the others never block one,
// except by a refused credential and by a 429 on OpCountTokens.
const (
	OpGenerate    Operation = "generate"
	OpCountTokens Operation = "count_tokens"
	OpUsage       Operation = "usage"
	OpToken       Operation = "token"
	OpOther       Operation = "other"
)

// Operations lists every operation.
func Operations() []Operation {
	return []Operation{OpGenerate, OpCountTokens, OpUsage, OpToken, OpOther}
}

// Reasons that can make a forbidden signal a hold: a block without a deadline,
// because a human must act. The policy decides which of them do.
const (
	ReasonBanned         = "banned"
	ReasonVerification   = "verification_required"
	ReasonSubscription   = "subscription_required"
	ReasonWorkspaceDead  = "workspace_dead"
	ReasonNotEntitled    = "not_entitled"
	ReasonInvalidGrant   = "invalid_grant"
	ReasonQuotaNamed     = "quota"      // the answer names a quota by a reason code of its own
	ReasonRequestRefused = "request"    // the answer refuses this request, not the account
	ReasonFreeTierZero   = "limit_zero" // a quota of zero: waiting never helps
)

// Reasons lists every reason.
func Reasons() []string {
	return []string{
		ReasonBanned, ReasonVerification, ReasonSubscription, ReasonWorkspaceDead, ReasonNotEntitled, ReasonInvalidGrant,
		ReasonQuotaNamed, ReasonRequestRefused, ReasonFreeTierZero,
	}
}

// Reasons why a hint did not become the deadline. The first group is found by the
// classifier, which sees only the answer; the second by the policy, which sees the
// clock and the bounds.
const (
	LostZero       = "zero"
	LostNegative   = "negative"
	LostPast       = "past"
	LostNotFinite  = "not_finite"
	LostUnreadable = "unreadable"
	LostUnrelated  = "unrelated" // resets a window that is not the exhausted one

	LostEarlier   = "earlier"    // another plausible hint is later
	LostOverBound = "over_bound" // beyond the policy's bound while another hint is within it
)

// Hint is one statement of an answer about when to come back. Exactly one of
// Seconds and At is meaningful: At if it is not the zero Time.
type Hint struct {
	// Source names the field: "RetryInfo.retryDelay", "header:retry-after", "message".
	Source string
	// Raw is the text as sent, scrubbed, at most 128 bytes.
	Raw string
	// Seconds is a delay relative to the observation. It is finite; a value the
	// answer states beyond what a time.Duration holds is kept as stated.
	Seconds float64
	// At is an absolute instant.
	At time.Time
	// Lost says why the hint did not become the deadline; empty for the chosen one
	// and for hints that no policy has judged yet.
	Lost string
}

// Usable reports whether the classifier left the hint in the running.
func (h Hint) Usable() bool {
	switch h.Lost {
	case "", LostEarlier, LostOverBound:
		return true
	}
	return false
}

// Signal is what one upstream answer means: the output of the classifier, and
// together with the policy the whole input of a decision. It carries no header
// and no body, only what was found in them.
type Signal struct {
	Class Class
	Scope Scope
	// Family is what the answer named: a quota family by the id of its group
	// ("claude-opus-weekly"), or a model as ModelTarget and its name
	// ("model:claude-opus-4-6"); empty if it named none.
	Family string
	Window Window
	// Reason is a code of the Reason constants that says more than the class.
	Reason string
	// Rule names the classifier's rule that fired: "google/quota_exhausted".
	Rule string
	// Classifier is the version of the rules; it rises when their meaning changes.
	Classifier int
	// Hints are all hints found, in the provider's order of precedence.
	Hints []Hint
	// Evidence is the decisive excerpt, scrubbed, at most 1 KiB.
	Evidence string
}

// Clamp says that the policy's bound cut the chosen hint.
type Clamp struct {
	// Bound names what cut it: "weekly", "unknown", "rate_limited".
	Bound string
	// Asked and Given are the seconds the hint asked for and the seconds it got.
	Asked, Given float64
}
