package kcp

import "time"

// SetLingerTime changes how long a closed connection goes on sending, for tests.
func SetLingerTime(d time.Duration) (restore func()) {
	testLingerTime.Store(int64(d))
	return func() { testLingerTime.Store(0) }
}
