package conntest

import (
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
)

// RequireRead requires that what comes next is want.
func RequireRead(t testing.TB, c net.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	_, err := io.ReadFull(c, got)
	require.NoError(t, err)
	require.True(t, string(got) == string(want), "the stream differs")
}

// RequireWrite requires that a Write takes all of b.
func RequireWrite(t testing.TB, c net.Conn, b []byte) {
	t.Helper()
	n, err := c.Write(b)
	require.NoError(t, err)
	require.Equal(t, len(b), n)
}

// RequireTryWrite requires that TryWrite decides at once, and returns how.
func RequireTryWrite(t testing.TB, c *relink.Conn, p []byte) (ok bool) {
	t.Helper()
	RequireInstant(t, func() {
		var err error
		ok, err = c.TryWrite(p)
		require.NoError(t, err)
	})
	return ok
}

// RequireEOF requires io.EOF, and again.
func RequireEOF(t testing.TB, c net.Conn) {
	t.Helper()
	for range 2 {
		n, err := c.Read(make([]byte, 10))
		require.Zero(t, n)
		require.Equal(t, io.EOF, err)
	}
}

// RequireExchange proves that both directions work and are exact.
func RequireExchange(t testing.TB, a, b net.Conn, n int) {
	t.Helper()
	for _, ends := range [][2]net.Conn{{a, b}, {b, a}} {
		data := Data(n)
		sent := make(chan error, 1)
		go func() {
			_, err := ends[0].Write(data)
			sent <- err
		}()
		got := make([]byte, n)
		_, err := io.ReadFull(ends[1], got)
		require.NoError(t, err)
		require.NoError(t, <-sent)
		require.Equal(t, sha256.Sum256(data), sha256.Sum256(got))
	}
}

// Data returns n bytes that tell a place from those nearby.
func Data(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16*7)
	}
	return b
}

// RequireSuspended requires a session without a transport. A client may be just
// trying to get one.
func RequireSuspended(t testing.TB, c *relink.Conn) {
	t.Helper()
	require.Contains(t, []relink.State{relink.StateSuspended, relink.StateResuming}, c.State())
}

// requireTimeout requires what net.Conn has for a deadline.
func requireTimeout(t testing.TB, err error) {
	t.Helper()
	var ne net.Error
	require.ErrorAs(t, err, &ne)
	require.True(t, ne.Timeout())
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

// IsLoss reports whether err is a typed end of a session, which is neither a
// deadline nor a local Close.
func IsLoss(err error) bool {
	lost := errors.Is(err, relink.ErrSessionLost) || errors.Is(err, relink.ErrExpired) ||
		errors.Is(err, relink.ErrReplayGap) || errors.Is(err, relink.ErrCounters)
	return lost && !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrDeadlineExceeded)
}

// isTyped reports whether an error is one that errors.Is can tell from others,
// of the kind that a failed handshake may end in.
func isTyped(err error) bool {
	for _, e := range []error{
		relink.ErrSuperseded, relink.ErrAuthentication, relink.ErrUnknownSession, relink.ErrHandshakeTimeout,
		relink.ErrProtocol, relink.ErrReplayGap, relink.ErrCounters, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	var op *net.OpError
	return errors.As(err, &op)
}

// isInternal reports whether the library found a fault of its own, or of a callback.
func isInternal(err error) bool {
	return err != nil && strings.Contains(err.Error(), "relink: internal error")
}

// LinksOf returns how many links a session has had.
func LinksOf(c *relink.Conn) int64 { return 1 + c.Stats().Resumes }

// live returns how many sessions the listener has that have not ended.
func live(l *relink.Listener) int {
	s := l.Stats()
	return s.Connected + s.Suspended
}

// unfinished returns how many handshakes and provisional sessions the listener has.
func unfinished(l *relink.Listener) [2]int {
	s := l.Stats()
	return [2]int{s.Handshakes, s.Provisional}
}

// Holdings count what a listener holds.
type Holdings struct{ Live, Provisional, Handshakes, Suspended int }

// HoldingsOf returns what the listener holds now.
func HoldingsOf(l *relink.Listener) Holdings {
	s := l.Stats()
	return Holdings{live(l), s.Provisional, s.Handshakes, s.Suspended}
}

// HeapNow returns the bytes of living heap.
func HeapNow() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
