package relink_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// requireEnd reads the rest of a stream and requires that it is exactly want,
// ended by exactly one kind of end: io.EOF itself, or a loss. It returns when
// the end was seen.
func requireEnd(t *testing.T, c *relink.Conn, want []byte, eof bool) time.Time {
	t.Helper()
	got, err := io.ReadAll(c)
	at := time.Now()
	require.Equal(t, len(want), len(got))
	require.Equal(t, want, got)
	if eof {
		require.NoError(t, err)
	} else {
		require.True(t, isLoss(err), err)
	}
	// It stays what it is.
	for range 2 {
		n, again := c.Read(make([]byte, 1))
		require.Zero(t, n)
		if eof {
			require.Equal(t, io.EOF, again) // not wrapped
		} else {
			require.Equal(t, err.Error(), again.Error())
		}
	}
	return at
}

// Close of either side delivers what was written, and then one io.EOF, also
// when the transport is cut just then and with data under way to the side that
// closes.
func TestCloseDeliversToTheEnd(t *testing.T) {
	for _, k := range []faultnet.Kind{faultnet.Reset, faultnet.ResetNow, faultnet.End} {
		for _, when := range []string{"uncut", "before", "after"} {
			t.Run(k.String()+" "+when, func(t *testing.T) {
				inBubble(t, func(t *testing.T, s testSuite) {
					for _, name := range []string{"client", "server"} {
						r := newRig(t, s, withPath(faultnet.Options{ResetOnUnread: true, Delay: time.Millisecond}))
						c, peer := r.client, r.server
						if name == "server" {
							c, peer = peer, c
						}
						r.exchange(100)
						data := rigData(30_000)
						_, err := peer.Write([]byte("unread"))
						require.NoError(t, err)
						if when == "before" {
							r.net.Last().Cut(k)
						}
						_, err = c.Write(data)
						require.NoError(t, err)
						requireInstant(t, func() { require.NoError(t, c.Close()) })
						if when == "after" {
							r.net.Last().Cut(k)
						}
						// A client that has closed needs nobody; a server's client redials.
						// A classic client cannot tell a reset after the server's end from
						// one before; its data is complete all the same.
						got, err := io.ReadAll(peer)
						require.Equal(t, data, got)
						if err != nil {
							require.True(t, isClassic(s) && name == "server" && k != faultnet.End && when != "uncut")
							require.ErrorIs(t, err, relink.ErrSessionLost)
						}
						_, err = peer.Write([]byte("x"))
						if err != nil {
							require.True(t, isLoss(err) || errors.Is(err, relink.ErrPeerClosed), err)
						}
						require.NoError(t, peer.Close())
						<-c.Done()
						<-peer.Done()
						require.NoError(t, r.l.Close())
						synctest.Wait()
					}
				})
			})
		}
	}
}

// How a transport ended and what the server then says decide what a classic
// client's application sees: FIN and refusal are the end of the stream, a reset
// and refusal are a loss. Either is told promptly, after all data.
func TestClientEnd(t *testing.T) {
	for _, tt := range []struct {
		name string
		kind faultnet.Kind
		eof  bool
	}{
		{"FIN and refusal", faultnet.End, true},
		{"reset and refusal", faultnet.Reset, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s testSuite) {
				r := newRig(t, s)
				r.exchange(100)
				data := rigData(5000)
				_, err := r.server.Write(data)
				require.NoError(t, err)
				synctest.Wait()
				// The server's process is killed, and another one takes its place: a
				// kernel sends FINs for a process that was killed.
				_ = r.inner.Close()
				path := r.net.Last()
				fresh, err := relink.NewListener(r.net.Listen(), relink.ListenConfig{Suites: []relink.ServerSuite{s}})
				require.NoError(t, err)
				start := time.Now()
				path.Cut(tt.kind)
				at := requireEnd(t, r.client, data, tt.eof && isClassic(s))
				require.Less(t, at.Sub(start), time.Second)
				_, err = r.client.Write([]byte("x"))
				if tt.eof && isClassic(s) {
					require.ErrorIs(t, err, relink.ErrPeerClosed)
				} else {
					require.ErrorIs(t, err, relink.ErrSessionLost)
				}
				synctest.Wait()
				closed := r.clientEvents.all(relink.EventClosed)
				require.Len(t, closed, 1)
				require.Equal(t, tt.eof && isClassic(s), closed[0].Err == nil)
				r.stop()
				require.NoError(t, fresh.Close())
			})
		})
	}
}

