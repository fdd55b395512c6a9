package noise_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/noise"
	"github.com/relink-go/relink/internal/suite"
	"github.com/relink-go/relink/internal/suite/suitetest"
)

// linked says that two ends of a link have the same keys.
func linked(t *testing.T, client, server suite.Link) {
	t.Helper()
	co, ci := noise.TrafficKeys(client.Codec)
	so, si := noise.TrafficKeys(server.Codec)
	require.Equal(t, co, si)
	require.Equal(t, ci, so)
	require.NotEqual(t, co, ci)
}

func TestSessionOverManyLinks(t *testing.T) {
	each(t, func(t *testing.T, p *pair) {
		c, s, l := p.open()
		require.Equal(t, c.session.ID(), s.session.ID())
		require.Len(t, c.session.ID(), 32)
		linked(t, l, s.links[0])
		require.EqualValues(t, 1<<16, l.Limit) // of a window that is larger
		require.EqualValues(t, 1<<16, s.links[0].Limit)
		id := c.session.ID()
		var up, down string
		for i := range 20 {
			a, b := fmt.Sprintf("up %d ", i), fmt.Sprintf("down %d ", i)
			c.write(a)
			s.write(b)
			up, down = up+a, down+b
			l, _, clientErr, serverErr := p.resume(c, nil, nil)
			require.NoError(t, clientErr)
			require.NoError(t, serverErr)
			last := s.links[len(s.links)-1]
			linked(t, l, last)
			require.Equal(t, up, string(s.got)) // early data, half a round trip after the transport
			require.Equal(t, down, string(c.got))
			require.EqualValues(t, len(up), l.Peer.Received)
			require.EqualValues(t, len(down), last.Peer.Received) // the link goes on behind it
			require.Equal(t, id, c.session.ID())
			require.Equal(t, 1, noise.Kept(s.session))
			require.Len(t, p.host.sessions, 1)
		}
	})
}

// The core copies by itself where the traits say that a session does nothing else.
func TestSessionsCopy(t *testing.T) {
	each(t, func(t *testing.T, p *pair) {
		require.True(t, p.client.Traits().Copies)
		c, s, _ := p.open()
		for _, session := range []suite.Session{c.session, s.session} {
			data := []byte("Hello, gopher!")
			for _, f := range []func(dst, src []byte){session.Encrypt, session.Decrypt} {
				dst := make([]byte, len(data))
				f(dst, data)
				require.Equal(t, "Hello, gopher!", string(dst))
				f(dst, dst)
				require.Equal(t, "Hello, gopher!", string(dst))
			}
		}
	})
}

func TestEarlyDataIsBounded(t *testing.T) {
	p := newPair(t, false)
	c, s, _ := p.open()
	c.write(string(make([]byte, 100_000)))
	s.write(string(make([]byte, 100_000)))
	_, w, clientErr, serverErr := p.resume(c, nil, nil)
	require.NoError(t, clientErr)
	require.NoError(t, serverErr)
	const given = 11264
	require.Len(t, s.got, given)
	require.Len(t, c.got, given)
	require.Len(t, w.client[0], 99+given)
	require.Len(t, w.server[0], 66+given)
}

