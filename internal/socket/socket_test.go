package socket_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/socket"
)

// A peer is silent if it has answered nothing since the kernel last repeated itself.
func TestRetrying(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		what                string
		unacked             uint32
		retransmits, probes uint8
		silentFor, sentFor  time.Duration
		want                bool
	}{
		{what: "nothing under way", silentFor: time.Hour},
		{what: "under way and not yet repeated", unacked: 3, silentFor: time.Minute, sentFor: time.Second},
		{what: "repeated without an answer", unacked: 3, retransmits: 3, silentFor: 1500 * ms, sentFor: 200 * ms, want: true},
		{what: "repeated, and answered by a kernel without room", unacked: 3, retransmits: 3, silentFor: 1199 * ms, sentFor: 1200 * ms},
		{what: "answered in the same millisecond", unacked: 1, retransmits: 1, silentFor: 1200 * ms, sentFor: 1200 * ms},
		{what: "one probe of a closed window", unacked: 0, probes: 1, silentFor: time.Minute, sentFor: time.Minute},
		{what: "probes of a closed window without an answer", probes: 2, silentFor: 2 * time.Second, sentFor: time.Minute, want: true},
	} {
		got := socket.Info{Unacked: c.unacked, Retransmits: c.retransmits, Probes: c.probes, SilentFor: c.silentFor, SentFor: c.sentFor}.Retrying()
		require.Equal(t, c.want, got, c.what)
	}
}
