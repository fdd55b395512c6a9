package relink_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// Whatever the transports' errors are, that of a lost session never says that
// the stream is complete, that a deadline has passed and the call can be repeated,
// or that the session was closed on this side.
func TestErrorOfALostSession(t *testing.T) {
	for _, cause := range []error{io.EOF, os.ErrDeadlineExceeded, net.ErrClosed} {
		t.Run(cause.Error(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, s testSuite) {
				r := newRig(t, s)
				r.exchange(100)
				r.net.OnDial(func(int, *faultnet.Path) error { return fmt.Errorf("the last attempt: %w", cause) })
				r.net.Last().Cut(faultnet.Reset)
				for range 2 {
					_, err := r.client.Read(make([]byte, 1))
					require.True(t, isLoss(err), "%v", err)
					require.NotErrorIs(t, err, io.EOF)
					require.ErrorContains(t, err, "the last attempt: "+cause.Error())
				}
				r.stop()
			})
		})
	}
}

// A session that is lost behind a clean end of its transport is not taken for a
// complete stream by who asks errors.Is(err, io.EOF). Only the classic wires
// have nothing else to go by.
func TestALostSessionIsNoEOF(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		if isClassic(s) {
			t.Skip("a clean end of the last transport is io.EOF on the classic wires")
		}
		r := newRig(t, s)
		r.exchange(100)
		r.suspend(faultnet.Refuse, faultnet.End)
		time.Sleep(2 * defaultResumeTimeout)
		synctest.Wait()
		for name, c := range r.ends() {
			_, err := c.Read(make([]byte, 1))
			require.ErrorIs(t, err, relink.ErrExpired, name)
			require.NotErrorIs(t, err, io.EOF, name)
			_, err = c.Write(make([]byte, 1))
			require.NotErrorIs(t, err, io.EOF, name)
		}
		r.stop()
	})
}

// resettable makes a transport in memory one that can be reset, as TCP's can.
type resettable struct {
	net.Conn
	path   *faultnet.Path
	linger int // by one goroutine at a time; 0 makes Close a reset
}

func (c *resettable) Interruptible() bool { return true }

func (c *resettable) CloseWrite() error {
	return c.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

func (c *resettable) SetLinger(seconds int) error {
	c.linger = seconds
	return nil
}

func (c *resettable) Close() error {
	if c.linger == 0 {
		c.path.Cut(faultnet.Reset)
	}
	return c.Conn.Close()
}

// A client that gives a resume up which the server has taken for done leaves no
// clean end behind, which an application would take for that of the stream. In
// SCP the request is the proof.
func TestAbandonedResumeIsNoCleanEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 4 << 10
		r := newRig(t, scpSuite, withBoth(func(c *relink.Config) { c.ReplayLimit = limit }), func(r *rig, _ *relink.ListenConfig) {
			r.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := r.net.Dial(ctx, network, address)
				if err != nil {
					return nil, err
				}
				return &resettable{c, r.net.Last(), -1}, nil
			}
		})
		r.exchange(100)
		r.net.Last().Stall(faultnet.Up)
		requireWrite(t, r.client, rigData(5*limit))
		r.net.Last().Cut(faultnet.ResetNow)
		_, err := r.client.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrReplayGap)
		_, err = r.server.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrExpired)
		r.stop()
	})
}
