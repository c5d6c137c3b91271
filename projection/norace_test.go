//go:build !race

package projection

// raceEnabled: see race_test.go.
const raceEnabled = false
