package conntest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/suite"
)

// The end of one direction arrives once, at its offset, whatever happens to the
// transport; the other direction goes on over the next ones.
func TestCloseWrite(t *testing.T) {
	for _, kind := range []faultnet.Kind{faultnet.Reset, faultnet.ResetNow, faultnet.End} {
		for _, fromClient := range []bool{true, false} {
			t.Run(fmt.Sprintf("%v/client=%v", kind, fromClient), func(t *testing.T) {
				InAckBubble(t, func(t *testing.T, s Suite) {
					r := New(t, s)
					from, to := r.Client.Conn, r.Server.Conn
					if !fromClient {
						from, to = to, from
					}
					data := Data(300_000)
					RequireWrite(t, from, data)
					require.NoError(t, from.CloseWrite())
					require.ErrorIs(t, from.CloseWrite(), net.ErrClosed)
					_, err := from.Write([]byte("more"))
					require.ErrorIs(t, err, net.ErrClosed)
					for i := range 4 {
						r.Net.Last().Cut(kind)
						RequireWrite(t, to, data[i:i+100])
						RequireRead(t, from, data[i:i+100])
						if i == 1 {
							RequireRead(t, to, data)
							RequireEOF(t, to)
						}
					}
					RequireEOF(t, to)
					require.NoError(t, from.WaitAcked(context.Background(), int64(len(data))))
					require.NoError(t, to.CloseWrite())
					RequireEOF(t, from)
					r.Finish()
				})
			})
		}
	}
}

// A Write that is still encrypting when CloseWrite or Close is called does not
// put its bytes behind the end.
func TestCloseDuringWrite(t *testing.T) {
	for _, name := range []string{"CloseWrite", "Close"} {
		t.Run(name, func(t *testing.T) {
			inRecordBubble(t, func(t *testing.T, p *RecordProtocol, s Suite) {
				r := New(t, s)
				gate := make(chan struct{})
				wait := func() { <-gate }
				p.encrypting.Store(&wait)
				data := Data(100_000) // more than is encrypted under the lock
				done := Background(func() (int, error) { return r.Client.Write(data) })
				StillBlocked(t, done)
				end := r.Client.CloseWrite
				if name == "Close" {
					end = r.Client.Close
				}
				require.NoError(t, end())
				synctest.Wait()
				p.encrypting.Store(nil)
				close(gate)
				o := <-done
				RequireRead(t, r.Server, data[:o.N])
				RequireEOF(t, r.Server)
				require.NoError(t, r.Server.Close())
				_ = r.Client.Close()
				<-r.Client.Done()
				<-r.Server.Done()
				_ = r.Listener.Close()
				synctest.Wait() // the events are delivered
				require.NoError(t, r.Client.Events.All(relink.EventClosed)[0].Err)
			})
		})
	}
}

// Close delivers everything and then the end, although the transport is cut at
// once and again.
func TestCloseDelivers(t *testing.T) {
	for _, kind := range []faultnet.Kind{faultnet.Reset, faultnet.ResetNow, faultnet.End} {
		for _, fromClient := range []bool{true, false} {
			for _, unread := range []bool{true, false} {
				t.Run(fmt.Sprintf("%v/client=%v/unread=%v", kind, fromClient, unread), func(t *testing.T) {
					InAckBubble(t, func(t *testing.T, s Suite) {
						r := New(t, s, WithPath(faultnet.Options{ResetOnUnread: true, Buffer: 16 << 10}))
						from, to := r.Client.Conn, r.Server.Conn
						if !fromClient {
							from, to = to, from
						}
						data := Data(200_000)
						if unread {
							RequireWrite(t, to, data)
						}
						writing := Background(func() (int, error) { return from.Write(data) })
						require.NoError(t, (<-writing).Err)
						require.NoError(t, from.Close())
						for range 3 {
							r.Net.Last().Cut(kind)
							time.Sleep(100 * time.Millisecond)
						}
						RequireRead(t, to, data)
						RequireEOF(t, to)
						_, err := to.Write([]byte("x"))
						require.ErrorIs(t, err, relink.ErrPeerClosed)
						<-from.Done()
						require.NoError(t, to.Close())
						<-to.Done()
						_ = r.Listener.Close()
					})
				})
			}
		}
	}
}

func TestClosesMeet(t *testing.T) {
	for _, cut := range []bool{false, true} {
		t.Run(fmt.Sprintf("cut=%v", cut), func(t *testing.T) {
			InAckBubble(t, func(t *testing.T, s Suite) {
				r := New(t, s, WithPath(faultnet.Options{ResetOnUnread: true, Delay: 10 * time.Millisecond}))
				RequireWrite(t, r.Client, Data(100_000))
				RequireWrite(t, r.Server, Data(100_000))
				if cut {
					r.Net.Last().Cut(faultnet.Reset)
				}
				require.NoError(t, r.Client.Close())
				require.NoError(t, r.Server.Close())
				before := time.Now()
				<-r.Client.Done()
				<-r.Server.Done()
				require.LessOrEqual(t, time.Since(before), DefaultCloseTimeout)
				_ = r.Listener.Close()
			})
		})
	}
}

