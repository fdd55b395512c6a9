package relink_test

import (
	"bytes"
	"fmt"
	"math"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/conntest"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/suite"
)

// The share of each address is a quarter, but for small tables, where a quarter would
// turn a client away that comes back while its last transport is still refused.
func TestSharePerAddress(t *testing.T) {
	for most, want := range map[int]int{1: 1, 3: 3, 64: 64, 65: 64, 256: 64, 260: 65, 4096: 1024} {
		l, err := relink.ListenConfig{Suites: []relink.ServerSuite{conntest.SCP}, MaxHandshakes: most}.Resolved()
		require.NoError(t, err)
		require.Equal(t, want, l.MaxHandshakesPerAddress, most)
	}
}

func TestConfigDefaults(t *testing.T) {
	shared := relink.Config{
		ReplayLimit:      conntest.DefaultReplayLimit,
		ResumeTimeout:    conntest.DefaultResumeTimeout,
		HandshakeTimeout: conntest.DefaultHandshakeTimeout,
		CloseTimeout:     conntest.DefaultCloseTimeout,
		LivenessTimeout:  conntest.DefaultLivenessTimeout,
	}
	list := []relink.ServerSuite{conntest.SCP}
	l, err := relink.ListenConfig{Suites: list}.Resolved()
	require.NoError(t, err)
	require.Equal(t, relink.ListenConfig{
		Config: shared, Suites: list, MaxSessions: conntest.DefaultMaxSessions, MaxHandshakes: conntest.DefaultMaxHandshakes, MaxHandshakesPerAddress: conntest.DefaultMaxHandshakes / 4,
		HandshakeRatePerAddress: conntest.DefaultMaxHandshakes / 8, MaxMemory: 4 << 30, MaxSuspendedMemory: 1 << 30,
	}, l)
	d, err := relink.Dialer{Suite: conntest.SCP}.Resolved()
	require.NoError(t, err)
	require.Equal(t, relink.Dialer{
		Config:         shared,
		Suite:          conntest.SCP,
		AttemptTimeout: conntest.DefaultAttemptTimeout,
		MinBackoff:     conntest.DefaultMinBackoff,
		MaxBackoff:     conntest.DefaultMaxBackoff,
	}, d)

	// What is set stays, at both ends of what is allowed.
	shared = relink.Config{
		ReplayLimit: relink.MaxReplayLimit, ResumeTimeout: math.MaxInt64,
		HandshakeTimeout: 1, CloseTimeout: 2, LivenessTimeout: -1,
	}
	set := relink.ListenConfig{Config: shared, Suites: list, MaxSessions: 5, MaxHandshakes: 6, MaxHandshakesPerAddress: 7, HandshakeRatePerAddress: 8, MaxMemory: relink.MinMaxMemory, MaxSuspendedMemory: relink.MinMaxMemory}
	l, err = set.Resolved()
	require.NoError(t, err)
	require.Equal(t, set, l)
	shared.ReplayLimit = relink.MinReplayLimit
	dialer := relink.Dialer{Config: shared, Suite: conntest.SCP, AttemptTimeout: 3, MinBackoff: 4, MaxBackoff: 4}
	d, err = dialer.Resolved()
	require.NoError(t, err)
	require.Equal(t, dialer, d)

	_, err = relink.Dialer{Suite: relink.SCPClient{TargetServer: strings.Repeat("a", 998), Flag: 1<<32 - 1}}.Resolved()
	require.NoError(t, err)

	// A long MinBackoff alone is no contradiction to a default.
	d, err = relink.Dialer{Suite: conntest.SCP, MinBackoff: time.Minute}.Resolved()
	require.NoError(t, err)
	require.Equal(t, time.Minute, d.MaxBackoff)
}

// A lengthy protocol wants all that a message may have, and takes it.
type lengthy struct {
	*conntest.RecordProtocol
	taken chan []byte
}

func (p lengthy) Serve(s suite.Stream, _ suite.Host) error {
	b, err := s.Next(suite.MaxMessage)
	if err == nil {
		p.taken <- bytes.Clone(b)
	}
	return err
}

// The memory of a handshake follows what has arrived, and not the length that
// somebody has claimed.
func TestHandshakeMemoryFollowsWhatArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := lengthy{new(conntest.RecordProtocol), make(chan []byte, 1)}
		sc := conntest.NewIdle(t, conntest.Spoken{Protocol: p})
		message := conntest.Data(suite.MaxMessage)
		c, err := sc.Net.Dial(t.Context(), "tcp", "server")
		require.NoError(t, err)
		for sent := 0; sent < len(message); {
			synctest.Wait()
			require.LessOrEqual(t, relink.HandshakeBuffers(sc.Listener), max(256, 4<<10, 4*sent))
			if sent < 256 {
				require.Equal(t, 256, relink.HandshakeBuffers(sc.Listener))
			}
			n, err := c.Write(message[sent:min(sent+100, len(message))])
			require.NoError(t, err)
			sent += n
		}
		require.Equal(t, message, <-p.taken)
		require.NoError(t, c.Close())
		require.NoError(t, sc.Listener.Close())
	})
}

