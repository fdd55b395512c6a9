package conntest

import (
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Over a direct connection of two relinks a cut never finds more under way than history
// holds, however much is written to a reader that stalls, and whatever size the kernels'
// buffers have grown to by then.
func TestHistoryHoldsWhatIsUnderWay(t *testing.T) {
	ForEachSuite(t, func(t *testing.T, s Suite) {
		if !IsClassic(s) {
			return // what it has not acknowledged is kept, however much that is
		}
		testUnderWay(t, s, 0, true)
		testUnderWay(t, s, 0, false)
		testUnderWay(t, s, 1<<20, true)
	})
}

func testUnderWay(t *testing.T, s Suite, limit int, up bool) {
	var cfg Setup
	cfg.ReplayLimit = limit
	cfg.LivenessTimeout = -1
	client, server, l := Pair(t, s, TransportKinds[0], cfg)
	defer func() { _, _, _ = client.Abort(), server.Abort(), l.Close() }()
	from, to := client, server
	if !up {
		from, to = server, client
	}
	const warm = 24 << 20 // the buffers grow with what is read
	go func() { _, _ = from.Write(make([]byte, warm)) }()
	_, err := io.CopyN(io.Discard, struct{ io.Reader }{to}, warm)
	require.NoError(t, err)

	piece, written := Data(64<<10), 0
	for written < 64<<20 {
		require.NoError(t, from.SetWriteDeadline(time.Now().Add(300*time.Millisecond)))
		n, err := from.Write(piece)
		if written += n; err != nil {
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			break
		}
	}
	require.NoError(t, from.SetWriteDeadline(time.Time{}))
	links := LinksOf(client)
	require.True(t, client.Cut())
	got := make([]byte, len(piece))
	require.NoError(t, to.SetReadDeadline(time.Now().Add(time.Minute)))
	for left := written; left > 0; {
		n, err := io.ReadFull(to, got[:min(left, len(got))])
		if err != nil {
			require.NoError(t, err, "%d of %d bytes were not read", left, written)
		}
		require.Equal(t, piece[:n], got[:n])
		left -= n
	}
	require.Eventually(t, func() bool { return LinksOf(client) > links }, time.Minute, time.Millisecond, "nothing was cut")
}
