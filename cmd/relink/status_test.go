package main

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
)

// The line says what is, and counts while a session is suspended.
func TestStatusLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		s := newStatusLine(&out)
		a, b := new(relink.Conn), new(relink.Conn)
		shows := func(want string) {
			t.Helper()
			s.mu.Lock()
			defer s.mu.Unlock()
			require.True(t, strings.HasSuffix(out.String(), "\r\x1b[Krelink: "+want), "%q", out.String())
		}
		s.event(relink.Event{Kind: relink.EventOpened, Conn: a, Time: time.Now()})
		shows("connected")
		s.event(relink.Event{Kind: relink.EventSuspended, Conn: a, Time: time.Now()})
		time.Sleep(12*time.Second + time.Millisecond) // of the bubble
		synctest.Wait()
		shows("suspended for 12 s")
		s.event(relink.Event{Kind: relink.EventResumed, Conn: a, Gap: 12200 * time.Millisecond, Replayed: 14321})
		shows("resumed after 12.2 s, 14 KB sent again")
		s.event(relink.Event{Kind: relink.EventOpened, Conn: b})
		shows("2 sessions, 0 suspended; connected")
		s.event(relink.Event{Kind: relink.EventClosed, Conn: b, Err: errors.New("why")})
		shows("lost: why")
		s.event(relink.Event{Kind: relink.EventClosed, Conn: a})
		shows("ended")
		s.close()
		require.True(t, strings.HasSuffix(out.String(), "ended\n"))
	})
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 999: "999 bytes", 14321: "14 KB", 2_500_000: "2.5 MB"} {
		require.Equal(t, want, size(n))
	}
}
