// Package webhooks shows what webhooks promise: the receiver, a process of its own, is
// killed and started again while 10 000 records are written, and the notifier is closed
// and opened in between. Each freeze must have been told at least once, in order, and
// nothing again that was acknowledged.
//
// The receiver writes down what it gets before it answers. The carrier stands between:
// it knows which answers came back, and kills the receiver before, while and after it
// answers, by a seed that is printed.
//
// Two controls must be caught: one that acknowledges before the receiver has the message
// loses some, and one that forgets what was acknowledged repeats some.
//
//	go test ./tests/webhooks -v -seed 7
package webhooks