// After CloseWrite, Close still tells the peer that nobody reads any more, and
// makes sure that it hears it.
func TestCloseAfterCloseWrite(t *testing.T) {
	for _, cut := range []bool{false, true} {
		t.Run(fmt.Sprintf("cut=%v", cut), func(t *testing.T) {
			InAckBubble(t, func(t *testing.T, s Suite) {
				r := New(t, s)
				data := Data(1000)
				RequireWrite(t, r.Client, data)
				require.NoError(t, r.Client.CloseWrite())
				RequireRead(t, r.Server, data)
				RequireEOF(t, r.Server)
				RequireWrite(t, r.Server, data)
				RequireRead(t, r.Client, data)
				time.Sleep(time.Second) // the end is acknowledged
				if cut {
					r.Net.Last().Stall(faultnet.Up) // what Close says is lost
				}
				require.NoError(t, r.Client.Close())
				synctest.Wait()
				r.Net.Last().Cut(faultnet.ResetNow)
				time.Sleep(time.Second)
				_, err := r.Server.Write([]byte("x"))
				require.ErrorIs(t, err, relink.ErrPeerClosed)
				RequireEOF(t, r.Server)
				r.Server.Close()
				<-r.Server.Done()
				<-r.Client.Done()
				_ = r.Listener.Close()
				synctest.Wait()
				require.NoError(t, r.Server.Events.All(relink.EventClosed)[0].Err)
				require.NoError(t, r.Client.Events.All(relink.EventClosed)[0].Err)
			})
		})
	}
}

func TestAbortIsTyped(t *testing.T) {
	for _, opaque := range []bool{false, true} {
		for _, fromClient := range []bool{true, false} {
			t.Run(fmt.Sprintf("opaque=%v/client=%v", opaque, fromClient), func(t *testing.T) {
				InAckBubble(t, func(t *testing.T, s Suite) {
					r := New(t, s, WithPath(faultnet.Options{Opaque: opaque}))
					from, to := r.Client.Conn, r.Server.Conn
					if !fromClient {
						from, to = to, from
					}
					RequireWrite(t, from, []byte("hello"))
					RequireRead(t, to, []byte("hello"))
					reading := Background(func() (int, error) { return to.Read(make([]byte, 1)) })
					StillBlocked(t, reading)
					before := time.Now()
					require.NoError(t, from.Abort())
					require.ErrorIs(t, (<-reading).Err, relink.ErrSessionLost)
					require.Less(t, time.Since(before), time.Second)
					_, err := to.Write([]byte("x"))
					require.ErrorIs(t, err, relink.ErrSessionLost)
					_ = to.Close()
					_ = r.Listener.Close()
				})
			})
		}
	}
}

// Abort in the middle of an attempt takes the buffer away that the attempt is
// about to look into.
func TestAbortDuringAttempt(t *testing.T) {
	inRecordBubble(t, func(t *testing.T, p *RecordProtocol, s Suite) {
		r := New(t, s)
		r.Net.Last().Stall(faultnet.Down) // nothing is acknowledged
		RequireWrite(t, r.Client, Data(1000))
		abort := func() { _ = r.Client.Abort() }
		p.resuming.Store(&abort)
		r.Net.Last().Cut(faultnet.ResetNow)
		r.Client.NetworkChanged()
		<-r.Client.Done()
		synctest.Wait()
		r.Stop()
	})
}

// On a wire that does not tell how much is replayed, a server drains the replay
// of a distant client, which begins a round trip after the answer, although the
// application does not read.
func TestDrainOfDistantReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(t, SCP, WithPath(faultnet.Options{Delay: 400 * time.Millisecond}))
		r.Net.Last().Cut(faultnet.ResetNow)
		_, err := r.Client.Write(make([]byte, 3<<20))
		require.NoError(t, err)
		_, err = r.Server.Write([]byte("x")) // makes it notice, and asks for ticks
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.Zero(t, r.Client.Stats().BytesPending)
		r.Stop()
	})
}

// Such a drain has an end: long after a resume a server takes no more than ever
// from a client whose data its application does not want.
func TestDrainEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(t, SCP)
		r.Client.NetworkChanged()
		time.Sleep(10 * time.Second)
		require.Equal(t, relink.StateConnected, r.Client.State())
		require.NoError(t, r.Client.SetWriteDeadline(time.Now().Add(time.Minute)))
		_, err := r.Client.Write(make([]byte, 3<<20))
		requireTimeout(t, err)
		require.Less(t, r.Server.Stats().Memory, int64(512<<10))
		r.Stop()
	})
}

