package relink_test

import (
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
)

// While both applications wait in Read over TCP, the library has no goroutine
// and looks after no session.
func TestIdleServerHasNothing(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s testSuite) {
		client, server, l := pair(t, s, transportKinds[0], setup{})
		defer func() {
			_, _ = client.Abort(), server.Abort()
			_ = l.Close()
		}()
		requireExchange(t, client, server, 100_000)
		reading := background(func() (int, error) { return server.Read(make([]byte, 1)) })
		clientReading := background(func() (int, error) { return client.Read(make([]byte, 1)) })
		// Both at once: until its ticks have seen that nothing is left to do, a session
		// is looked after, with and without a goroutine.
		require.Eventually(t, func() bool { return len(libraryGoroutines()) == 0 && relink.WatchedBy(l) == 0 },
			10*time.Second, 10*time.Millisecond, "%v", libraryGoroutines)
		requireWrite(t, client, []byte("x"))
		requireWrite(t, server, []byte("x"))
		require.NoError(t, (<-reading).err)
		require.NoError(t, (<-clientReading).err)
	})
}

// After a large transfer a session that waits holds no more than a small one:
// neither the replay buffer, where the peer acknowledges, nor what long records
// came through, whether the application waits in Read or is away.
func TestIdleAfterMuch(t *testing.T) {
	const sessions, each = 40, 300_000
	heap := func() int64 {
		runtime.GC()
		runtime.GC() // what pools hold goes with the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for name, waits := range map[string]bool{"in Read": true, "away": false} {
		t.Run(name, func(t *testing.T) {
			before := heap()
			var ends []*relink.Conn
			for range sessions {
				client, server, l := pair(t, noiseSuite, transportKinds[0], setup{})
				defer func() {
					_, _ = client.Abort(), server.Abort()
					_ = l.Close()
				}()
				requireExchange(t, client, server, each)
				for _, c := range []*relink.Conn{client, server} {
					ends = append(ends, c)
					if waits {
						go func() { _, _ = c.Read(make([]byte, 1)) }()
					}
				}
			}
			var held int64
			require.Eventually(t, func() bool {
				held = (heap() - before) / int64(len(ends))
				return held < 16<<10
			}, 20*time.Second, 50*time.Millisecond, "too much for each end")
			t.Logf("%d bytes for each end", held)
			for _, c := range ends {
				require.Zero(t, c.Stats().Resumes)
			}
		})
	}
}

// A request and its answer, and a message of the size that gathers, allocate
// nothing once the replay buffer is as large as it gets. The count is of the
// whole process, so a few for timers and goroutines are let pass.
func TestReadAndWriteDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector sync.Pool drops what it is given at random")
	}
	const size = 512
	forEachSuite(t, func(t *testing.T, s testSuite) {
		if s == recordSuite {
			t.Skip("the codec of the tests' own suite is written to be read, and allocates")
		}
		client, server, l := pair(t, s, transportKinds[0], setup{ReplayLimit: 64 << 10})
		defer func() {
			_, _ = client.Abort(), server.Abort()
			_ = l.Close()
		}()
		go func() {
			b := make([]byte, size)
			for {
				if _, err := io.ReadFull(server, b); err != nil {
					return
				}
				if _, err := server.Write(b); err != nil {
					return
				}
			}
		}()
		b := make([]byte, size)
		exchange := func() {
			_, err := client.Write(b)
			require.NoError(t, err)
			_, err = io.ReadFull(client, b)
			require.NoError(t, err)
		}
		for range 1000 {
			exchange()
		}
		require.Less(t, testing.AllocsPerRun(2000, exchange), 0.5)
	})
}

// TestSizeOfConn: the runtime puts a word before each object of more than 512
// bytes that has pointers, and takes memory in sizes of which 640 is one; the
// next is 704.
func TestSizeOfConn(t *testing.T) {
	t.Parallel()
	require.LessOrEqual(t, relink.SizeOfConn, uintptr(640-8))
}
