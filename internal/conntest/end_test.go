package conntest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/suite"
)

// After the peer has closed there is nobody to whom a stream could be ended.
func TestCloseWriteAfterThePeerClosed(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		r.Exchange(100)
		require.NoError(t, r.Server.Close())
		RequireEOF(t, r.Client)
		require.ErrorIs(t, r.Client.CloseWrite(), relink.ErrPeerClosed)
		require.NoError(t, r.Client.Close())
		r.Stop()
	})
}

// Abort during a Write that is encrypting: the Write returns, and the memory is
// given back although the Write had it in hand.
func TestAbortDuringWrite(t *testing.T) {
	inRecordBubble(t, func(t *testing.T, p *RecordProtocol, s Suite) {
		r := New(t, s)
		gate := make(chan struct{})
		wait := func() { <-gate }
		p.encrypting.Store(&wait)
		done := Background(func() (int, error) { return r.Client.Write(Data(5000)) })
		StillBlocked(t, done)
		require.NoError(t, r.Client.Abort())
		p.encrypting.Store(nil)
		close(gate)
		o := <-done
		require.Zero(t, o.N)
		require.ErrorIs(t, o.Err, net.ErrClosed)
		require.Zero(t, r.Client.Stats().Memory)
		r.Stop()
	})
}

// A client of a wire without a close message closes, and its server leaves the
// transport open: after CloseTimeout the client is done, and nothing says that
// bytes were lost.
func TestCloseTimeoutWithATransport(t *testing.T) {
	for _, s := range []Suite{DH64RC4, SCP} {
		t.Run(s.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := New(t, s)
				r.Exchange(100)
				start := time.Now()
				require.NoError(t, r.Client.Close())
				<-r.Client.Done()
				require.Equal(t, DefaultCloseTimeout, time.Since(start))
				require.NoError(t, r.Client.Events.All(relink.EventClosed)[0].Err)
				r.Stop()
			})
		})
	}
}

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
		require.True(t, IsLoss(err), err)
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
				InBubble(t, func(t *testing.T, s Suite) {
					for _, name := range []string{"client", "server"} {
						r := New(t, s, WithPath(faultnet.Options{ResetOnUnread: true, Delay: time.Millisecond}))
						c, peer := r.Client.Conn, r.Server.Conn
						if name == "server" {
							c, peer = peer, c
						}
						r.Exchange(100)
						data := Data(30_000)
						_, err := peer.Write([]byte("unread"))
						require.NoError(t, err)
						if when == "before" {
							r.Net.Last().Cut(k)
						}
						_, err = c.Write(data)
						require.NoError(t, err)
						RequireInstant(t, func() { require.NoError(t, c.Close()) })
						if when == "after" {
							r.Net.Last().Cut(k)
						}
						// A client that has closed needs nobody; a server's client redials.
						// A classic client cannot tell a reset after the server's end from
						// one before; its data is complete all the same.
						got, err := io.ReadAll(peer)
						require.Equal(t, data, got)
						if err != nil {
							require.True(t, IsClassic(s) && name == "server" && k != faultnet.End && when != "uncut")
							require.ErrorIs(t, err, relink.ErrSessionLost)
						}
						_, err = peer.Write([]byte("x"))
						if err != nil {
							require.True(t, IsLoss(err) || errors.Is(err, relink.ErrPeerClosed), err)
						}
						require.NoError(t, peer.Close())
						<-c.Done()
						<-peer.Done()
						require.NoError(t, r.Listener.Close())
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
			InBubble(t, func(t *testing.T, s Suite) {
				r := New(t, s)
				r.Exchange(100)
				data := Data(5000)
				_, err := r.Server.Write(data)
				require.NoError(t, err)
				synctest.Wait()
				// The server's process is killed, and another one takes its place: a
				// kernel sends FINs for a process that was killed.
				_ = r.inner.Close()
				path := r.Net.Last()
				fresh, err := relink.NewListener(r.Net.Listen(), relink.ListenConfig{Suites: []relink.ServerSuite{s}})
				require.NoError(t, err)
				start := time.Now()
				path.Cut(tt.kind)
				at := requireEnd(t, r.Client.Conn, data, tt.eof && IsClassic(s))
				most := time.Second
				if !IsClassic(s) { // it may have been another server
					most += 10 * time.Second
				}
				require.Less(t, at.Sub(start), most)
				_, err = r.Client.Write([]byte("x"))
				if tt.eof && IsClassic(s) {
					require.ErrorIs(t, err, relink.ErrPeerClosed)
				} else {
					require.ErrorIs(t, err, relink.ErrSessionLost)
				}
				synctest.Wait()
				closed := r.Client.Events.All(relink.EventClosed)
				require.Len(t, closed, 1)
				require.Equal(t, tt.eof && IsClassic(s), closed[0].Err == nil)
				r.Stop()
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
			InBubble(t, func(t *testing.T, s Suite) {
				const limit = 20 * time.Second
				r := New(t, s, WithServer(func(c *relink.ListenConfig) { c.ResumeTimeout = limit }))
				data := Data(1000)
				_, err := r.Client.Write(data)
				require.NoError(t, err)
				synctest.Wait()
				r.Net.SetDown(faultnet.Refuse)
				start := time.Now()
				r.Net.Last().Cut(k)
				eof := k == faultnet.End && IsClassic(s)
				at := requireEnd(t, r.Server.Conn, data, eof)
				require.Equal(t, limit, at.Sub(start).Round(time.Second))
				_, err = r.Server.Write([]byte("x"))
				if eof {
					require.ErrorIs(t, err, relink.ErrPeerClosed)
				} else {
					require.ErrorIs(t, err, relink.ErrExpired)
				}
				// The client hears of it as soon as it comes back.
				r.Net.SetDown(faultnet.NotDown)
				r.Client.NetworkChanged()
				_, err = r.Client.Read(make([]byte, 1))
				require.Error(t, err)
				r.Stop()
			})
		})
	}
}

// An aborted session is a loss for the peer, at once, where the transport can
// tell a reset from an end.
func TestAbortIsALoss(t *testing.T) {
	l, err := relink.Listen("tcp", "127.0.0.1:0", DH64RC4, SCP)
	require.NoError(t, err)
	for _, s := range []Suite{DH64RC4, SCP} {
		c, err := relink.Dial("tcp", l.Addr().String(), s)
		require.NoError(t, err)
		server, err := l.AcceptConn()
		require.NoError(t, err)
		RequireExchange(t, c, server, 1000)
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
	InBubble(t, func(t *testing.T, s Suite) {
		const limit = 10 * time.Second
		worked, refused := 0, 0
		for i := range 30 {
			r := New(t, s,
				WithServer(func(c *relink.ListenConfig) { c.ResumeTimeout = limit }),
				WithClient(func(c *relink.Dialer) { c.MinBackoff, c.MaxBackoff = time.Hour, time.Hour }))
			r.Exchange(100)
			start := time.Now()
			r.Suspend(faultnet.Refuse, faultnet.Reset)
			_, err := r.Client.Write(Data(500))
			require.NoError(t, err)
			_, err = r.Server.Write(Data(300))
			require.NoError(t, err)
			r.Net.SetDown(faultnet.NotDown)
			// Around the instant, and most often exactly at it.
			offset := []time.Duration{-time.Nanosecond, 0, 0, 0, time.Nanosecond, 2 * time.Nanosecond}[i%6]
			time.Sleep(time.Until(start.Add(limit + offset)))
			r.Client.NetworkChanged()
			up := make([]byte, 500)
			_, uerr := io.ReadFull(r.Server, up)
			down := make([]byte, 300)
			_, derr := io.ReadFull(r.Client, down)
			if derr == nil {
				require.NoError(t, uerr)
				require.Equal(t, Data(500), up)
				require.Equal(t, Data(300), down)
				synctest.Wait()
				if !IsClassic(s) && r.Server.State() == relink.StateClosed {
					// The server's data came with its answer, and the client's
					// confirmation too late. Both hear that the session is lost.
					for _, c := range r.Ends() {
						_, err := c.Read(down)
						require.True(t, IsLoss(err), err)
					}
					refused++
					r.Stop()
					continue
				}
				r.Exchange(100)
				worked++
			} else {
				require.ErrorIs(t, derr, relink.ErrSessionLost)
				// Data can come ahead of a proof that then is too late: exact, and
				// followed by the loss.
				if uerr == nil {
					require.False(t, IsClassic(s))
					require.Equal(t, Data(500), up)
					_, uerr = r.Server.Read(up)
				}
				require.ErrorIs(t, uerr, relink.ErrExpired)
				refused++
			}
			r.Stop()
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
	InBubble(t, func(t *testing.T, s Suite) {
		if !IsClassic(s) {
			return // its streams end by a message
		}
		for _, dir := range []faultnet.Dir{faultnet.Up, faultnet.Down} {
			r := New(t, s)
			r.Exchange(100)
			from, to, lost := r.Client.Conn, r.Server.Conn, relink.ErrExpired
			if dir == faultnet.Down {
				from, to, lost = r.Server.Conn, r.Client.Conn, relink.ErrSessionLost
			}
			r.Suspend(faultnet.Refuse, faultnet.Reset)
			_, err := from.Write(Data(5000))
			require.NoError(t, err)
			failed := errors.New("no further transport")
			r.Net.OnDial(func(i int, p *faultnet.Path) error {
				if i > 1 {
					return failed
				}
				p.CutAt(dir, 1000, faultnet.End)
				return nil
			})
			r.Net.SetDown(faultnet.NotDown)
			r.Client.NetworkChanged()
			var got bytes.Buffer
			ended := make(chan error, 1)
			go func() {
				_, err := io.Copy(&got, to)
				ended <- err
			}()
			synctest.Wait()
			RequireSuspended(t, to)
			if dir == faultnet.Down {
				_ = r.Server.Abort()
				r.Net.OnDial(nil) // the client hears that its session is gone
			}
			err = <-ended
			if IsSCP(s) {
				require.NoError(t, err) // io.EOF
			} else {
				require.ErrorIs(t, err, lost)
			}
			require.NotEmpty(t, got.Bytes())
			require.Equal(t, Data(got.Len()), got.Bytes())
			r.Stop()
		}
	})
}

// The first terminal error sticks, whatever comes after it.
func TestFirstErrorSticks(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithBoth(func(c *relink.Config) { c.ResumeTimeout = time.Second }))
		r.Suspend(faultnet.Refuse, faultnet.Reset)
		time.Sleep(time.Minute)
		for _, c := range r.Ends() {
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
		r.Stop()
	})
}

// A client resumes, sends its first record, which is late, and resumes once more
// before the server has it. Who resumes under the secret of an answer has given
// that answer's link up, so that the late record takes nothing over: else the
// session would go to a transport that nobody reads, and the client would need
// another resume.
func TestLateProofOfALinkGivenUp(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		if !strings.HasPrefix(s.String(), "Noise") {
			t.Skip("on the other wires the proof that comes first wins: see TestCloseOnASupersededTransport")
		}
		r := New(t, s)
		r.Exchange(100)
		resume := func() *faultnet.Path {
			r.Client.NetworkChanged()
			synctest.Wait()
			p := r.Net.Last()
			p.Stall(faultnet.Up)
			p.Release(faultnet.Down)
			synctest.Wait()
			return p
		}
		r.Net.OnDial(func(_ int, p *faultnet.Path) error {
			p.Stall(faultnet.Down)
			return nil
		})
		first := resume()
		second := resume()
		first.Release(faultnet.Up)
		synctest.Wait()
		require.EqualValues(t, 1, LinksOf(r.Server.Conn), "the link that was given up")
		second.Release(faultnet.Up)
		r.Exchange(100)
		time.Sleep(time.Second)
		require.EqualValues(t, 1, r.Server.Stats().Resumes)
		require.Len(t, r.Net.Paths(), 3)
		refused := r.Server.Events.All(relink.EventRefused)
		require.Len(t, refused, 1)
		require.ErrorIs(t, refused[0].Err, relink.ErrSuperseded)
		r.Finish()
	})
}

// The last message of a new session's handshake is late, and the client, which
// believes in the session, resumes it before. The handshake that comes to its
// end then must not open the session once more.
func TestLateProofOfANewSession(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		if IsSCP(s) {
			t.Skip("an SCP client's first message is its last one")
		}
		sc := NewIdle(t, s)
		sc.Net.OnDial(func(i int, p *faultnet.Path) error {
			if i == 0 {
				p.Stall(faultnet.Down)
			}
			return nil
		})
		dialled := Background(func() (n int, err error) {
			sc.Client.Conn, err = sc.Dialer.DialConn(context.Background(), "tcp", "server")
			return 0, err
		})
		synctest.Wait()
		first := sc.Net.Last()
		first.Stall(faultnet.Up)
		first.Release(faultnet.Down)
		require.NoError(t, (<-dialled).Err)
		sc.Client.NetworkChanged()
		var err error
		sc.Server.Conn, err = sc.Listener.AcceptConn()
		require.NoError(t, err)
		synctest.Wait()
		first.Release(faultnet.Up)
		sc.Echo(100, time.Second)
		sc.NothingMore()
		require.EqualValues(t, 1, LinksOf(sc.Server.Conn))
		require.Len(t, sc.Server.Events.All(relink.EventOpened), 1)
		require.Equal(t, 1, live(sc.Listener))
		require.Equal(t, [2]int{}, unfinished(sc.Listener))
		sc.Finish()
	})
}

