//go:build race

package router

// raceEnabled shortens what the race detector makes slow.
const raceEnabled = true