// Nothing is kept of an address whose handshakes have ended.
func TestOriginsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := conntest.New(t, conntest.Noise)
		var transports []net.Conn
		for i := range 3 {
			r.Net.SetClientHost(fmt.Sprintf("[2001:db8:1:%d::1]", i/2))
			c, err := r.Net.Dial(t.Context(), "tcp", "server")
			require.NoError(t, err)
			transports = append(transports, c)
		}
		for i, left := range []int{2, 1, 0} {
			synctest.Wait()
			require.Equal(t, min(left+1, 2), relink.Origins(r.Listener))
			require.NoError(t, transports[i].Close())
			synctest.Wait()
			require.Equal(t, left, relink.Origins(r.Listener))
		}
		r.Stop()
	})
}

// What a listener remembers of ended sessions goes when its time is up.
func TestEndedSessionsAreForgotten(t *testing.T) {
	conntest.InAckBubble(t, func(t *testing.T, s conntest.Suite) {
		r := conntest.New(t, s)
		for range 20 {
			c, server := r.Open()
			require.NoError(t, c.Close())
			require.NoError(t, server.Close())
			<-c.Done()
			<-server.Done()
			require.LessOrEqual(t, relink.Remembered(r.Listener), 4)
			time.Sleep(conntest.DefaultResumeTimeout/3 + time.Second)
		}
		time.Sleep(conntest.DefaultResumeTimeout)
		require.Zero(t, relink.Remembered(r.Listener)) // their keys are not to be kept
		c, server := r.Open()
		require.NoError(t, c.Abort())
		require.NoError(t, server.Abort())
		require.Equal(t, 1, relink.Remembered(r.Listener))
		require.NoError(t, r.Listener.Close())
		require.Zero(t, relink.Remembered(r.Listener))
		r.Stop()
	})
}

// What a listener remembers of ended sessions is bounded: the oldest give way.
func TestRememberedSessionsAreBounded(t *testing.T) {
	conntest.InAckBubble(t, func(t *testing.T, s conntest.Suite) {
		r := conntest.New(t, s)
		relink.AddEndedSessions(r.Listener, relink.MaxTombstones+100)
		require.Equal(t, relink.MaxTombstones, relink.Remembered(r.Listener))
		r.Suspend(faultnet.Refuse, faultnet.Reset)
		require.NoError(t, r.Server.Abort())
		require.Equal(t, relink.MaxTombstones, relink.Remembered(r.Listener))
		r.Net.SetDown(faultnet.NotDown)
		_, err := r.Client.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrSessionLost) // it was the newest
		time.Sleep(conntest.DefaultResumeTimeout)
		require.Zero(t, relink.Remembered(r.Listener))
		r.Stop()
	})
}

// The bounds that the tests of sessions from outside go to are the library's.
func TestBounds(t *testing.T) {
	require.Equal(t, relink.TickEvery, conntest.TickEvery)
	require.Equal(t, relink.MaxQueuedEvents, conntest.MaxQueuedEvents)
	require.Equal(t, relink.MaxQueuedRefusals, conntest.MaxQueuedRefusals)
	require.Equal(t, relink.UnacceptedBound, conntest.UnacceptedBound)
	require.Equal(t, relink.LittleCarried, conntest.LittleCarried)
}

// A listener keeps no key of a session that has resumed and ended, nor of one that a
// stranger has begun, and looks after none of them.
func TestNothingIsKept(t *testing.T) {
	conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
		r := conntest.New(t, s)
		for _, k := range []faultnet.Kind{faultnet.Reset, faultnet.ResetNow, faultnet.End} {
			r.Exchange(1000)
			stranger, err := r.Net.Dial(t.Context(), "tcp", "server")
			require.NoError(t, err)
			_, err = stranger.Write([]byte("R\x01 and more"))
			require.NoError(t, err)
			r.Net.Paths()[0].Cut(k)
			r.Client.NetworkChanged()
			r.Exchange(1000)
			require.NoError(t, stranger.Close())
		}
		require.Positive(t, relink.KeysOf(r.Listener))
		require.NoError(t, r.Client.Abort())
		require.NoError(t, r.Server.Abort())
		time.Sleep(3 * conntest.DefaultResumeTimeout)
		require.Zero(t, relink.KeysOf(r.Listener))
		require.Zero(t, relink.WatchedBy(r.Listener))
		r.Stop()
	})
}