// Whatever the transports' errors are, that of a lost session never says that
// the stream is complete, that a deadline has passed and the call can be repeated,
// or that the session was closed on this side.
func TestErrorOfALostSession(t *testing.T) {
	for _, cause := range []error{io.EOF, os.ErrDeadlineExceeded, net.ErrClosed} {
		t.Run(cause.Error(), func(t *testing.T) {
			InBubble(t, func(t *testing.T, s Suite) {
				r := New(t, s)
				r.Exchange(100)
				r.Net.OnDial(func(int, *faultnet.Path) error { return fmt.Errorf("the last attempt: %w", cause) })
				r.Net.Last().Cut(faultnet.Reset)
				for range 2 {
					_, err := r.Client.Read(make([]byte, 1))
					require.True(t, IsLoss(err), "%v", err)
					require.NotErrorIs(t, err, io.EOF)
					require.ErrorContains(t, err, "the last attempt: "+cause.Error())
				}
				r.Stop()
			})
		})
	}
}

// A session that is lost behind a clean end of its transport is not taken for a
// complete stream by who asks errors.Is(err, io.EOF). Only the classic wires
// have nothing else to go by.
func TestALostSessionIsNoEOF(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		if IsClassic(s) {
			t.Skip("a clean end of the last transport is io.EOF on the classic wires")
		}
		r := New(t, s)
		r.Exchange(100)
		r.Suspend(faultnet.Refuse, faultnet.End)
		time.Sleep(2 * DefaultResumeTimeout)
		synctest.Wait()
		for name, c := range r.Ends() {
			_, err := c.Read(make([]byte, 1))
			require.ErrorIs(t, err, relink.ErrExpired, name)
			require.NotErrorIs(t, err, io.EOF, name)
			_, err = c.Write(make([]byte, 1))
			require.NotErrorIs(t, err, io.EOF, name)
		}
		r.Stop()
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
		r := New(t, SCP, WithBoth(func(c *relink.Config) { c.ReplayLimit = limit }), func(r *Rig, _ *relink.ListenConfig) {
			r.Dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := r.Net.Dial(ctx, network, address)
				if err != nil {
					return nil, err
				}
				return &resettable{c, r.Net.Last(), -1}, nil
			}
		})
		r.Exchange(100)
		r.Net.Last().Stall(faultnet.Up)
		RequireWrite(t, r.Client, Data(5*limit))
		r.Net.Last().Cut(faultnet.ResetNow)
		_, err := r.Client.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrReplayGap)
		_, err = r.Server.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrExpired)
		r.Stop()
	})
}

