package conntest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A client with the wrong key, or with a key where the server has none, or
// without one where it has, is told what to do.
func TestNoiseMismatch(t *testing.T) {
	key := relink.GenerateKey()
	server := relink.NoiseServer{Keys: []relink.PrivateKey{key}}
	pinned := relink.NoiseClient{ServerKeys: []relink.PublicKey{relink.GenerateKey().PublicKey(), relink.GenerateKey().PublicKey()}}
	for name, tt := range map[string]struct {
		server relink.ServerSuite
		client relink.ClientSuite
		is     error
		says   []string
	}{
		"wrong key":                    {server, pinned, relink.ErrAuthentication, []string{"key", "NoiseClient"}},
		"no key for a server with one": {server, InsecureNoise, relink.ErrProtocol, []string{"NoiseClient", "InsecureNoise"}},
		"key for a server without":     {InsecureNoise, pinned, relink.ErrProtocol, []string{"NoiseClient", "InsecureNoise"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := faultnet.New()
				events := new(EventLog)
				l, err := relink.NewListener(n.Listen(), relink.ListenConfig{Suites: []relink.ServerSuite{tt.server}, Config: relink.Config{OnEvent: events.add}})
				require.NoError(t, err)
				t.Cleanup(func() { _ = l.Close() })
				d := relink.Dialer{Suite: tt.client, DialTransport: n.Dial}
				before := time.Now()
				_, err = d.DialConn(t.Context(), "tcp", "server")
				require.Less(t, time.Since(before), time.Second)
				require.ErrorIs(t, err, tt.is)
				for _, word := range tt.says {
					require.ErrorContains(t, err, word)
				}
				time.Sleep(time.Minute)
				require.Len(t, n.Paths(), 1) // all keys were tried on one transport
				refused := events.All(relink.EventRefused)
				require.Len(t, refused, 1)
				require.ErrorIs(t, refused[0].Err, tt.is)
			})
		})
	}
}

// A server's key is replaced without anybody noticing: clients pin the new one
// beside the old one, the server answers with both, then the old one goes. A
// session stays with the key that it began with.
func TestNoiseKeyRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var keys []relink.PrivateKey
		var pins []relink.PublicKey
		for range 4 {
			keys = append(keys, relink.GenerateKey())
			pins = append(pins, keys[len(keys)-1].PublicKey())
		}
		client := func(pins ...relink.PublicKey) relink.Dialer {
			return relink.Dialer{Suite: relink.NoiseClient{ServerKeys: pins}}
		}
		n := faultnet.New()
		serve := func(keys ...relink.PrivateKey) *relink.Listener {
			l, err := relink.NewListener(n.Listen(), relink.ListenConfig{Suites: []relink.ServerSuite{relink.NoiseServer{Keys: keys}}})
			require.NoError(t, err)
			return l
		}
		talk := func(l *relink.Listener, d relink.Dialer) (c, s *relink.Conn) {
			d.DialTransport = n.Dial
			dials := n.Dials()
			c, err := d.DialConn(t.Context(), "tcp", "server")
			require.NoError(t, err)
			require.Equal(t, dials+1, n.Dials())
			s, err = l.AcceptConn()
			require.NoError(t, err)
			RequireExchange(t, c, s, 100)
			return c, s
		}
		l := serve(keys[0], keys[1])
		for _, d := range []relink.Dialer{client(pins[0]), client(pins[1]), client(pins[1], pins[0]), client(pins[3], pins[2], pins[1])} {
			c, s := talk(l, d)
			for range 2 {
				n.Last().Cut(faultnet.Reset)
				RequireExchange(t, c, s, 100)
			}
			_, _ = c.Abort(), s.Abort()
		}
		require.NoError(t, l.Close())
		l = serve(keys[3])
		c, s := talk(l, client(pins...)) // the last of four
		_, _ = c.Abort(), s.Abort()

		// A session of a key that has gone goes with it, in time, and not at a
		// stranger's word.
		old := client(pins[3], pins[0])
		old.ResumeTimeout = time.Minute
		c, s = talk(l, old)
		require.NoError(t, l.Close())
		l = serve(keys[0])
		n.Last().Cut(faultnet.ResetNow)
		before := time.Now()
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrExpired)
		require.ErrorIs(t, err, relink.ErrAuthentication)
		require.GreaterOrEqual(t, time.Since(before), time.Minute)
		_, _ = c.Abort(), s.Abort()
		require.NoError(t, l.Close())
	})
}

