//go:build !race

package router

// loadRequests is how many requests the load test sends.
const loadRequests = 20_000