// A client ends its stream over a new link at an offset that it has passed over
// the old one. It contradicts itself, and the session ends.
func TestEndBeforeWhatHasArrived(t *testing.T) {
	inRecordBubble(t, func(t *testing.T, p *RecordProtocol, s Suite) {
		s, h, _ := hooked(s)
		gate := make(chan struct{})
		dials := 0
		r := New(t, s, func(r *Rig, _ *relink.ListenConfig) {
			r.Dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := r.Net.Dial(ctx, network, address)
				if dials++; dials != 2 || err != nil {
					return c, err
				}
				return &gatedConn{Conn: c, gate: gate}, nil // holds its proof back
			}
		})
		r.Exchange(100)
		time.Sleep(time.Second)
		read := Background(func() (int, error) { return r.Server.Read(make([]byte, 64)) })
		synctest.Wait()
		old := r.Net.Last()
		old.Stall(faultnet.Up)
		RequireWrite(t, r.Client, Data(10))
		tamper := func(_ string, client bool, data []byte, k suite.Control) ([]byte, suite.Control) {
			if !client || k.Reset != 0 {
				return data, k
			}
			k.Fin = true
			return nil, k
		}
		p.tamper.Store(&tamper)
		pending := func([]byte) (int64, int) { return 100, 0 }
		h.pending.Store(&pending)
		r.Client.NetworkChanged()
		synctest.Wait()
		old.Release(faultnet.Up)
		require.Equal(t, 10, (<-read).N)
		close(gate)
		synctest.Wait()
		_, err := r.Server.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrProtocol)
		r.Stop()
	})
}

// On a wire without a close message a clean FIN means that all has arrived. A
// server that gives up with bytes in hand must not send one.
func TestGivingUpIsNoCleanEnd(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	cfg := Setup{CloseTimeout: 200 * time.Millisecond}
	l, err := relink.NewListener(inner, cfg.listener(DH64RC4))
	require.NoError(t, err)
	defer l.Close()
	client, server := tcpSession(t, l, relink.Dialer{Suite: DH64RC4, Config: cfg.shared(), DialTransport: func(ctx context.Context, network, _ string) (net.Conn, error) {
		t, err := new(net.Dialer).DialContext(ctx, network, inner.Addr().String())
		if err == nil {
			err = t.(*net.TCPConn).SetReadBuffer(64 << 10)
		}
		return t, err
	}})

	written := 0
	for n := -1; n != 0; written += n { // until the kernels take no more
		require.NoError(t, server.SetWriteDeadline(time.Now().Add(200*time.Millisecond)))
		n, err = server.Write(make([]byte, 16<<20))
		requireTimeout(t, err)
	}
	require.NoError(t, server.Close())
	<-server.Done()
	got, err := io.Copy(io.Discard, client)
	require.Less(t, got, int64(written))
	require.ErrorIs(t, err, relink.ErrSessionLost)
}

// Nor does a client that has lost its network end a server's stream: the
// server's application learns that it may lack something.
func TestLostNetworkIsNoCleanEnd(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	cfg := Setup{ResumeTimeout: 300 * time.Millisecond}
	l, err := relink.NewListener(inner, cfg.listener(DH64RC4))
	require.NoError(t, err)
	defer l.Close()
	dials := 0
	client, server := tcpSession(t, l, relink.Dialer{Suite: DH64RC4, Config: cfg.shared(), DialTransport: func(ctx context.Context, network, _ string) (net.Conn, error) {
		if dials++; dials > 1 {
			return nil, errors.New("no network")
		}
		return new(net.Dialer).DialContext(ctx, network, inner.Addr().String())
	}})
	client.NetworkChanged()
	_, err = client.Write([]byte("never arrives"))
	require.NoError(t, err)
	got, err := io.ReadAll(server)
	require.Empty(t, got)
	require.ErrorIs(t, err, relink.ErrExpired)
}

// A dialer may leave a deadline on its transport; the session has its own.
func TestDeadlineLeftByDialer(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	cfg := Setup{}
	l, err := relink.NewListener(inner, cfg.listener(DH64RC4))
	require.NoError(t, err)
	defer l.Close()
	const left = 200 * time.Millisecond
	client, server := tcpSession(t, l, relink.Dialer{Suite: DH64RC4, Config: cfg.shared(), DialTransport: func(ctx context.Context, network, _ string) (net.Conn, error) {
		t, err := new(net.Dialer).DialContext(ctx, network, inner.Addr().String())
		if err == nil {
			err = t.SetDeadline(time.Now().Add(left))
		}
		return t, err
	}})
	time.AfterFunc(2*left, func() { _, _ = server.Write([]byte("x")) })
	giveUp := time.AfterFunc(10*time.Second, func() { _ = client.Abort() })
	defer giveUp.Stop()
	_, err = io.ReadFull(client, make([]byte, 1))
	require.NoError(t, err)
	RequireWrite(t, client, []byte("y")) // nor does it end what is written
	RequireRead(t, server, []byte("y"))
	require.Zero(t, client.Stats().Resumes)
}

// tcpSession opens a session and aborts it at the end of the test.
func tcpSession(t *testing.T, l *relink.Listener, d relink.Dialer) (client, server *relink.Conn) {
	client, err := d.DialConn(context.Background(), "tcp", l.Addr().String())
	require.NoError(t, err)
	server, err = l.AcceptConn()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = client.Abort(), server.Abort() })
	return client, server
}
