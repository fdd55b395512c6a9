//go:build !race

package relink_test

// raceEnabled says whether the race detector is on.
const raceEnabled = false