// A server's session that nobody resumes ends after ResumeTimeout: as the end of
// the stream where its last transport ended cleanly, as a loss otherwise.
func TestServerExpiry(t *testing.T) {
	for _, k := range []faultnet.Kind{faultnet.End, faultnet.Reset} {
		t.Run(k.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, s testSuite) {
				const limit = 20 * time.Second
				r := newRig(t, s, withServer(func(c *relink.ListenConfig) { c.ResumeTimeout = limit }))
				data := rigData(1000)
				_, err := r.client.Write(data)
				require.NoError(t, err)
				synctest.Wait()
				r.net.SetDown(faultnet.Refuse)
				start := time.Now()
				r.net.Last().Cut(k)
				eof := k == faultnet.End && isClassic(s)
				at := requireEnd(t, r.server, data, eof)
				require.Equal(t, limit, at.Sub(start).Round(time.Second))
				_, err = r.server.Write([]byte("x"))
				if eof {
					require.ErrorIs(t, err, relink.ErrPeerClosed)
				} else {
					require.ErrorIs(t, err, relink.ErrExpired)
				}
				// The client hears of it as soon as it comes back.
				r.net.SetDown(faultnet.NotDown)
				r.client.NetworkChanged()
				_, err = r.client.Read(make([]byte, 1))
				require.Error(t, err)
				r.stop()
			})
		})
	}
}

// An aborted session is a loss for the peer, at once, where the transport can
// tell a reset from an end.
func TestAbortIsALoss(t *testing.T) {
	l, err := relink.Listen("tcp", "127.0.0.1:0", dh64rc4Suite, scpSuite)
	require.NoError(t, err)
	for _, s := range []testSuite{dh64rc4Suite, scpSuite} {
		c, err := relink.Dial("tcp", l.Addr().String(), s)
		require.NoError(t, err)
		server, err := l.AcceptConn()
		require.NoError(t, err)
		requireExchange(t, c, server, 1000)
		require.NoError(t, server.Abort())
		require.NoError(t, c.SetReadDeadline(time.Now().Add(5*time.Second)))
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrSessionLost)
		var op *net.OpError
		require.ErrorAs(t, err, &op)
		require.Equal(t, l.Addr().String(), op.Addr.String())
		require.NoError(t, c.Close())
	}
	require.NoError(t, l.Close())
}

