//go:build race

package replay_test

// Under the race detector sync.Pool drops objects at random.
const raceEnabled = true
