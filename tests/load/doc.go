// Package load puts a server under many connections, from a process of their own over
// loopback.
//
// TestOpenConnections keeps them all open and has them ask for picks in an open loop: at
// a fixed rate, whether the answers before have come or not, so that a slow answer counts
// for all that had to wait for it. The same load goes to a bare net/http handler that
// decodes and encodes the same JSON, in the same run: its figures are the floor.
// TestSlowClients lets other connections send their headers and bodies byte by byte
// meanwhile.
//
// What must hold on any machine fails the test: errors, memory, and when the slow are cut
// off. Times are printed with -v, never asserted.
//
//	go test ./tests/load -v -long
//
// is the long form: 10 000 connections, 5 000 picks a second, for 20 s each.
package load
