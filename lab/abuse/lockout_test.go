package abuse

import (
	"io"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
)

// A fileServer answers a byte: with one byte to 0, and with 16 MiB to anything else.
type fileServer struct {
	l              *relink.Listener
	key            relink.PublicKey
	opened, closed atomic.Int64 // events
}

func newFileServer(t *testing.T, change func(*relink.ListenConfig)) *fileServer {
	t.Helper()
	key := relink.GenerateKey()
	s := &fileServer{key: key.PublicKey()}
	cfg := relink.ListenConfig{Suites: []relink.ServerSuite{relink.NoiseServer{Keys: []relink.PrivateKey{key}}}}
	cfg.OnEvent = func(e relink.Event) {
		switch e.Kind {
		case relink.EventOpened:
			s.opened.Add(1)
		case relink.EventClosed:
			s.closed.Add(1)
		default:
		}
	}
	change(&cfg)
	var err error
	s.l, err = cfg.Listen(t.Context(), "tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.l.Close() })
	go func() {
		for {
			c, err := s.l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				piece := make([]byte, 64<<10)
				for {
					var b [1]byte
					if _, err := io.ReadFull(c, b[:]); err != nil {
						return
					}
					if b[0] == 0 {
						_, _ = c.Write(b[:])
						continue
					}
					for range 256 {
						if _, err := c.Write(piece); err != nil {
							return
						}
					}
				}
			}()
		}
	}()
	return s
}

func (s *fileServer) assign(r role, count int, delay time.Duration) assignment {
	return assignment{Role: r, Address: s.l.Addr().String(), Key: s.key.String(), Count: count, Delay: delay}
}

// requireEvents requires that no session's event is lost.
func (s *fileServer) requireEvents(t *testing.T) {
	t.Helper()
	_ = s.l.Close()
	for c := range s.l.Sessions() {
		_ = c.Abort()
	}
	require.Eventually(t, func() bool {
		stats := s.l.Stats()
		return s.opened.Load() == stats.Opened && s.closed.Load() == stats.Opened
	}, time.Minute, 10*time.Millisecond)
}

const newcomers = 5

// Whoever opens connections and says nothing, as fast as a machine can, keeps neither new sessions
// out nor old ones from coming back.
func TestSilenceLocksNobodyOut(t *testing.T) {
	full := os.Getenv("RELINK_ABUSE") == "full"
	for _, v := range []struct {
		most  int
		delay time.Duration
		full  bool
	}{{4096, 250 * time.Millisecond, true}, {4096, 50 * time.Millisecond, true}, {512, 50 * time.Millisecond, true}, {1024, 100 * time.Millisecond, false}} {
		if v.full != full {
			continue
		}
		s := newFileServer(t, func(c *relink.ListenConfig) { c.MaxHandshakes, c.HandshakeTimeout = v.most, 30*time.Second })
		honest := send(t, s.assign(visit, newcomers, v.delay))
		honest.ready()
		enemy := send(t, s.assign(silence, v.most+64, 0))
		require.Eventually(t, func() bool { return s.l.Stats().Handshakes >= v.most*9/10 }, time.Minute, time.Millisecond)
		began := time.Now()
		_, err := io.WriteString(honest.in, "\n")
		require.NoError(t, err)
		r := honest.report()
		took := time.Since(began)
		enemy.end()
		t.Logf("MaxHandshakes %d, %v each way: new sessions after %v, the old one after %v; %d handshakes turned out in %v",
			v.most, v.delay, r.New, r.Resumed, s.l.Stats().Refused.Total(), took)
		require.Empty(t, r.Errors)
		require.Len(t, r.New, newcomers)
		require.Positive(t, r.Resumed)
		s.requireEvents(t)
	}
}

// Sessions that were opened and deserted fill MaxSessions, and an honest client comes in all
// the same, at the first try.
func TestDesertedSessionsLockNobodyOut(t *testing.T) {
	most := 100
	if os.Getenv("RELINK_ABUSE") == "full" {
		most = 1000
	}
	s := newFileServer(t, func(c *relink.ListenConfig) { c.MaxSessions = most })
	r := send(t, s.assign(desert, 2*most, 0)).report()
	require.GreaterOrEqual(t, r.Opened, most)
	require.Positive(t, s.l.Stats().Displaced)
	honest := send(t, s.assign(visit, newcomers, 0))
	honest.ready()
	_, err := io.WriteString(honest.in, "\n")
	require.NoError(t, err)
	h := honest.report()
	t.Logf("%d sessions opened and deserted, %d turned away; new sessions after %v, %d displaced", r.Opened, len(r.Errors), h.New, s.l.Stats().Displaced)
	require.Empty(t, h.Errors)
	require.Len(t, h.New, newcomers)
	s.requireEvents(t)
}

// Gluttons' sessions hold what they may and no more, and honest ones notice nothing.
func TestDesertedSessionsHoldTheBudget(t *testing.T) {
	many, most := 100, int64(64<<20)
	if os.Getenv("RELINK_ABUSE") == "full" {
		many, most = 2000, 1<<30
	}
	s := newFileServer(t, func(c *relink.ListenConfig) { c.MaxMemory = most })
	honest := send(t, s.assign(visit, newcomers, 0))
	honest.ready()
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	enemy := send(t, s.assign(glutton, many, 0))
	var greatest, suspended int64
	stop := make(chan struct{})
	sampled := make(chan struct{})
	go func() {
		defer close(sampled)
		for {
			stats := s.l.Stats()
			greatest, suspended = max(greatest, stats.Memory), max(suspended, stats.SuspendedMemory)
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	r := enemy.report()
	require.Positive(t, r.Opened)
	_, err := io.WriteString(honest.in, "\n")
	require.NoError(t, err)
	h := honest.report()
	close(stop)
	<-sampled
	var after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&after)
	stats := s.l.Stats()
	t.Logf("%d sessions opened, %d turned away: at most %d MiB of %d held, %d MiB of %d by suspended ones, %d of which were reclaimed; heap +%d MiB; new sessions after %v, the old one after %v",
		r.Opened, len(r.Errors), greatest>>20, most>>20, suspended>>20, most>>22, stats.ReclaimedUnused+stats.ReclaimedLongest, (int64(after.HeapInuse)-int64(before.HeapInuse))>>20, h.New, h.Resumed)
	require.LessOrEqual(t, greatest, most)
	require.Positive(t, stats.ReclaimedUnused+stats.ReclaimedLongest)
	require.LessOrEqual(t, int64(after.HeapInuse)-int64(before.HeapInuse), most)
	require.Empty(t, h.Errors)
	require.Len(t, h.New, newcomers)
	require.Positive(t, h.Resumed)
	s.requireEvents(t)
}
