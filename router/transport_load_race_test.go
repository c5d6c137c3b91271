//go:build race

package router

// loadRequests is fewer where the race detector makes each one slow.
const loadRequests = 4_000
