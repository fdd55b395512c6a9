//go:build go1.26

package simulation

import (
	"testing"
	"testing/cryptotest"
)

// seedRandom makes the library's ids, keys and nonces a function of the seed.
// The source is one for the whole process, which is why schedules run in
// parallel only in several processes.
func seedRandom(t *testing.T, seed uint64) {
	t.Helper()
	cryptotest.SetGlobalRandom(t, seed)
}
