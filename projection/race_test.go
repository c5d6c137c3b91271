//go:build race

package projection

// raceEnabled shortens what the race detector makes slow.
const raceEnabled = true