// Each flipped bit and each lost byte of a handshake fails it on the side that
// reads it, changes nothing, and the next attempt works.
func TestDamagedHandshakes(t *testing.T) {
	each(t, func(t *testing.T, p *pair) {
		c, s, _ := p.open()
		for _, fromClient := range []bool{true, false} {
			for i := 0; ; i++ {
				c.write("x")
				s.write("y")
				done := false
				links := len(s.links)
				mangle := func(cut bool, bit int) func(int, []byte) ([]byte, bool) {
					return func(message int, b []byte) ([]byte, bool) {
						if message > 0 {
							return b, true
						}
						if i >= len(b) {
							done = true
							return b, true
						}
						if cut {
							return b[:i], false
						}
						b[i] ^= 1 << bit
						return b, false // nobody waits for what a wrong length announces
					}
				}
				for _, m := range []func(int, []byte) ([]byte, bool){mangle(true, 0), mangle(false, i%8)} {
					mc, ms := m, (func(int, []byte) ([]byte, bool))(nil)
					if !fromClient {
						mc, ms = nil, m
					}
					_, _, clientErr, serverErr := p.resume(c, mc, ms)
					if done {
						break
					}
					require.Error(t, clientErr, "byte %d", i)
					require.Error(t, serverErr, "byte %d", i)
					require.NotErrorIs(t, clientErr, suite.ErrRefused)
					require.NotErrorIs(t, clientErr, suite.ErrCounters)
					require.NotErrorIs(t, clientErr, suite.ErrReplayGap)
					require.Len(t, s.links, links)
					require.LessOrEqual(t, noise.Kept(s.session), 3)
				}
				if done {
					break
				}
				if i%16 == 0 {
					_, _, clientErr, serverErr := p.resume(c, nil, nil)
					require.NoError(t, clientErr)
					require.NoError(t, serverErr)
					require.Len(t, s.links, links+1)
				}
			}
		}
		require.Equal(t, c.stream[:len(s.got)], s.got)
		require.Equal(t, s.stream[:len(c.got)], c.got)
	})
}

// stride leaves most of the bytes out that are ML-KEM's.
func stride(i int) int {
	if i < 100 {
		return 1
	}
	return 17
}

func TestDamagedNewSessions(t *testing.T) {
	each(t, func(t *testing.T, p *pair) {
		for _, fromClient := range []bool{true, false} {
			for i, done := 0, false; !done; i += stride(i) {
				m := func(message int, b []byte) ([]byte, bool) {
					if message > 0 || i >= len(b) {
						done = done || message == 0
						return b, true
					}
					b[i] ^= 1 << (i % 8)
					return b, false
				}
				mc, ms := m, (func(int, []byte) ([]byte, bool))(nil)
				if !fromClient {
					mc, ms = nil, m
				}
				p.host.offered = nil
				_, _, _, clientErr, serverErr := p.tryOpen(mc, ms)
				if done {
					break
				}
				require.Error(t, clientErr, "byte %d", i)
				require.Error(t, serverErr, "byte %d", i)
				require.True(t, p.host.offered == nil || p.host.offered.epoch == 0)
			}
		}
	})
}

// Whatever stands in clear is bound by the prologue: a path that changes the
// version, the type or the cipher of a request, and whatever else it likes in
// both directions to hide that, fails the handshake.
func TestDowngrade(t *testing.T) {
	p := newPair(t, false)
	for _, c := range []struct {
		name string
		at   int
		to   byte
	}{
		{"version", 1, 0},
		{"highest version", 2, 2},
		{"type", 5, noise.Kinds["ClassicalNK"]},
		{"cipher", 6, noise.ChaChaPoly},
		{"hint", 7, 0},
		{"node", 11, 1},
	} {
		p.client = noise.Fixed(p.client, noise.AESGCM, nil)
		_, _, _, clientErr, serverErr := p.tryOpen(func(_ int, b []byte) ([]byte, bool) {
			if b[c.at] == c.to {
				b[c.at]++
			} else {
				b[c.at] = c.to
			}
			return b, false
		}, nil)
		require.Error(t, clientErr, c.name)
		require.Error(t, serverErr, c.name)
	}
	require.True(t, p.host.offered == nil)

	// A client that wants a key never settles for a server without one.
	p.server = protocol(t, noise.Options{Insecure: true}, true)
	_, _, _, clientErr, _ := p.tryOpen(nil, nil)
	require.ErrorIs(t, clientErr, suite.ErrProtocol)
}

func TestWrongServer(t *testing.T) {
	p := newPair(t, false)
	p.server = protocol(t, noise.Options{ServerKeys: []noise.PrivateKey{noise.GenerateKey()}}, true)
	_, _, w, clientErr, serverErr := p.tryOpen(nil, nil)
	require.ErrorIs(t, clientErr, suite.ErrAuthentication)
	require.ErrorIs(t, serverErr, suite.ErrAuthentication)
	require.Equal(t, []byte{0x52, 1, noise.Hints["UnknownKey"], 0, 0}, w.server[0])
}