// The ends of a session with the suite Noise that need its handshake or a
// kernel; what all suites with acknowledgements have in common is in
// closewrite_test.go and end_test.go.

// Close on a kernel's TCP, with data unread that makes it answer with a reset,
// and with the transport cut at once: the peer reads every byte and then the
// end, once.
func TestNoiseCloseOverTCP(t *testing.T) {
	const size = 300_000
	for _, cut := range []bool{false, true} {
		for _, byClient := range []bool{true, false} {
			t.Run(fmt.Sprintf("cut=%v/client=%v", cut, byClient), func(t *testing.T) {
				sc, relay := relayed(t, Noise)
				from, to := sc.Client, sc.Server
				if !byClient {
					from, to = to, from
				}
				to.Send(size) // that nobody reads
				from.Send(size)
				require.NoError(t, from.Close())
				if cut {
					relay.Cut(faultnet.Reset)
				}
				require.NoError(t, to.SetReadDeadline(time.Now().Add(30*time.Second)))
				require.Equal(t, io.EOF, to.readAll())
				require.EqualValues(t, size, to.got)
				RequireEOF(t, to.Conn)
				_, err := to.Write([]byte("x"))
				require.ErrorIs(t, err, relink.ErrPeerClosed)
				require.NoError(t, to.Close())
				from.awaitDone()
				to.awaitDone()
			})
		}
	}
}

