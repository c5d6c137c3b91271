// Package stream loads the live history: many clients in a process of their own follow
// a server over loopback while records are appended at a steady rate, some of them
// taking nothing.
//
// What must hold on any machine fails the test: every reader gets every record once and
// in order, and those that stall are dropped. A client that throws one frame away shows
// that a gap would be seen. The figures are printed with -v: frames delivered, when the
// stalled were dropped, the memory that a stream takes, and the time of an append with
// and without the readers.
//
//	go test ./tests/stream -v -long
//
// is the long form: 1 000 streams at 20 records a second and 50 at 2 000, for 20 s each.
package stream
