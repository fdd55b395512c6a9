package relink_test

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/conntest"
	"github.com/relink-go/relink/internal/faultnet"
)

// While both applications wait in Read over TCP, the library has no goroutine
// and looks after no session.
func TestIdleServerHasNothing(t *testing.T) {
	conntest.ForEachSuite(t, func(t *testing.T, s conntest.Suite) {
		client, server, l := conntest.Pair(t, s, conntest.TransportKinds[0], conntest.Setup{})
		defer func() {
			_, _ = client.Abort(), server.Abort()
			_ = l.Close()
		}()
		conntest.RequireExchange(t, client, server, 100_000)
		reading := conntest.Background(func() (int, error) { return server.Read(make([]byte, 1)) })
		clientReading := conntest.Background(func() (int, error) { return client.Read(make([]byte, 1)) })
		// Both at once: until its ticks have seen that nothing is left to do, a session
		// is looked after, with and without a goroutine.
		require.Eventually(t, func() bool { return len(conntest.LibraryGoroutines()) == 0 && relink.WatchedBy(l) == 0 },
			time.Minute, 10*time.Millisecond, "%v", conntest.LibraryGoroutines)
		conntest.RequireWrite(t, client, []byte("x"))
		conntest.RequireWrite(t, server, []byte("x"))
		require.NoError(t, (<-reading).Err)
		require.NoError(t, (<-clientReading).Err)
	})
}

// A session whose application waits in Read has no ticks, on either side, whatever it has
// carried: a device would be woken by them for ever. Where the suite pings a transport
// that no kernel probes it has to have them.
func TestIdleSessionHasNoTicks(t *testing.T) {
	conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
		r := conntest.New(t, s, conntest.WithBoth(func(c *relink.Config) { c.LivenessTimeout = -1 }))
		r.Exchange(1000)
		conntest.RequireWrite(t, r.Server, []byte("the client is the last to read"))
		conntest.RequireRead(t, r.Client, []byte("the client is the last to read"))
		reads := []<-chan conntest.Outcome{
			conntest.Background(func() (int, error) { return r.Client.Read(make([]byte, 1)) }),
			conntest.Background(func() (int, error) { return r.Server.Read(make([]byte, 1)) }),
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.False(t, relink.Ticking(r.Client.Conn), "the client")
		require.False(t, relink.Ticking(r.Server.Conn), "the server")
		_, _ = r.Client.Abort(), r.Server.Abort()
		for _, read := range reads {
			require.Error(t, (<-read).Err)
		}
	})
}

// TestSizeOfConn: the runtime puts a word before each object of more than 512
// bytes that has pointers, and takes memory in sizes of which 640 is one; the
// next is 704.
func TestSizeOfConn(t *testing.T) {
	t.Parallel()
	require.LessOrEqual(t, relink.SizeOfConn, uintptr(640-8))
}

// A session that waits for its tick gets it although others keep waking the
// sweeper.
func TestTicksAreNotPutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := conntest.New(t, conntest.DH64RC4)
		client, server := r.Open()
		for _, c := range []*relink.Conn{client, server} {
			go func() { _, _ = io.Copy(io.Discard, c) }()
		}
		time.Sleep(time.Second) // before Accept it was looked after
		_, err := r.Server.Write([]byte("x"))
		require.NoError(t, err)
		require.Equal(t, 1, relink.WatchedBy(r.Listener))
		for range 20 { // suspended and resumed, again and again
			time.Sleep(50 * time.Millisecond)
			r.Net.Last().Cut(faultnet.Reset)
			synctest.Wait()
		}
		require.Zero(t, relink.WatchedBy(r.Listener))
		_, _ = client.Abort(), server.Abort()
		r.Stop()
	})
}