// What the suite Noise takes in time, exactly, on a network with a round trip
// of 50 ms. A dial takes one of them.

const (
	oneWay    = 25 * time.Millisecond
	roundTrip = 2 * oneWay
)

// newDistantRig opens a session over that network, on which both sides know
// each other's limits.
func newDistantRig(t *testing.T, options ...Option) *Rig {
	r := New(t, Noise, append(options, WithPath(faultnet.Options{Delay: oneWay}))...)
	r.Exchange(1000)
	time.Sleep(time.Minute)
	return r
}

// arrival returns when the bytes have been read. They are the first of Data.
func arrival(t *testing.T, c *relink.Conn, n int) <-chan time.Time {
	at := make(chan time.Time, 1)
	go func() {
		defer close(at)
		got := make([]byte, n)
		_, err := io.ReadFull(c, got)
		if errors.Is(err, net.ErrClosed) {
			return // the test has failed, and is over
		}
		if err != nil || string(got) != string(Data(n)) {
			t.Errorf("read %v, or other bytes", err)
			return
		}
		at <- time.Now()
	}()
	return at
}

// A new session takes one round trip once the transport is connected, and half
// of one more until the server has it.
func TestNoiseOpensInOneRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := time.Now()
		var opened time.Time
		r := New(t, Noise, WithPath(faultnet.Options{Delay: oneWay}), WithClient(func(c *relink.Dialer) {
			c.OnEvent = func(e relink.Event) {
				if e.Kind == relink.EventOpened {
					opened = e.Time
				}
			}
		}))
		connected := before.Add(roundTrip)
		require.Equal(t, roundTrip+oneWay, time.Since(connected)) // Accept has returned
		synctest.Wait()
		require.Equal(t, roundTrip, opened.Sub(connected))
		r.Stop()
	})
}

// firstFlight is a path on which only so much is under way at a time as TCP begins
// with: 10 segments, where they are smallest.
var firstFlight = faultnet.Options{Delay: oneWay, Buffer: 12_080}

// What the client has to say has arrived half a round trip after a transport is
// there, and what the server has to say a whole one after. If there is much of
// it, the handshake does not wait for the rest.
func TestNoiseResumesInOneRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 11 << 10 // what a handshake carries
		r := newDistantRig(t)
		r.Suspend(faultnet.Refuse, faultnet.ResetNow)
		RequireWrite(t, r.Client, Data(100_000))
		RequireWrite(t, r.Server, Data(100_000))
		up, down := arrival(t, r.Server.Conn, n), arrival(t, r.Client.Conn, n)
		var connected time.Time
		r.Net.SetOptions(firstFlight)
		r.Net.OnDial(func(int, *faultnet.Path) error {
			connected = time.Now()
			return nil
		})
		r.Net.SetDown(faultnet.NotDown)
		require.Equal(t, oneWay, (<-up).Sub(connected))
		require.Equal(t, roundTrip, (<-down).Sub(connected))
		r.Stop()
	})
}

// Nor does the first record of a new session wait until more is under way, however
// much there is to send.
func TestNoiseFirstRecordFitsTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(t, Noise, WithPath(firstFlight))
		for _, c := range r.Ends() {
			go func() { _, _ = c.Write(Data(100_000)) }()
		}
		start := time.Now()
		up, down := arrival(t, r.Server.Conn, 8<<10), arrival(t, r.Client.Conn, 8<<10)
		require.Equal(t, oneWay, (<-up).Sub(start))
		require.Equal(t, oneWay, (<-down).Sub(start))
		r.Stop()
	})
}