// A client and a server with several keys meet on one transport.
func TestKeyRotation(t *testing.T) {
	p := newPair(t, false)
	var pins []noise.PublicKey
	for range 3 {
		public, err := noise.GenerateKey().PublicKey()
		require.NoError(t, err)
		pins = append(pins, public)
	}
	p.client = protocol(t, noise.Options{PinnedKeys: append(pins, p.public)}, false)
	p.server = protocol(t, noise.Options{ServerKeys: []noise.PrivateKey{noise.GenerateKey(), p.key}}, true)
	c, _, _ := p.open()
	_, w, clientErr, serverErr := p.resume(c, nil, nil)
	require.NoError(t, clientErr)
	require.NoError(t, serverErr)
	require.Len(t, w.client, 2) // the session stays with its key

	p.host = newHost()
	p.server = protocol(t, noise.Options{ServerKeys: []noise.PrivateKey{noise.GenerateKey()}}, true)
	_, _, w, clientErr, serverErr = p.tryOpen(nil, nil)
	require.ErrorIs(t, clientErr, suite.ErrAuthentication)
	require.ErrorIs(t, serverErr, suite.ErrAuthentication)
	require.Len(t, w.client, 4)
}

func TestBusy(t *testing.T) {
	p := newPair(t, false)
	p.host.busy = errors.New("full")
	_, _, _, clientErr, serverErr := p.tryOpen(nil, nil)
	require.ErrorIs(t, clientErr, suite.ErrBusy)
	require.ErrorIs(t, serverErr, p.host.busy)
}

// A listener without room opens nothing and agrees on nothing: the request may
// be any bytes. It is read, so that the hint arrives.
func TestNoRoom(t *testing.T) {
	each(t, func(t *testing.T, p *pair) {
		p.host.full = errors.New("full")
		_, _, w, clientErr, serverErr := p.tryOpen(nil, nil)
		require.ErrorIs(t, clientErr, suite.ErrBusy)
		require.ErrorIs(t, serverErr, p.host.full)
		request := bytes.Join(w.client, nil)
		clear(request[len(request)-32:])
		answers, err := p.send(request)
		require.ErrorIs(t, err, p.host.full)
		require.Equal(t, bytes.Join(w.server, nil), answers)
		_, err = p.send(request[:len(request)-1])
		require.ErrorIs(t, err, p.host.full)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	})
}

// A recorded request of a new session gets an answer, and no more.
func TestReplayedNewSession(t *testing.T) {
	each(t, func(t *testing.T, p *pair) {
		_, _, w, clientErr, _ := p.tryOpen(nil, nil)
		require.NoError(t, clientErr)
		_, err := p.send(bytes.Join(w.client, nil)) // the record is of other keys
		require.ErrorIs(t, err, suite.ErrAuthentication)
		require.Zero(t, p.host.offered.epoch)
	})
}

// A recorded resume is stale while its secret is kept, and unknown after.
func TestReplayedResume(t *testing.T) {
	each(t, func(t *testing.T, p *pair) {
		c, s, _ := p.open()
		c.write("early")
		lost := func(int, []byte) ([]byte, bool) { return nil, false }
		_, w, clientErr, serverErr := p.resume(c, nil, lost)
		require.Error(t, clientErr)
		require.Error(t, serverErr)
		require.Equal(t, "early", string(s.got))
		answer, err := p.send(w.client[0])
		require.ErrorIs(t, err, suite.ErrSuperseded)
		require.Equal(t, []byte{0x52, 1, noise.Hints["Stale"], 0, 0}, answer)
		_, _, clientErr, serverErr = p.resume(c, nil, nil)
		require.NoError(t, clientErr)
		require.NoError(t, serverErr)
		answer, err = p.send(w.client[0])
		require.ErrorIs(t, err, suite.ErrUnknownSession)
		require.Equal(t, []byte{0x52, 1, noise.Hints["UnknownSession"], 0, 0}, answer)
		require.Len(t, s.links, 2)
		require.Equal(t, "early", string(s.got))
	})
}

// resetStream is a stream whose peer resets it where it would end it.
type resetStream struct{ *suitetest.End }

func (s resetStream) Next(n int) ([]byte, error) {
	b, err := s.End.Next(n)
	if err != nil {
		err = syscall.ECONNRESET
	}
	return b, err
}

