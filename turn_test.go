package relink_test

import (
	"context"
	"fmt"
	"math"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// On a suite with records a sender takes several pieces along at once, and hands
// them over one by one without the session's lock. Anything can happen between
// them.

// A told transport does with each Write what it is told, once there is a session.
type told struct {
	net.Conn
	write  func(t net.Conn, call int, p []byte) (int, error) // nil: as usual
	calls  int
	handed int64 // bytes of the calls before
	ahead  int64 // what the sender of the session had taken along at this call

	session func() *relink.Conn
}

func (c *told) Interruptible() bool { return true }

func (c *told) Write(p []byte) (int, error) {
	if c.write == nil {
		return c.Conn.Write(p)
	}
	c.ahead = relink.TakenAlong(c.session()) - c.handed
	c.handed += int64(len(p))
	c.calls++
	return c.write(c.Conn, c.calls-1, p)
}

// withTold puts the client's first transport into *first.
func withTold(first **told) rigOption {
	return func(r *rig, _ *relink.Config) {
		r.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := r.net.Dial(ctx, network, address)
			if err != nil || *first != nil {
				return c, err
			}
			*first = &told{Conn: c, session: func() *relink.Conn { return r.client }}
			return *first, nil
		}
	}
}

const (
	turnData  = 2 << 20
	turnRun   = 1 << 20 // that a transport must take quickly before
	turnPiece = 52 << 10
	turnMost  = 256 << 10
)

// A transport that takes much in a short time is given turns; one that does not is
// given a piece, so that what is to go out next need not wait long.
func TestTurnsAreForQuickTransports(t *testing.T) {
	const (
		headers = 1 << 10 // more than those of all records of a turn
		enough  = 1500 * time.Microsecond
		slow    = 3 * time.Millisecond
	)
	inAckBubble(t, func(t *testing.T, s relink.Suite) {
		for _, quick := range []int{0, 3, 30, math.MaxInt32} { // so many calls are
			var transport *told
			r := newRig(t, s, withTold(&transport))
			synctest.Wait()
			var ahead []int64 // what the sender has taken along at each call
			slowSince := math.MaxInt32
			transport.write = func(c net.Conn, call int, p []byte) (int, error) {
				ahead = append(ahead, transport.ahead)
				if call < quick {
					time.Sleep(enough)
				} else {
					if len(p) >= turnPiece {
						slowSince = min(slowSince, call)
					}
					time.Sleep(slow)
				}
				return c.Write(p)
			}
			write := background(func() (int, error) { return r.client.Write(rigData(turnData)) })
			requireRead(t, r.server, rigData(turnData))
			require.NoError(t, (<-write).err)
			require.LessOrEqual(t, slices.Max(ahead[:turnRun/turnPiece]), int64(turnPiece+headers))
			if quick > 2*turnRun/turnPiece {
				require.Greater(t, slices.Max(ahead), int64(turnMost-turnPiece), "quick for %d calls: %d", quick, ahead)
			}
			// A turn that began while the transport was quick is handed over still.
			if single := slowSince + turnMost/turnPiece + 1; single < len(ahead) {
				require.LessOrEqual(t, slices.Max(ahead[single:]), int64(turnPiece+headers), "quick for %d calls: %d", quick, ahead)
			} else {
				require.Greater(t, quick, len(ahead))
			}
			synctest.Wait()
			transport.write = nil
			r.finish()
		}
	})
}

// What a transport has not taken of a turn goes out behind what it has.
func TestIncompleteWriteInATurn(t *testing.T) {
	takes := map[string]func(n int) int{
		"nothing":      func(int) int { return 0 },
		"half":         func(n int) int { return n / 2 },
		"all":          func(n int) int { return n },
		"more than is": func(n int) int { return n + 1 },
	}
	ends := map[string]error{"no error": nil, "a deadline": errDeadline, "an error": errBadTransport}
	inAckBubble(t, func(t *testing.T, s relink.Suite) {
		within := false // some of the calls are
		for take, taken := range takes {
			for end, err := range ends {
				for at := 32; at < 36; at++ { // within turns
					what := fmt.Sprintf("call %d takes %s and has %s", at, take, end)
					var transport *told
					r := newRig(t, s, withTold(&transport))
					synctest.Wait()
					transport.write = func(c net.Conn, call int, p []byte) (int, error) {
						if call != at {
							return c.Write(p)
						}
						within = within || transport.ahead > 2*turnPiece
						n := taken(len(p))
						_, _ = c.Write(p[:min(n, len(p))])
						return n, err
					}
					write := background(func() (int, error) { return r.client.Write(rigData(turnData)) })
					requireRead(t, r.server, rigData(turnData))
					require.NoError(t, (<-write).err, what)
					if take == "more than is" {
						require.Contains(t, fmt.Sprint(r.clientEvents.errors()), "Write returned", what)
					}
					harmless := err == nil && take != "nothing" && take != "more than is" || end == "a deadline" && take != "more than is"
					require.Equal(t, harmless, r.client.Stats().Resumes == 0, what)
					r.finish()
				}
			}
		}
		require.True(t, within)
	})
}

// A link or a session that ends between the pieces of a turn has lost nothing but
// what it must.
func TestEndInATurn(t *testing.T) {
	inAckBubble(t, func(t *testing.T, s relink.Suite) {
		within := false // some of the calls are
		for what, f := range map[string]func(r *rig) (reads, ends bool){
			"cut":             func(r *rig) (bool, bool) { r.net.Last().Cut(faultnet.Reset); return true, false },
			"network changed": func(r *rig) (bool, bool) { r.client.NetworkChanged(); return true, false },
			"close":           func(r *rig) (bool, bool) { require.NoError(r.t, r.client.Close()); return true, true },
			"close write":     func(r *rig) (bool, bool) { require.NoError(r.t, r.client.CloseWrite()); return true, true },
			"abort":           func(r *rig) (bool, bool) { _ = r.client.Abort(); return false, false },
		} {
			for at := 32; at < 36; at++ { // within turns
				what := fmt.Sprintf("%s in call %d", what, at)
				var transport *told
				r := newRig(t, s, withTold(&transport))
				synctest.Wait()
				release := make(chan struct{})
				transport.write = func(c net.Conn, call int, p []byte) (int, error) {
					if call == at {
						within = within || transport.ahead > 2*turnPiece
						<-release
					}
					return c.Write(p)
				}
				write := background(func() (int, error) { return r.client.Write(rigData(turnData)) })
				synctest.Wait()
				reads, ends := f(r)
				time.Sleep(time.Second)
				close(release)
				if reads {
					requireRead(t, r.server, rigData(turnData))
					require.NoError(t, (<-write).err, what)
				} else {
					<-write
				}
				if ends {
					requireEOF(t, r.server)
				} else if reads {
					r.exchange(1000)
				}
				r.stop()
			}
		}
		require.True(t, within)
	})
}