// A silent loss stops the data for no longer than LivenessTimeout and two round
// trips, whenever it happens and in whichever direction.
func TestNoiseLeavesABlackHole(t *testing.T) {
	for _, kind := range holes {
		for _, o := range []faultnet.Options{{Delay: oneWay}, {Delay: oneWay, Opaque: true}} {
			for _, after := range []time.Duration{0, 30 * time.Millisecond, 70 * time.Millisecond, 7450 * time.Millisecond} {
				synctest.Test(t, func(t *testing.T) {
					const n = 1000
					r := New(t, Noise, Unsuspecting, WithPath(o))
					r.Exchange(1000)
					time.Sleep(after)
					synctest.Wait()
					r.Net.Last().Cut(kind)
					lost := time.Now().Add(oneWay) // what was under way has arrived by then
					up, down := arrival(t, r.Server.Conn, n), arrival(t, r.Client.Conn, n)
					RequireWrite(t, r.Client, Data(n))
					RequireWrite(t, r.Server, Data(n))
					const most = DefaultLivenessTimeout + 2*roundTrip
					require.LessOrEqual(t, (<-up).Sub(lost), most, "%v after %v on %+v: up", kind, after, o)
					require.LessOrEqual(t, (<-down).Sub(lost), most, "%v after %v on %+v: down", kind, after, o)
					r.Finish()
				})
			}
		}
	}
}

// With a word from the application it takes the two round trips alone.
func TestNoiseNetworkChanged(t *testing.T) {
	for _, kind := range holes {
		synctest.Test(t, func(t *testing.T) {
			const n = 1000
			r := newDistantRig(t)
			up, down := arrival(t, r.Server.Conn, n), arrival(t, r.Client.Conn, n)
			synctest.Wait()
			r.Net.Last().Cut(kind)
			RequireWrite(t, r.Client, Data(n))
			RequireWrite(t, r.Server, Data(n))
			changed := time.Now()
			r.Client.NetworkChanged()
			if kind != faultnet.BlackHoleDown {
				require.Equal(t, roundTrip+oneWay, (<-up).Sub(changed))
			}
			if kind != faultnet.BlackHoleUp {
				require.Equal(t, 2*roundTrip, (<-down).Sub(changed))
			}
			require.NoError(t, r.Client.WaitAcked(context.Background(), 1000+n))
			require.LessOrEqual(t, time.Since(changed), 4*roundTrip)
			r.Finish()
		})
	}
}

// Whatever is cut, stalled or raced, no record is sealed with a key and a
// counter that another was sealed with, and no key serves two links or two
// directions.
func TestNoiseNoncesAreFresh(t *testing.T) {
	cuts := 250 // seconds under the race detector
	if everything {
		cuts = 20_000
	}
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := newTap(t)
		kinds := []faultnet.Kind{faultnet.Reset, faultnet.ResetNow, faultnet.End, faultnet.BlackHole}
		r := New(t, s, WithLimit(16<<10), WithPath(faultnet.Options{Buffer: 2 << 10, Delay: time.Millisecond}),
			WithBoth(func(c *relink.Config) { c.LivenessTimeout = time.Second }),
			WithClient(func(d *relink.Dialer) {
				d.AttemptTimeout, d.MinBackoff, d.MaxBackoff = time.Second, time.Millisecond, 10*time.Millisecond
			}))
		r.Net.OnDial(func(i int, p *faultnet.Path) error {
			if i < cuts {
				p.CutAt(faultnet.Dir(i%2), rand.Int64N(20_000), kinds[rand.IntN(len(kinds))])
			}
			return nil
		})
		r.Net.Last().Cut(faultnet.Reset)
		for len(r.Net.Paths()) < cuts {
			if rand.IntN(4) == 0 {
				r.Client.NetworkChanged()
			}
			r.Exchange(5000 + rand.IntN(20_000))
		}
		r.Exchange(1000)
		r.Finish()
		w.mu.Lock()
		defer w.mu.Unlock()
		require.Empty(t, w.twice)
		require.Len(t, w.seen, len(w.links))
		require.Greater(t, w.records, cuts)
		t.Logf("%d transports, %d resumes, %d keys, %d records", len(r.Net.Paths()), r.Client.Stats().Resumes, len(w.seen), w.records)
	})
}

// Abort in the middle of an attempt takes the buffer away that the attempt is
// about to look into.
func TestNoiseAbortDuringAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := newTap(t)
		r := New(t, s)
		r.Net.Last().Stall(faultnet.Down) // nothing is acknowledged
		RequireWrite(t, r.Client, Data(1000))
		w.resuming = func() { _ = r.Client.Abort() }
		r.Net.Last().Cut(faultnet.ResetNow)
		r.Client.NetworkChanged()
		<-r.Client.Done()
		synctest.Wait()
		r.Stop()
	})
}

