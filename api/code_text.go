package api

import (
	"github.com/abeyance/abeyance/router"
)

// Text says in a sentence when a code is answered, and what to do. docs/problems.md
// and the OpenAPI document show it. A code without a text fails a test.
func (c Code) Text() string {
	switch c {
	case codeInvalid:
		return "A value is not within its bounds or cannot be right; the detail names it. Correct the request."
	case codeEmptyFilter:
		return "The filter would mean every cell. Name at least one of account, provider, target, class and the start."
	case codeUnknownAccount:
		return "No account of that id, or of that provider, is known. Look in GET /v1/accounts."
	case codeUnknownTarget:
		return "No group of that id is defined, or it is none of the account's provider. Look in GET /v1/groups; targets are a group id, model:NAME or *."
	case codeWrongVerb:
		return "Nothing there is what this verb ends: lift ends manual suspensions, clear ends cooldowns and holds. The detail names the right one."
	case codeAccountRemoved:
		return "The report is of a request that was sent before the account was removed. Nothing was stored; drop it."
	case codeProviderMismatch:
		return "The account belongs to another provider. Correct the provider, or remove the account and add it again."
	case codeKeyReused:
		return "The Idempotency-Key was used for another request. Send this one with a new key."
	case codeSuspensionLive:
		return "A manual suspension would be dropped; the cells are listed. Lift it first, or force the removal of the account, or name in replaces what the new group replaces."
	case codePoolFull:
		return "The pool has 100 000 accounts, the most there can be. Remove some."
	case codeModelCellsFull:
		return "The account has 64 model cells, all blocked. Suspend its group or * instead."
	case codeTooLarge:
		return "The definition is over 1 MiB in the log. Make it smaller."
	case codeInvalidGroups:
		return "The groups or aliases contradict themselves or lack something; the detail names it. Nothing was changed."
	case codeInvalidPolicy:
		return "The policy contradicts itself or lacks something; the detail names it. Nothing was changed."
	case Code(router.BlockNoAccounts):
		return "No account of that provider can be chosen: none is configured, or no candidate is of it. Add one."
	case Code(router.BlockExcluded):
		return "Every account is in exclude. Nothing comes back by itself."
	case Code(router.BlockDisabled):
		return "Every account is disabled, or excluded. An operator must act."
	case Code(router.BlockSuspended):
		return "Every account is suspended by hand without an end, or worse. An operator must act."
	case Code(router.BlockHeld):
		return "Every account is held until a human acts, or worse."
	case Code(router.BlockCooling):
		return "No account can serve it now, and at least one comes back by itself. Retry-After says when to ask again."
	}
	return c.ownText()
}

// ownText is Text for the codes of this package.
func (c Code) ownText() string {
	switch c {
	case CodeInvalidBody:
		return "The body is not one JSON value with the members and types that the route takes. The detail names what is wrong."
	case CodeUnknownParameter:
		return "The query has a parameter that the route does not take, or has one twice, or cannot be read."
	case CodePageToken:
		return "The page_token is none that a page gave, or is of another list or other filters. Begin at the first page."
	case CodeAtInFuture:
		return "The record or instant asked about is still to come: beyond the head of the log, or after now."
	case CodeUnauthorized:
		return "There is no token, or one that is not known. Send a known one as Authorization: Bearer TOKEN."
	case CodeForbiddenScope:
		return "The token lacks the scope that the route needs. WWW-Authenticate names it."
	case CodeMisdirected:
		return "The Host of the request is no name of this server. Ask by an address that it listens on, or start it with --allow-host NAME."
	case CodeWrongTokens:
		return "Too many wrong tokens came from this address. A right one is taken at any time; others after Retry-After seconds."
	case CodeTooManyChanges:
		return "The token changes more than may be changed a second. Nothing was done; go on after Retry-After seconds."
	case CodeCrossOrigin:
		return "A browser sent it from another site. Pages of other origins may change nothing."
	case CodeNotFound:
		return "There is no such route. GET /openapi.json lists them."
	case CodeUnknownEvent:
		return "The log has no record of that seq."
	case CodeUnknownToken:
		return "No token of that name exists."
	case CodeMethod:
		return "The path does not take this method. Allow names those it takes."
	case CodeTimeout:
		return "The body did not arrive in time. Send it again."
	case CodeTokenExists:
		return "A token of that name exists. Delete it first, or take another name."
	case CodeLastAdmin:
		return "It is the last token with the scope admin: deleting it would lock everybody out. Make another first."
	case CodeOwned:
		return "The configuration file owns what would be changed; the detail names its line. Change it there: the server takes it up."
	case CodeWholeAccount:
		return "The account as a whole is suspended by hand, and one group of it was to be freed. Lift the suspension of the account."
	case CodeBodyTooLarge:
		return "The body is over 1 MiB, or the file to import over 64 MiB. Nothing was done; split it."
	case CodeMediaType:
		return "The body is not sent as application/json, or a file to import not as application/octet-stream or what else the route takes, or it is encoded. Send it plain, with that Content-Type."
	case CodeInvalidImport:
		return "The file is none that can be imported. The detail names the line."
	case CodeInvalidConfig:
		return "The configuration file cannot be put in force; the detail names each mistake with its line. Nothing was changed."
	case CodeLogNotEmpty:
		return "An export makes a log of its own, and this server's has records. Import it with the command line into an empty data directory."
	default:
		return c.stateText()
	}
}

// stateText is Text for the codes that say more about the server than about the request.
func (c Code) stateText() string {
	switch c {
	case CodeInternal:
		return "The server failed; its log says why. It is no fault of the request."
	case CodeUnavailable:
		return "This server cannot do it: it has no log of its own to read, no configuration to load, or keeps no sessions."
	case CodeStarting:
		return "The log is being read. Nothing was done; try again after Retry-After seconds."
	case CodeBusy:
		return "4 096 commands wait already. Nothing was done; try again after Retry-After seconds."
	case CodeDiskFull:
		return "The disk is full. Nothing was stored; make room, and try again after Retry-After seconds."
	case CodeStopped:
		return "The engine takes no commands any more. Nothing was done; the server is to be restarted, or is stopping."
	case CodeUnknownOutcome:
		return "Writing the log failed. The command may or may not be stored: look after the restart."
	case CodeCanceled:
		return "The request ended before it was executed. Nothing was done."
	}
	return ""
}

// OutsideRoutes lists the codes that answer requests for which there is no route.
func OutsideRoutes() []Code { return []Code{CodeNotFound, CodeMethod} }