// CloseWrite of either side, or of both, before, during and after the loss of a
// transport: one end, at its offset, while the other direction goes on over as
// many transports as it takes.
func TestNoiseCloseWriteAcrossResumes(t *testing.T) {
	for _, when := range []string{"before", "while suspended", "while resuming"} {
		for _, byClient := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/client=%v", when, byClient), func(t *testing.T) {
				InRig(t, Noise, Setup{}, faultnet.Options{Delay: time.Millisecond}, func(sc *Rig) {
					from, to := sc.Client, sc.Server
					if !byClient {
						from, to = to, from
					}
					sc.Echo(100, time.Second)
					sc.Net.Last().Stall(faultnet.Up)
					sc.Net.Last().Stall(faultnet.Down)
					from.Send(40_000) // more than handshakes carry
					switch when {
					case "before":
						require.NoError(t, from.CloseWrite())
						synctest.Wait()
						sc.Net.Last().Cut(faultnet.ResetNow)
					case "while suspended":
						sc.Net.SetDown(faultnet.Refuse)
						sc.Net.Last().Cut(faultnet.ResetNow)
						time.Sleep(time.Second)
						require.NoError(t, from.CloseWrite())
						sc.Net.SetDown(faultnet.NotDown)
					default:
						sc.Net.OnDial(func(int, *faultnet.Path) error { return from.CloseWrite() })
						sc.Net.Last().Cut(faultnet.ResetNow)
						time.Sleep(time.Second)
						sc.Net.OnDial(nil)
					}
					to.Receive(39_999)
					for range 3 {
						to.Send(1000)
						from.Receive(1000)
						sc.Net.Last().Cut(faultnet.Reset)
					}
					require.Equal(t, io.EOF, to.readAll())
					require.EqualValues(t, 40_100, to.got)
					RequireEOF(t, to.Conn)
					to.Send(1000)
					from.Receive(1000)
					require.NoError(t, from.WaitAcked(context.Background(), 40_100))
				})
			})
		}
	}
}

