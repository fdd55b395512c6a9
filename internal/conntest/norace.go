//go:build !race

package conntest

// raceEnabled says whether the race detector is on.
const raceEnabled = false