// Why a client was refused is told although it gives up with a reset, and not with
// the end of its stream.
func TestRefusedClientResets(t *testing.T) {
	p, other := newPair(t, false), newPair(t, false)
	c, s := suitetest.NewWire()
	served := make(chan error, 1)
	go func() { served <- p.server.Serve(resetStream{s}, p.host) }()
	_, _, err := other.client.Open(c) // it knows another key
	require.ErrorIs(t, err, suite.ErrAuthentication)
	c.Close()
	err = <-served
	require.ErrorIs(t, err, suite.ErrAuthentication)
	require.NotErrorIs(t, err, syscall.ECONNRESET)
}

// A request that is withheld and delivered late takes early data at most. The
// session goes on.
func TestWithheldResume(t *testing.T) {
	p := newPair(t, false)
	c, s, _ := p.open()
	c.write("early")
	s.write("late")
	var withheld []byte
	_, _, clientErr, _ := p.resume(c, func(_ int, b []byte) ([]byte, bool) {
		withheld = b
		return nil, false
	}, nil)
	require.Error(t, clientErr)
	_, err := p.send(withheld)
	require.ErrorIs(t, err, io.EOF)
	require.Len(t, s.links, 1)
	require.Equal(t, "early", string(s.got))
	require.Equal(t, 2, noise.Kept(s.session))
	_, _, clientErr, serverErr := p.resume(c, nil, nil)
	require.NoError(t, clientErr)
	require.NoError(t, serverErr)
	require.Equal(t, "late", string(c.got))
}

// A client whose first record is lost goes on with the new secret, and the
// server does not mind how often.
func TestLostConfirmations(t *testing.T) {
	each(t, func(t *testing.T, p *pair) {
		c := new(client)
		for i := range 10 {
			_, clientErr, serverErr := p.run(func(_ int, b []byte) ([]byte, bool) { return b, false }, nil,
				func(s suite.Stream) (err error) {
					if i == 0 {
						c.session, _, err = p.client.Open(s)
					} else {
						_, err = c.session.Resume(s, c)
					}
					return err
				})
			require.NoError(t, clientErr)
			require.ErrorIs(t, serverErr, io.EOF)
			require.Zero(t, p.host.offered.epoch)
			require.LessOrEqual(t, noise.Kept(p.host.offered.session), 2)
		}
		_, _, clientErr, serverErr := p.resume(c, nil, nil)
		require.NoError(t, clientErr)
		require.NoError(t, serverErr)
		require.EqualValues(t, 1, p.host.offered.epoch)
	})
}

// A record that confirms a link late, when the client has moved on, changes
// nothing.
func TestLateConfirmation(t *testing.T) {
	p := newPair(t, false)
	c, s, _ := p.open()
	a, b := suitetest.NewWire()
	served := make(chan error)
	go func() { served <- p.server.Serve(b, p.host) }()
	l, err := c.session.Resume(a, c)
	require.NoError(t, err)
	_, _, clientErr, serverErr := p.resume(c, nil, nil)
	require.NoError(t, clientErr)
	require.NoError(t, serverErr)
	require.Len(t, s.links, 2)
	require.NoError(t, c.confirm(a, l))
	require.ErrorIs(t, <-served, suite.ErrSuperseded)
	require.Len(t, s.links, 2)
	_, _, clientErr, serverErr = p.resume(c, nil, nil)
	require.NoError(t, clientErr)
	require.NoError(t, serverErr)
}

// Answers that are lost pile up to the bound and no further.
func TestLostAnswers(t *testing.T) {
	p := newPair(t, false)
	c, s, _ := p.open()
	lost := func(int, []byte) ([]byte, bool) { return nil, false }
	for range 10 {
		_, _, clientErr, serverErr := p.resume(c, nil, lost)
		require.Error(t, clientErr)
		require.Error(t, serverErr)
		require.LessOrEqual(t, noise.Kept(s.session), 3)
		require.LessOrEqual(t, len(p.host.sessions), 3)
	}
	require.EqualValues(t, 10, noise.SecretsOf(c.session).Attempt)
	_, _, clientErr, serverErr := p.resume(c, nil, nil)
	require.NoError(t, clientErr)
	require.NoError(t, serverErr)
	require.Len(t, p.host.sessions, 1)
}