// On a network on which a long record takes longer than LivenessTimeout, and one
// of those that a handshake carries longer than HandshakeTimeout, data gets
// through all the same, in not much more time than the network needs: records
// are short there.
func TestRecordsOverSlowNetwork(t *testing.T) {
	const size = 60_000
	const delay = 80 * time.Millisecond
	for _, bytes := range []int{200, 100, 50} { // in each delay
		for _, directions := range []string{"up", "down", "up and down"} {
			t.Run(fmt.Sprintf("%d bytes %s", bytes, directions), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := New(t, Noise, WithPath(faultnet.Options{Buffer: bytes, Delay: delay}))
					r.Exchange(1) // so that the first link has carried something
					start := time.Now()
					var arrived []<-chan time.Time
					send := func(from, to *relink.Conn) {
						go func() { _, _ = from.Write(Data(size)) }()
						arrived = append(arrived, arrival(t, to, size))
					}
					if directions != "down" {
						send(r.Client.Conn, r.Server.Conn)
					}
					if directions != "up" {
						send(r.Server.Conn, r.Client.Conn)
					}
					best := time.Duration(size/bytes) * delay
					for _, a := range arrived {
						select {
						case at := <-a:
							require.Less(t, at.Sub(start), best*3/2+2*time.Minute)
						case <-time.After(time.Hour):
							t.Fatalf("client %v, server %v", r.Client.Conn, r.Server.Conn)
						}
					}
					require.Less(t, r.Client.Stats().Resumes, int64(12)) // some of them beside a link that was only slow
					r.Stop()
					time.Sleep(time.Second)
				})
			})
		}
	}
}

// Where the network is fast after all, records soon are long again.
func TestRecordsGrowAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(t, Noise, WithPath(faultnet.Options{Buffer: 1 << 20, Delay: time.Millisecond}))
		r.Net.Last().Cut(faultnet.BlackHole)
		RequireWrite(t, r.Client, Data(1000))
		RequireRead(t, r.Server, Data(1000))
		time.Sleep(time.Second)
		require.EqualValues(t, 1, r.Client.Stats().Resumes)
		for range 20 {
			r.Exchange(500_000)
			time.Sleep(50 * time.Millisecond)
		}
		p := r.Net.Last()
		before := p.Sent(faultnet.Up)
		const size = 1 << 20
		go func() { _, _ = r.Client.Write(Data(size)) }()
		RequireRead(t, r.Server, Data(size))
		require.Less(t, p.Sent(faultnet.Up)-before, int64(size+40*36)) // a record costs 19 bytes, or 36
		r.Finish()
	})
}

// What the suite Noise can tell that the classic ones cannot. What all suites
// with records have in common is in the files that record_test.go names.

// A client that was away when the server's session ended learns how it did.
func TestTombstones(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(s *relink.Conn) error
		read error
	}{
		"aborted": {(*relink.Conn).Abort, relink.ErrSessionLost},
		"not delivered in time": {func(s *relink.Conn) error {
			if _, err := s.Write([]byte("never read")); err != nil {
				return err
			}
			return s.Close()
		}, relink.ErrSessionLost},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := New(t, Noise)
				r.Suspend(faultnet.Refuse, faultnet.Reset)
				require.NoError(t, c.end(r.Server.Conn))
				time.Sleep(2 * DefaultCloseTimeout)
				require.Equal(t, relink.StateClosed, r.Server.State())
				r.Net.SetDown(faultnet.NotDown)
				_, err := r.Client.Read(make([]byte, 1))
				require.ErrorIs(t, err, c.read)
				require.NotErrorIs(t, err, relink.ErrExpired)
				require.ErrorContains(t, err, "reset")
				r.Stop()
			})
		})
	}
}

// A client whose last acknowledgement of the end was all that the server waited
// for, and that was cut off then, reads the end although the session is gone.
func TestTombstoneOfAClosedSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(t, Noise)
		require.NoError(t, r.Client.CloseWrite())
		RequireEOF(t, r.Server)
		RequireWrite(t, r.Server, []byte("last"))
		require.NoError(t, r.Server.Close())
		<-r.Server.Done()
		r.Net.Last().Cut(faultnet.Reset)
		RequireRead(t, r.Client, []byte("last"))
		RequireEOF(t, r.Client)
		_, err := r.Client.Write([]byte("x"))
		require.Error(t, err)
		r.Stop()
	})
}
