package faultnet

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// TestNothingEntersAfterCut frees room for a Write that waits and cuts the path
// at once: what the Write has left must not enter behind what was discarded.
func TestNothingEntersAfterCut(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			client, server, p := Pair(Options{Buffer: 100})
			done := make(chan error, 1)
			go func() {
				_, err := client.Write(make([]byte, 1000))
				done <- err
			}()
			synctest.Wait()
			_, err := server.Read(make([]byte, 50))
			require.NoError(t, err)
			p.Cut(ResetNow)
			require.Error(t, <-done)
			_, err = server.Read(make([]byte, 50))
			require.Error(t, err)
		})
	}
}

// TestNothingEntersAfterClose is the same for the Close of the writing end,
// which resets the path and discards what was under way.
func TestNothingEntersAfterClose(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			client, server, p := Pair(Options{Buffer: 100, ResetOnUnread: true})
			_, err := server.Write([]byte("unread"))
			require.NoError(t, err)
			done := make(chan error, 1)
			go func() {
				_, err := client.Write(make([]byte, 1000))
				done <- err
			}()
			synctest.Wait()
			_, err = server.Read(make([]byte, 50))
			require.NoError(t, err)
			_ = client.Close()
			require.Error(t, <-done)
			// Whether the Write or the Close came first, nothing is left to be read.
			require.Empty(t, p.halves[Up].queue)
		})
	}
}