// Both sides have closed, and the client's last word has reached the server, but
// not the server's the client: it asks, and is told that all is well, or that
// not everything that it wrote was taken.
func TestNoiseLateResumeOfAClosedSession(t *testing.T) {
	for i := range 4 {
		undelivered, ended := i%2 == 1, i >= 2
		t.Run(fmt.Sprintf("undelivered=%v,server's stream ended=%v", undelivered, ended), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const window = 64 << 10
				r := New(t, Noise, WithServer(func(c *relink.ListenConfig) { c.ReplayLimit = window }))
				if ended {
					require.NoError(t, r.Server.CloseWrite())
					RequireEOF(t, r.Client)
				}
				data := Data(1000)
				if undelivered {
					data = Data(2 * window)
				}
				RequireWrite(t, r.Client, data)
				if ended && !undelivered {
					// Else the server's Close finds nothing left to wait for.
					_, err := io.ReadFull(r.Server, make([]byte, len(data)))
					require.NoError(t, err)
				}
				synctest.Wait()
				r.Net.Last().Stall(faultnet.Down) // what the server says is lost
				closed := time.Now()
				require.NoError(t, r.Client.Close())
				synctest.Wait()
				require.Equal(t, relink.StateClosing, r.Client.State())
				require.NoError(t, r.Server.Close())
				<-r.Server.Done()
				r.Net.Last().Cut(faultnet.ResetNow)
				<-r.Client.Done()
				require.Less(t, time.Since(closed), time.Second)
				require.Len(t, r.Net.Paths(), 2) // it was told, and did not have to guess
				require.NoError(t, r.Server.Events.All(relink.EventClosed)[0].Err)
				err := r.Client.Events.All(relink.EventClosed)[0].Err
				if undelivered {
					require.ErrorIs(t, err, relink.ErrSessionLost)
				} else {
					require.NoError(t, err)
				}
				r.Stop()
			})
		})
	}
}

