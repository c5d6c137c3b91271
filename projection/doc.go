// Package projection holds the state that the log adds up to, and the one writer
// that adds to the log.
//
// The core is pure. [State] is the fold of the records so far; [State.Apply] adds
// one. [Decide] turns a command and a state into the events that happened, which
// may be none. [Groups.Resolve] names the quota group of a model. The policy turns
// a signal into a deadline. [Explain] says why a cell is as it is. None of them
// reads a clock, a disk or a random source.
//
// The shell is [Engine]: it queues commands, decides them one after another on its
// working state, appends all their records in one transaction, publishes an
// immutable [View], and only then answers. Hence acknowledged means durable, and
// nothing is visible before it is durable.
//
// The package never sees headers or bodies: a report arrives as an events.Signal.
package projection