// Who has the secret, and not the server's key, can neither open a recorded
// request nor be the server; in NN it can.
func TestStolenSecret(t *testing.T) {
	each(t, func(t *testing.T, p *pair) {
		c, _, _ := p.open()
		stolen := noise.SecretsOf(c.session).Resumption
		c.write("what was written while the link was down")
		_, w, clientErr, _ := p.resume(c, nil, nil)
		require.NoError(t, clientErr)
		request := w.client[0]
		k, cipher := request[5], request[6]
		key := noise.GenerateKey() // of the thief
		_, err := openRequest(t, k, cipher, request, key, p.public, stolen)
		if k == noise.Kinds["ResumeNN"] {
			require.NoError(t, err) // hence the name
			return
		}
		require.Error(t, err)
		payload, err := openRequest(t, k, cipher, request, p.key, p.public, stolen)
		require.NoError(t, err) // with both it opens
		require.Contains(t, string(payload), "what was written")
		_, err = openRequest(t, k, cipher, request, p.key, p.public, [32]byte{1})
		require.Error(t, err)
	})
}

func openRequest(t *testing.T, k, cipher byte, request []byte, key noise.PrivateKey, public noise.PublicKey, psk [32]byte) ([]byte, error) {
	x, err := noise.NewExchange(k, cipher, request[:35], false, key, public, &psk, nil)
	require.NoError(t, err)
	payload, _, _, err := x.Read(request[35:])
	return payload, err
}

// The clear bytes of two resumes have the routing and key hints in common, and
// nothing else that is the session's.
func TestUnlinkable(t *testing.T) {
	each(t, func(t *testing.T, p *pair) {
		c, _, _ := p.open()
		var requests [][]byte
		var random [][][]byte // what is to look like chance, of each resume
		for range 3 {
			_, w, clientErr, _ := p.resume(c, nil, nil)
			require.NoError(t, clientErr)
			request := w.client[0]
			pieces := [][]byte{request[15:31], request[35:]}
			for _, record := range w.client[1:] {
				pieces = append(pieces, record[3:]) // behind kind and length
			}
			require.Len(t, w.server, 1)
			pieces = append(pieces, w.server[0][5:]) // behind status and length
			requests, random = append(requests, request), append(random, pieces)
			for _, message := range append(w.client, w.server...) {
				require.NotContains(t, string(message), c.session.ID())
			}
		}
		require.Equal(t, requests[1][:15], requests[2][:15])     // magic to routing hint
		require.Equal(t, requests[1][31:35], requests[2][31:35]) // the attempt: 1
		const n = 6                                              // bytes that two have in common by chance once in 10^10 runs
		for _, a := range random[1] {
			for i := range len(a) - n + 1 {
				for _, b := range random[2] {
					require.Negative(t, bytes.Index(b, a[i:i+n]), "% x are in both", a[i:i+n])
				}
			}
		}
	})
}

// A refusal in clear ends nothing, and one that the server's key vouches for
// does.
func TestRefusals(t *testing.T) {
	each(t, func(t *testing.T, p *pair) {
		c, _, _ := p.open()
		for name, h := range noise.Hints {
			forge := func(int, []byte) ([]byte, bool) { return []byte{0x52, 1, h, 0, 0}, true }
			first := func(message int, b []byte) ([]byte, bool) {
				if message == 0 {
					return forge(0, nil)
				}
				return b, true
			}
			_, _, clientErr, _ := p.resume(c, func(message int, b []byte) ([]byte, bool) { return b, message < 1 }, first)
			require.Error(t, clientErr, name)
			require.NotErrorIs(t, clientErr, suite.ErrRefused, name)
			require.NotErrorIs(t, clientErr, suite.ErrCounters, name)
			var ended *suite.EndedError
			require.NotErrorAs(t, clientErr, &ended, name)
		}
		_, _, clientErr, serverErr := p.resume(c, nil, nil)
		require.NoError(t, clientErr)
		require.NoError(t, serverErr)

		p.host = newHost() // the server was restarted
		_, w, clientErr, serverErr := p.resume(c, nil, nil)
		require.ErrorIs(t, clientErr, suite.ErrRefused)
		require.ErrorIs(t, serverErr, suite.ErrUnknownSession)
		require.Len(t, w.client, 2) // a resume and a query
	})
}