// A resume at the very instant at which the server's session expires either
// works or is refused: what the client sent is either all there, or the session
// is lost on both sides.
func TestResumeAtTheInstantOfExpiry(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		const limit = 10 * time.Second
		worked, refused := 0, 0
		for i := range 30 {
			r := newRig(t, s,
				withServer(func(c *relink.ListenConfig) { c.ResumeTimeout = limit }),
				withClient(func(c *relink.Dialer) { c.MinBackoff, c.MaxBackoff = time.Hour, time.Hour }))
			r.exchange(100)
			start := time.Now()
			r.suspend(faultnet.Refuse, faultnet.Reset)
			_, err := r.client.Write(rigData(500))
			require.NoError(t, err)
			_, err = r.server.Write(rigData(300))
			require.NoError(t, err)
			r.net.SetDown(faultnet.NotDown)
			// Around the instant, and most often exactly at it.
			offset := []time.Duration{-time.Nanosecond, 0, 0, 0, time.Nanosecond, 2 * time.Nanosecond}[i%6]
			time.Sleep(time.Until(start.Add(limit + offset)))
			r.client.NetworkChanged()
			up := make([]byte, 500)
			_, uerr := io.ReadFull(r.server, up)
			down := make([]byte, 300)
			_, derr := io.ReadFull(r.client, down)
			if derr == nil {
				require.NoError(t, uerr)
				require.Equal(t, rigData(500), up)
				require.Equal(t, rigData(300), down)
				synctest.Wait()
				if !isClassic(s) && r.server.State() == relink.StateClosed {
					// The server's data came with its answer, and the client's
					// confirmation too late. Both hear that the session is lost.
					for _, c := range r.ends() {
						_, err := c.Read(down)
						require.True(t, isLoss(err), err)
					}
					refused++
					r.stop()
					continue
				}
				r.exchange(100)
				worked++
			} else {
				require.ErrorIs(t, derr, relink.ErrSessionLost)
				// Data can come ahead of a proof that then is too late: exact, and
				// followed by the loss.
				if uerr == nil {
					require.False(t, isClassic(s))
					require.Equal(t, rigData(500), up)
					_, uerr = r.server.Read(up)
				}
				require.ErrorIs(t, uerr, relink.ErrExpired)
				refused++
			}
			r.stop()
		}
		t.Logf("%d worked, %d were refused", worked, refused)
		require.Positive(t, worked)
		require.Positive(t, refused)
	})
}

// A clean end is not that of the stream where the peer had promised more: a
// replay that stopped half-way is a loss, on either side, for whoever closes
// sends everything first. SCP does not tell how much it replays.
func TestCleanEndWithinReplay(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		if !isClassic(s) {
			return // its streams end by a message
		}
		for _, dir := range []faultnet.Dir{faultnet.Up, faultnet.Down} {
			r := newRig(t, s)
			r.exchange(100)
			from, to, lost := r.client, r.server, relink.ErrExpired
			if dir == faultnet.Down {
				from, to, lost = r.server, r.client, relink.ErrSessionLost
			}
			r.suspend(faultnet.Refuse, faultnet.Reset)
			_, err := from.Write(rigData(5000))
			require.NoError(t, err)
			failed := errors.New("no further transport")
			r.net.OnDial(func(i int, p *faultnet.Path) error {
				if i > 1 {
					return failed
				}
				p.CutAt(dir, 1000, faultnet.End)
				return nil
			})
			r.net.SetDown(faultnet.NotDown)
			r.client.NetworkChanged()
			var got bytes.Buffer
			ended := make(chan error, 1)
			go func() {
				_, err := io.Copy(&got, to)
				ended <- err
			}()
			synctest.Wait()
			requireSuspended(t, to)
			if dir == faultnet.Down {
				_ = r.server.Abort()
				r.net.OnDial(nil) // the client hears that its session is gone
			}
			err = <-ended
			if isSCP(s) {
				require.NoError(t, err) // io.EOF
			} else {
				require.ErrorIs(t, err, lost)
			}
			require.NotEmpty(t, got.Bytes())
			require.Equal(t, rigData(got.Len()), got.Bytes())
			r.stop()
		}
	})
}

// The first terminal error sticks, whatever comes after it.
func TestFirstErrorSticks(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, withBoth(func(c *relink.Config) { c.ResumeTimeout = time.Second }))
		r.suspend(faultnet.Refuse, faultnet.Reset)
		time.Sleep(time.Minute)
		for _, c := range r.ends() {
			for range 2 {
				_, err := c.Read(make([]byte, 1))
				require.ErrorIs(t, err, relink.ErrExpired)
				_, err = c.Write([]byte("x"))
				require.ErrorIs(t, err, relink.ErrExpired)
				c.NetworkChanged()
			}
			require.NoError(t, c.Close()) // it was not closed on this side before
			_, err := c.Read(make([]byte, 1))
			require.ErrorIs(t, err, net.ErrClosed)
			require.ErrorIs(t, c.Close(), net.ErrClosed)
		}
		r.stop()
	})
}
