package relink_test

import (
	"context"
	"io"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// These tests use the kernel's real TCP, because what they are about is how the
// library reads its state. They take seconds because the kernel's keep-alive
// counts in seconds. Their limits only tell "within a few LivenessTimeouts"
// from "never".

const (
	livenessTimeout = time.Second
	livenessNever   = 40 * time.Second
)

// A livenessRig is a client and a server with a relay between them that can
// fall silent.
type livenessRig struct {
	relay          *faultnet.Relay
	client, server *relink.Conn

	mu        sync.Mutex
	suspended []error       // reasons, client only
	lost      chan struct{} // a value for each
}

func newLivenessRig(t *testing.T, s testSuite, buffers int) *livenessRig {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells what a silent connection has under way, and lets the relay drop segments unseen")
	}
	r := &livenessRig{lost: make(chan struct{}, 100)}
	cfg := setup{LivenessTimeout: livenessTimeout}
	l, err := relink.Listen("tcp", "127.0.0.1:0", s)
	require.NoError(t, err)
	r.relay, err = faultnet.NewRelay(l.Addr().String())
	require.NoError(t, err)
	if buffers > 0 {
		r.relay.SetBuffers(buffers)
	}
	cfg.OnEvent = func(e relink.Event) {
		if e.Kind != relink.EventSuspended {
			return
		}
		r.mu.Lock()
		r.suspended = append(r.suspended, e.Err)
		r.mu.Unlock()
		r.lost <- struct{}{}
	}
	d := relink.Dialer{Suite: s, Config: cfg.shared()}
	r.client, err = d.DialConn(context.Background(), "tcp", r.relay.Addr())
	require.NoError(t, err)
	r.server, err = l.AcceptConn()
	require.NoError(t, err)
	t.Cleanup(func() {
		_, _, _ = r.client.Abort(), r.server.Abort(), l.Close()
		_ = r.relay.Close()
	})
	return r
}

// exchange sends a few bytes there and back.
func (r *livenessRig) exchange(t *testing.T) {
	t.Helper()
	for _, ends := range [][2]*relink.Conn{{r.client, r.server}, {r.server, r.client}} {
		_, err := ends[0].Write([]byte("hello"))
		require.NoError(t, err)
		got := make([]byte, 5)
		_, err = io.ReadFull(ends[1], got)
		require.NoError(t, err)
		require.Equal(t, "hello", string(got))
	}
}

// fallSilent cuts the link without a trace. Before, it lets the kernels settle
// their delayed acknowledgements: the relay's own retransmissions would go on
// reaching the client, as those of a path that has vanished do not.
func (r *livenessRig) fallSilent() {
	time.Sleep(300 * time.Millisecond) // the kernel's clock cannot be faked
	r.relay.Cut(faultnet.BlackHole)
}

func (r *livenessRig) waitLost(t *testing.T) {
	t.Helper()
	start := time.Now()
	select {
	case <-r.lost:
		t.Logf("found after %v, which is %.1f times LivenessTimeout: %v", time.Since(start).Round(10*time.Millisecond),
			float64(time.Since(start))/float64(livenessTimeout), r.suspended)
	case <-time.After(livenessNever):
		t.Fatal("the silent drop was not noticed")
	}
}

// A silent drop under data shows although no error comes, and the stream goes
// on over the next transport.
func TestSilentDropUnderData(t *testing.T) {
	t.Parallel()
	r := newLivenessRig(t, dh64rc4Suite, 0)
	r.exchange(t)
	r.fallSilent()
	_, err := r.client.Write([]byte("into the void"))
	require.NoError(t, err)
	r.waitLost(t)
	got := make([]byte, 13)
	_, err = io.ReadFull(r.server, got)
	require.NoError(t, err)
	require.Equal(t, "into the void", string(got))
	r.exchange(t)
}

// A silent drop of a link on which nothing is under way is found by keep-alive.
func TestSilentDropWhileIdle(t *testing.T) {
	t.Parallel()
	r := newLivenessRig(t, dh64rc4Suite, 0)
	r.exchange(t)
	r.fallSilent()
	r.waitLost(t)
	require.ErrorIs(t, r.suspended[0], syscall.ETIMEDOUT)
	r.exchange(t)
}

// A peer that is alive and does not read, so that its window is closed, is not
// declared dead, for as many time-outs as it likes; and everything arrives when
// it reads again.
func TestPausedPeerIsNotDead(t *testing.T) {
	t.Parallel()
	r := newLivenessRig(t, dh64rc4Suite, 16<<10)
	r.exchange(t)
	const size = 8 << 20
	written := make(chan error, 1)
	go func() { // far more than all buffers hold: the Write blocks
		_, err := r.client.Write(make([]byte, size))
		written <- err
	}()
	time.Sleep(5 * livenessTimeout) // the kernel's clock cannot be faked
	select {
	case err := <-written:
		t.Fatalf("the Write was to block: %v", err)
	default:
	}
	require.Empty(t, r.suspended)
	n, err := io.CopyN(io.Discard, r.server, size)
	require.NoError(t, err)
	require.EqualValues(t, size, n)
	require.NoError(t, <-written)
	require.Empty(t, r.suspended)
}

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
		got := relink.Retrying(c.unacked, c.retransmits, c.probes, c.silentFor, c.sentFor)
		require.Equal(t, c.want, got, c.what)
	}
}