// What the server does not know it passes on without an answer, a resume and a query.
func TestPassedOn(t *testing.T) {
	each(t, func(t *testing.T, p *pair) {
		c, _, _ := p.open()
		p.host = newHost()
		p.host.passOn = suite.ErrPassedOn
		_, w, clientErr, serverErr := p.resume(c, nil, nil)
		require.NotErrorIs(t, clientErr, suite.ErrRefused)
		require.Equal(t, suite.ErrPassedOn, serverErr)
		require.Empty(t, w.server)
		w, _, serverErr = p.run(nil, nil, func(s suite.Stream) error { return noise.Query(c.session, s) })
		require.Equal(t, suite.ErrPassedOn, serverErr)
		require.Empty(t, w.server)
	})
}

// A query about a session that is there ends nothing either.
func TestQuery(t *testing.T) {
	p := newPair(t, false)
	c, _, _ := p.open()
	_, clientErr, serverErr := p.run(nil, nil, func(s suite.Stream) error { return noise.Query(c.session, s) })
	require.Error(t, clientErr)
	require.NotErrorIs(t, clientErr, suite.ErrRefused)
	require.Error(t, serverErr)
}

// Only the node that owns a session may say that it is unknown.
func TestNodes(t *testing.T) {
	p := newPair(t, false)
	p.server = protocol(t, noise.Options{ServerKeys: []noise.PrivateKey{p.key}, Node: 7}, true)
	c, _, _ := p.open()
	_, w, clientErr, _ := p.resume(c, nil, nil)
	require.NoError(t, clientErr)
	require.Equal(t, []byte{0, 0, 0, 7}, w.client[0][11:15])
	p.host = newHost()
	p.server = protocol(t, noise.Options{ServerKeys: []noise.PrivateKey{p.key}, Node: 8}, true)
	_, w, clientErr, _ = p.resume(c, nil, nil)
	require.Error(t, clientErr)
	require.NotErrorIs(t, clientErr, suite.ErrRefused)
	require.Equal(t, noise.Hints["Elsewhere"], w.server[0][2])
	_, clientErr, serverErr := p.run(nil, nil, func(s suite.Stream) error { return noise.Query(c.session, s) })
	require.NotErrorIs(t, clientErr, suite.ErrRefused)
	require.ErrorIs(t, serverErr, suite.ErrUnknownSession)
}

func TestTombstones(t *testing.T) {
	each(t, func(t *testing.T, p *pair) {
		for _, want := range []suite.EndedError{{Received: 5}, {Code: suite.ResetAborted}, {Code: suite.ResetLinger}} {
			c, s, _ := p.open()
			s.ended = &want
			for range 2 { // the answer may be lost
				_, _, clientErr, serverErr := p.resume(c, nil, nil)
				var got *suite.EndedError
				require.ErrorAs(t, clientErr, &got)
				require.Equal(t, want, *got)
				require.ErrorIs(t, serverErr, s.ended)
			}
		}
	})
}

// Counts that cannot be true end the side that was told them.
func TestImpossibleCounts(t *testing.T) {
	p := newPair(t, false)
	c, s, _ := p.open()
	c.Received = 1 // of nothing
	_, _, clientErr, serverErr := p.resume(c, nil, nil)
	require.ErrorIs(t, clientErr, suite.ErrCounters)
	require.ErrorIs(t, serverErr, suite.ErrCounters)
	c.Received = 0
	s.Received = 1
	_, _, clientErr, _ = p.resume(c, nil, nil)
	require.ErrorIs(t, clientErr, suite.ErrCounters)
	require.Len(t, s.links, 1)
	c.side.Received = -1 // 2^64-1 on the wire
	_, _, clientErr, _ = p.resume(c, nil, nil)
	require.ErrorIs(t, clientErr, suite.ErrCounters)
}
