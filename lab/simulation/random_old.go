//go:build !go1.26

package simulation

import "testing"

// seedRandom does nothing: package testing/cryptotest came with Go 1.26. Keys
// and ids then differ from run to run, and nothing else.
func seedRandom(*testing.T, uint64) {}