// A session that was closed and whose CloseTimeout has passed was not aborted:
// the client that comes back is told which.
func TestNoiseLateResumeAfterCloseTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(t, Noise, WithServer(func(c *relink.ListenConfig) { c.CloseTimeout = time.Second }))
		r.Exchange(1000)
		require.NoError(t, r.Server.WaitAcked(t.Context(), 1000))
		r.Suspend(faultnet.Refuse, faultnet.Reset)
		require.NoError(t, r.Server.Close())
		<-r.Server.Done()
		r.Net.SetDown(faultnet.NotDown)
		_, err := r.Client.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrSessionLost)
		var ended *suite.EndedError
		require.ErrorAs(t, err, &ended)
		require.Equal(t, suite.ResetLinger, ended.Code)
		r.Stop()
	})
}

// Abort is Abort also after CloseWrite: although the client has all of the
// server's stream, what it has written itself is lost, and it is told so.
func TestNoiseAbortAfterCloseWrite(t *testing.T) {
	for _, connected := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			r := New(t, Noise)
			require.NoError(t, r.Server.CloseWrite())
			_, err := r.Client.Read(make([]byte, 1))
			require.Equal(t, io.EOF, err)
			RequireWrite(t, r.Client, Data(1000))
			synctest.Wait()
			if !connected {
				r.Net.SetDown(faultnet.Refuse)
				r.Net.Last().Cut(faultnet.Reset)
				time.Sleep(time.Second) // nobody is in Read: ticks look at the transport
			}
			require.NoError(t, r.Server.Abort())
			r.Net.SetDown(faultnet.NotDown)
			<-r.Client.Done()
			_, err = r.Client.Write([]byte("x"))
			require.ErrorIs(t, err, relink.ErrSessionLost)
			require.ErrorIs(t, r.Client.Events.All(relink.EventClosed)[0].Err, relink.ErrSessionLost)
			r.Stop()
		})
	}
}

// A session that has expired leaves no tombstone: the client is told that it is
// unknown, under the server's key. So is one whose tombstone has gone.
func TestNoiseTombstonesGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = time.Minute
		r := New(t, Noise, WithServer(func(c *relink.ListenConfig) { c.ResumeTimeout = timeout }),
			WithClient(func(c *relink.Dialer) { c.ResumeTimeout = time.Hour }))
		r.Suspend(faultnet.Refuse, faultnet.Reset)
		require.NoError(t, r.Server.Abort())
		time.Sleep(timeout + time.Second)
		r.Net.SetDown(faultnet.NotDown)
		_, err := r.Client.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrSessionLost)
		require.ErrorContains(t, err, "does not know it")
		r.Stop()
	})
}

// Both sides close at the same moment, with data under way and the transport
// cut at any time around it: both end within CloseTimeout.
func TestNoiseClosesMeetAndAreCut(t *testing.T) {
	const delay = 10 * time.Millisecond
	for at := -2 * delay; at <= 4*delay; at += delay / 2 {
		for _, kind := range losses {
			synctest.Test(t, func(t *testing.T) {
				r := New(t, Noise, WithPath(faultnet.Options{ResetOnUnread: true, Delay: delay}))
				RequireWrite(t, r.Client, Data(1000))
				RequireWrite(t, r.Server, Data(1000))
				if at < 0 {
					r.Net.Last().Cut(kind)
					time.Sleep(-at)
				} else {
					time.AfterFunc(at, func() { r.Net.Paths()[0].Cut(kind) })
				}
				closed := time.Now()
				require.NoError(t, r.Client.Close())
				require.NoError(t, r.Server.Close())
				<-r.Client.Done()
				<-r.Server.Done()
				require.NoError(t, r.Client.Events.All(relink.EventClosed)[0].Err, "%v after %v", kind, at)
				// A client that has heard all that it waits for is gone, and a server
				// that has not waits in vain.
				err := r.Server.Events.All(relink.EventClosed)[0].Err
				if took := time.Since(closed); took < DefaultCloseTimeout {
					require.LessOrEqual(t, took, time.Second, "%v after %v", kind, at)
					require.NoError(t, err, "%v after %v", kind, at)
				} else {
					require.Equal(t, DefaultCloseTimeout, took)
					require.ErrorIs(t, err, relink.ErrExpired)
				}
				_ = r.Listener.Close()
			})
		}
	}
}
