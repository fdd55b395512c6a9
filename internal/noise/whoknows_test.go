package noise_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/noise"
	"github.com/relink-go/relink/internal/suite"
)

// peerOf is what a side knows of how its session was opened.
func peerOf(s suite.Session) suite.Peer { return s.Peer() }

// Both sides of a session know the same, and the application was asked once at
// the beginning and once at each resume.
func TestWhoIsThere(t *testing.T) {
	for _, name := range variants {
		t.Run(name, func(t *testing.T) {
			p := newVariant(t, name)
			server, client := p.options(name)
			client.Target = "a game, α"
			p.server, p.client = protocol(t, server, true), protocol(t, client, false)
			c, s, _ := p.open()
			got := peerOf(s.session)
			require.Equal(t, peerOf(c.session), got)
			require.Equal(t, "a game, α", got.Target)
			require.Equal(t, !strings.HasPrefix(name, "Classical"), got.Hybrid)
			require.Equal(t, 1, got.Version)
			want := suite.Peer{Suite: p.client.String(), Target: got.Target, Hybrid: got.Hybrid, Version: 1, ChannelBinding: got.ChannelBinding}
			require.NotZero(t, got.ChannelBinding)
			if !strings.Contains(name, "NN") {
				want.ServerKey = p.public
			}
			if strings.Contains(name, "IK") {
				public, err := p.clientKey.PublicKey()
				require.NoError(t, err)
				want.ClientKey = public
			}
			if strings.HasSuffix(name, "PSK") {
				want.PresharedKey = p.psk
			}
			require.Equal(t, want, got)

			asked := want
			asked.ChannelBinding = [32]byte{} // there was none yet
			require.Equal(t, []suite.Peer{asked}, p.host.asked)
			for range 2 {
				_, _, clientErr, serverErr := p.resume(c, nil, nil)
				require.NoError(t, clientErr)
				require.NoError(t, serverErr)
				require.Equal(t, want, peerOf(c.session))
			}
			require.Equal(t, []suite.Peer{asked, want, want}, p.host.asked)

			other, _, _ := p.open()
			require.NotEqual(t, peerOf(other.session).ChannelBinding, got.ChannelBinding)
		})
	}
}

// A client that is not admitted learns it from the one who has the server's key,
// at the beginning and later, and nothing of the session has begun.
func TestDenied(t *testing.T) {
	each(t, func(t *testing.T, p *pair) {
		reason := fmt.Errorf("%w: banned", suite.ErrDenied)
		p.host.denied = reason
		_, _, w, clientErr, serverErr := p.tryOpen(nil, nil)
		require.ErrorIs(t, clientErr, suite.ErrDenied)
		require.ErrorIs(t, serverErr, reason)
		require.Nil(t, p.host.offered)
		p.host.denied = nil
		_, _, consent, clientErr, _ := p.tryOpen(nil, nil)
		require.NoError(t, clientErr)
		require.Len(t, w.server[0], len(consent.server[0]))
		c, s, _ := p.open()

		c.write("early")
		p.host.denied = reason
		_, _, clientErr, serverErr = p.resume(c, nil, nil)
		require.ErrorIs(t, clientErr, suite.ErrDenied)
		require.ErrorIs(t, serverErr, reason)
		var ended *suite.EndedError
		require.ErrorAs(t, clientErr, &ended)
		require.Equal(t, suite.ResetDenied, ended.Code)
		require.Empty(t, s.got)
		require.Len(t, s.links, 1)
	})
}

// An application that cannot be asked denies nobody: a new client is told to come
// again, and a session tries again.
func TestNobodyCanBeAsked(t *testing.T) {
	p := newPair(t, false)
	c, s, _ := p.open()
	p.host.denied = errors.New("too many at once")
	_, _, _, clientErr, serverErr := p.tryOpen(nil, nil)
	require.ErrorIs(t, clientErr, suite.ErrBusy)
	require.ErrorIs(t, serverErr, p.host.denied)
	_, _, clientErr, serverErr = p.resume(c, nil, nil)
	require.Error(t, clientErr)
	require.ErrorIs(t, serverErr, p.host.denied)
	var ended *suite.EndedError
	require.False(t, errors.As(clientErr, &ended) || errors.Is(clientErr, suite.ErrRefused))
	p.host.denied = nil
	_, _, clientErr, _ = p.resume(c, nil, nil)
	require.NoError(t, clientErr)
	require.Len(t, s.links, 2)
}

// The attempt that is asked about is a fresh one: a replay asks nothing.
func TestReplayedResumeAsksNothing(t *testing.T) {
	p := newPair(t, false)
	c, _, _ := p.open()
	_, w, clientErr, _ := p.resume(c, nil, nil)
	require.NoError(t, clientErr)
	asked := len(p.host.asked)
	_, err := p.send(w.client[0])
	require.Error(t, err)
	require.Len(t, p.host.asked, asked)
}

// Who lacks what a server asks for gets nowhere, and is told so; what the two
// sides have in common makes no difference.
func TestKindsDoNotMix(t *testing.T) {
	p := newVariant(t, "NK")
	for _, there := range variants {
		for _, here := range variants {
			server, _ := p.options(there)
			_, client := p.options(here)
			p.server, p.client = protocol(t, server, true), protocol(t, client, false)
			_, _, w, clientErr, serverErr := p.tryOpen(nil, nil)
			// A server that takes classical clients takes the others too, and one
			// that requires no client key takes it.
			if here == there || there == "Classical"+here ||
				there == strings.Replace(here, "IK", "NK", 1) || there == "Classical"+strings.Replace(here, "IK", "NK", 1) {
				require.NoError(t, clientErr, "%s to %s", here, there)
				require.NoError(t, serverErr, "%s to %s", here, there)
				continue
			}
			require.ErrorIs(t, clientErr, suite.ErrProtocol, "%s to %s", here, there)
			require.ErrorIs(t, serverErr, suite.ErrProtocol, "%s to %s", here, there)
			require.Equal(t, []byte{0x52, 1, noise.Hints["BadRequest"], 0, 0}, w.server[0])
			require.Len(t, w.client, 1, "a client does not try another way")
		}
	}
}

func TestWrongPresharedKey(t *testing.T) {
	for _, name := range []string{"NKPSK", "NNPSK", "IKPSK"} {
		p := newVariant(t, name)
		_, client := p.options(name)
		client.PresharedKeys = []noise.PresharedKey{noise.GeneratePresharedKey()}
		p.client = protocol(t, client, false)
		_, _, w, clientErr, serverErr := p.tryOpen(nil, nil)
		require.ErrorIs(t, clientErr, suite.ErrAuthentication)
		require.ErrorIs(t, serverErr, suite.ErrAuthentication)
		require.Equal(t, []byte{0x52, 1, noise.Hints["UnknownKey"], 0, 0}, w.server[0])
		require.Empty(t, p.host.asked)
	}
}

// The hint of a PSK says nothing to an observer, who sees another one each time,
// also with the same ephemeral key under another PSK; and a server finds any
// of its sixteen.
func TestPresharedKeyHints(t *testing.T) {
	p := newVariant(t, "NKPSK")
	server, client := p.options("NKPSK")
	server.PresharedKeys = nil
	for range 16 {
		server.PresharedKeys = append(server.PresharedKeys, noise.GeneratePresharedKey())
	}
	p.server = protocol(t, server, true)
	seen := make(map[string]bool)
	for i := range 32 {
		client.PresharedKeys = server.PresharedKeys[i/2 : i/2+1]
		p.client = protocol(t, client, false)
		_, _, w, clientErr, _ := p.tryOpen(nil, nil)
		require.NoError(t, clientErr)
		require.EqualValues(t, client.PresharedKeys[0], p.host.asked[i].PresharedKey)
		seen[string(w.client[0][7:11])] = true
	}
	require.GreaterOrEqual(t, len(seen), 31) // two of 32 bits may be the same by chance
	server.PresharedKeys = append(server.PresharedKeys, noise.GeneratePresharedKey())
	_, err := noise.New(server)
	require.ErrorContains(t, err, "16")
}

// With a PSK nothing of message 1 opens for who has the server's key alone.
func TestPresharedKeyIsNeededForMessage1(t *testing.T) {
	for _, name := range []string{"ClassicalIKPSK", "IKPSK"} {
		p := newVariant(t, name)
		_, _, w, clientErr, _ := p.tryOpen(nil, nil)
		require.NoError(t, clientErr)
		request := w.client[0]
		for psk, opens := range map[noise.PresharedKey]bool{p.psk: true, noise.GeneratePresharedKey(): false} {
			x, err := noise.NewExchange(request[5], request[6], request[:15], false, p.key, p.public, (*[32]byte)(&psk), nil)
			require.NoError(t, err)
			_, _, _, err = x.Read(request[15:])
			require.Equal(t, opens, err == nil, err)
		}
	}
}

// A server that exchanges its keys goes on with the sessions that it has. New ones
// want the new keys, and so does a query.
func TestSetKeys(t *testing.T) {
	each(t, func(t *testing.T, p *pair) {
		c, s, _ := p.open()
		server := p.server.(*noise.Protocol)
		var keys []noise.PrivateKey
		var psks []noise.PresharedKey
		if peerOf(s.session).ServerKey != [32]byte{} {
			keys = append(keys, noise.GenerateKey())
		}
		if peerOf(s.session).PresharedKey != [32]byte{} {
			psks = append(psks, noise.GeneratePresharedKey())
		}
		set := func(keys []noise.PrivateKey, psks []noise.PresharedKey) {
			if keys != nil {
				require.NoError(t, server.SetServerKeys(keys))
			}
			if psks != nil {
				require.NoError(t, server.SetPresharedKeys(psks))
			}
		}
		if keys == nil {
			require.ErrorContains(t, server.SetServerKeys([]noise.PrivateKey{noise.GenerateKey()}), "insecure")
		} else {
			require.ErrorContains(t, server.SetServerKeys(nil), "Keys is empty")
			require.Error(t, server.SetServerKeys([]noise.PrivateKey{{}}))
		}
		if psks == nil {
			require.NoError(t, server.SetPresharedKeys(nil))
		} else {
			require.ErrorContains(t, server.SetPresharedKeys(nil), "open to everybody")
			require.Error(t, server.SetPresharedKeys(make([]noise.PresharedKey, 2)))
		}
		if keys == nil && psks == nil {
			return
		}
		set(keys, psks)
		for range 2 {
			_, _, clientErr, serverErr := p.resume(c, nil, nil)
			require.NoError(t, clientErr)
			require.NoError(t, serverErr)
		}
		_, _, _, clientErr, _ := p.tryOpen(nil, nil)
		require.ErrorIs(t, clientErr, suite.ErrAuthentication)

		p.host.sessions = nil // it is forgotten, and nobody can say so any more
		_, w, clientErr, _ := p.resume(c, nil, nil)
		require.ErrorIs(t, clientErr, suite.ErrUnknownSession)
		require.NotErrorIs(t, clientErr, suite.ErrRefused)
		require.Len(t, w.client, 2)

		p.host = newHost()
		if keys != nil {
			keys[0] = p.key
		}
		if psks != nil {
			psks[0] = p.psk
		}
		set(keys, psks)
		_, _, clientErr, _ = p.resume(c, nil, nil)
		require.ErrorIs(t, clientErr, suite.ErrRefused)
		p.open()
	})
}

// Names that are not to be sent are an error of the client, and one that is sent
// all the same is refused.
func TestTargets(t *testing.T) {
	for _, name := range []string{strings.Repeat("x", 81), "a\x00b", "line\nline", "\x7f", "\u0085", "\xff"} {
		_, err := noise.New(noise.Options{Insecure: true, Target: name})
		require.ErrorContains(t, err, "80 bytes", "%q", name)
		if len(name) > 80 {
			continue
		}
		p := newPair(t, false)
		valid := bytes.Repeat([]byte{0}, 1184)
		_, err = p.send(noise.NewRaw(p.client, p.public, append([]byte{0, 0, 0, 1, 0, 0}, name...), valid))
		require.ErrorIs(t, err, suite.ErrProtocol)
		require.Empty(t, p.host.asked)
	}
	p := newVariant(t, "IK")
	server, client := p.options("IK")
	client.Target = strings.Repeat("x", 80)
	p.server, p.client = protocol(t, server, true), protocol(t, client, false)
	_, _, w, clientErr, _ := p.tryOpen(nil, nil)
	require.NoError(t, clientErr)
	require.Len(t, w.client[0], 1397)
	require.Equal(t, client.Target, p.host.asked[0].Target)
}

// An ML-KEM key that FIPS 203 refuses, or one of a client that is not the one of
// the handshake, ends the handshake before the application is asked.
func TestBadKEMKeys(t *testing.T) {
	p := newPair(t, false)
	claim := []byte{0, 0, 0, 1, 0, 0}
	key, _, _ := recordedKEM(t)
	good := key.EncapsulationKey().Bytes()
	answer, err := p.send(noise.NewRaw(p.client, p.public, claim, good))
	require.ErrorContains(t, err, "EOF") // the record that confirms it
	require.Len(t, answer, 1172)
	for i, bad := range []func(b []byte){
		func(b []byte) { copy(b, []byte{0x01, 0x0d}) },         // a coefficient of q = 3329
		func(b []byte) { copy(b, []byte{0xff, 0xff, 0xff}) },   // of 4095
		func(b []byte) { b[1184-33], b[1184-34] = 0xff, 0xff }, // the last one
	} {
		p.host = newHost()
		b := bytes.Clone(good)
		bad(b)
		answer, err := p.send(noise.NewRaw(p.client, p.public, claim, b))
		require.ErrorIs(t, err, suite.ErrAuthentication, i)
		require.ErrorContains(t, err, "ML-KEM", i)
		require.Equal(t, []byte{0x52, 1, noise.Hints["Failed"], 0, 0}, answer, i)
		require.Empty(t, p.host.asked, i)
	}
	for _, n := range []int{0, 1183, 1185, 2000} { // of another length: so is the request, or the payload
		p.host = newHost()
		request := noise.NewRaw(p.client, p.public, claim, make([]byte, n))
		_, err := p.send(request)
		require.Error(t, err, n)
		require.Empty(t, p.host.asked, n)
	}
}

// A ciphertext of another key decapsulates, as FIPS 203 wants it, and to nothing
// that anybody knows: the answer does not open. So does one of another length.
func TestBadKEMCiphertexts(t *testing.T) {
	_, ciphertext, shared := recordedKEM(t)
	for name, answer := range map[string][2][]byte{
		"of another key": {ciphertext, shared},
		"zero":           {make([]byte, 1088), make([]byte, 32)},
		"short":          {ciphertext[:1087], shared},
		"long":           {append(bytes.Clone(ciphertext), 0), shared},
	} {
		p := newPair(t, false)
		remote := &peer{t: t, cipher: noise.AESGCM, private: p.key[:], public: p.public[:], ciphertext: answer[0], shared: answer[1]}
		exchange(t, func(request []byte) []byte {
			_, b, _ := remote.answer(request, 15, nil, unhex(t, "00"+"00000007"+"00400000"+"0000"+"88888888"))
			return b
		}, func(s suite.Stream) {
			_, _, err := noise.Fixed(p.client, noise.AESGCM, nil).Open(s)
			require.Error(t, err, name)
			if len(answer[0]) == 1088 {
				require.ErrorIs(t, err, suite.ErrAuthentication, name)
			} else {
				require.ErrorIs(t, err, suite.ErrProtocol, name)
			}
		})
	}
}

// A client key whose agreement is zero proves nothing, and is refused.
func TestClientKeyOfLowOrder(t *testing.T) {
	p := newVariant(t, "ClassicalIK")
	request := noise.IKRaw(p.client, p.public, noise.PublicKey{1})
	answer, err := p.send(request)
	require.ErrorIs(t, err, suite.ErrAuthentication)
	require.ErrorContains(t, err, "low order")
	require.Equal(t, []byte{0x52, 1, noise.Hints["Failed"], 0, 0}, answer)
	require.Empty(t, p.host.asked)
}

// Who knows the server's key, and nothing of the client's, can claim that client
// (message 1 is not proof), and gets no session for it.
func TestStolenServerKeyClaimsClients(t *testing.T) {
	p := newVariant(t, "ClassicalIK")
	public, err := p.clientKey.PublicKey()
	require.NoError(t, err)
	request := noise.IKForged(p.client, p.key, public)
	answer, err := p.send(append(request, make([]byte, 40)...))
	require.Error(t, err)
	require.Len(t, p.host.asked, 1)
	require.EqualValues(t, public, p.host.asked[0].ClientKey)
	require.Len(t, answer, 68)
	require.Zero(t, p.host.offered.epoch)
}

// speaks returns what clients and servers with some versions agree on.
func speaks(t *testing.T, here, there [2]byte) (p *pair, c *client, w wire, clientErr error) {
	p = newPair(t, false)
	p.client = noise.Speaking(p.client, here[0], here[1])
	p.server = noise.Speaking(p.server, there[0], there[1])
	c, _, w, clientErr, _ = p.tryOpen(nil, nil)
	return p, c, w, clientErr
}

// A newer client and an older server, and the reverse, meet at the best version
// that both speak, on one transport.
func TestVersions(t *testing.T) {
	for _, tt := range []struct {
		client, server [2]byte // lowest and highest
		want           int     // 0 is none
		requests       int
	}{
		{[2]byte{1, 1}, [2]byte{1, 1}, 1, 1},
		{[2]byte{1, 3}, [2]byte{1, 1}, 1, 2},
		{[2]byte{1, 3}, [2]byte{1, 2}, 2, 2},
		{[2]byte{1, 1}, [2]byte{1, 3}, 1, 1},
		{[2]byte{1, 2}, [2]byte{1, 3}, 2, 1},
		{[2]byte{2, 3}, [2]byte{1, 1}, 0, 1},
		{[2]byte{1, 1}, [2]byte{2, 3}, 0, 1},
		{[2]byte{1, 3}, [2]byte{3, 7}, 3, 1},
		{[2]byte{1, 255}, [2]byte{1, 254}, 254, 2},
	} {
		p, c, w, err := speaks(t, tt.client, tt.server)
		requests := 0
		for _, m := range w.client {
			if m[0] == 0x52 {
				requests++
				require.Equal(t, tt.client[1], m[2], "the highest version stays what it is")
			}
		}
		require.Equal(t, tt.requests, requests, "%+v", tt)
		if tt.want == 0 {
			require.ErrorIs(t, err, suite.ErrProtocol, "%+v", tt)
			require.ErrorContains(t, err, fmt.Sprintf("version %d", tt.server[1]))
			continue
		}
		require.NoError(t, err, "%+v", tt)
		require.Equal(t, tt.want, peerOf(c.session).Version)
		require.Equal(t, tt.want, peerOf(p.host.offered.session).Version)
		for range 2 { // and stay there
			_, w, clientErr, serverErr := p.resume(c, nil, nil)
			require.NoError(t, clientErr)
			require.NoError(t, serverErr)
			require.EqualValues(t, tt.want, w.client[0][1])
			require.EqualValues(t, tt.want, w.server[0][1])
		}
	}
}

// With several keys pinned, the other version and the last of the keys fit one
// transport.
func TestVersionAndKeys(t *testing.T) {
	p := newPair(t, false)
	pins := make([]noise.PublicKey, 3)
	for i := range pins {
		var err error
		pins[i], err = noise.GenerateKey().PublicKey()
		require.NoError(t, err)
	}
	p.client = noise.Speaking(protocol(t, noise.Options{PinnedKeys: append(pins, p.public)}, false), 1, 2)
	_, _, w, clientErr, serverErr := p.tryOpen(nil, nil)
	require.NoError(t, clientErr)
	require.NoError(t, serverErr)
	require.Len(t, w.client, 5+1) // and the record
}

// A client that goes on asking is heard five times, and no more.
func TestRequestsAreBounded(t *testing.T) {
	p := newPair(t, false)
	_, client := p.options("NK")
	client.PinnedKeys = nil
	for range 4 {
		public, err := noise.GenerateKey().PublicKey()
		require.NoError(t, err)
		client.PinnedKeys = append(client.PinnedKeys, public)
	}
	p.client = noise.Speaking(protocol(t, client, false), 1, 2)
	_, _, w, clientErr, serverErr := p.tryOpen(nil, nil)
	require.ErrorIs(t, clientErr, suite.ErrAuthentication)
	require.ErrorIs(t, serverErr, suite.ErrAuthentication)
	require.Len(t, w.client, 5)
	require.Len(t, w.server, 5)
}

// An ephemeral key of low order, with which anybody knew the keys, is refused by
// the one who meets it: the server of NN, and a client that pins such a key.
func TestEphemeralKeyOfLowOrder(t *testing.T) {
	p := newVariant(t, "ClassicalNN")
	header := []byte{0x52, 1, 1, 0, 38, noise.Kinds["ClassicalNN"], noise.AESGCM, 0, 0, 0, 0, 0, 0, 0, 0}
	answer, err := p.send(append(append(header, make([]byte, 32)...), 0, 0, 0, 1, 0, 0))
	require.ErrorContains(t, err, "low order")
	require.Equal(t, []byte{0x52, 1, noise.Hints["Failed"], 0, 0}, answer)
	require.Nil(t, p.host.offered)

	p.client = protocol(t, noise.Options{PinnedKeys: []noise.PublicKey{{1}}}, false)
	_, _, w, clientErr, _ := p.tryOpen(nil, nil)
	require.ErrorContains(t, clientErr, "low order")
	require.Empty(t, w.client)
}

// A side without randomness says so, whichever key it cannot make.
func TestNoRandomness(t *testing.T) {
	for have, server := range map[int]bool{0: false, 31: false, 32: false, 95: false, 16: true} {
		p := newPair(t, false)
		random := bytes.NewReader(make([]byte, have))
		if server {
			p.server = noise.Fixed(p.server, noise.AESGCM, random)
		} else {
			p.client = noise.Fixed(p.client, noise.AESGCM, random)
		}
		_, _, _, clientErr, serverErr := p.tryOpen(nil, nil)
		require.Error(t, clientErr)
		require.Error(t, serverErr)
		require.Nil(t, p.host.offered)
	}
}

// Who forges a refusal to make both sides speak a lower version than they could
// gets no session out of it, whatever else is changed to hide it.
func TestVersionDowngrade(t *testing.T) {
	lower := []byte{0x52, 1, noise.Hints["BadVersion"], 0, 0}
	for name, mangle := range map[string]func(message int, b []byte) []byte{
		"refusal alone":       func(_ int, b []byte) []byte { return b },
		"and highest version": func(_ int, b []byte) []byte { b[2] = 1; return b },
		"and the version back": func(message int, b []byte) []byte {
			if message > 0 {
				b[1] = 2
			}
			return b
		},
	} {
		p := newPair(t, false)
		p.client, p.server = noise.Speaking(p.client, 1, 2), noise.Speaking(p.server, 1, 2)
		_, clientErr, serverErr := p.run(
			func(message int, b []byte) ([]byte, bool) {
				if message == 0 {
					return nil, true // the attacker answers it
				}
				return mangle(message, b), false
			},
			nil,
			func(s suite.Stream) error {
				_, _, err := p.client.Open(&intruder{Stream: s, said: lower})
				return err
			})
		require.Error(t, clientErr, name)
		require.Error(t, serverErr, name)
		require.True(t, p.host.offered == nil || p.host.offered.epoch == 0, name)
	}
}

// An intruder says something before the server does.
type intruder struct {
	suite.Stream
	said []byte
}

func (i *intruder) Next(n int) ([]byte, error) {
	if len(i.said) >= n {
		b := i.said[:n]
		i.said = i.said[n:]
		return b, nil
	}
	return i.Stream.Next(n)
}

// A resume in another version than the session's is nobody's.
func TestResumeInAnotherVersion(t *testing.T) {
	p := newPair(t, false)
	p.client, p.server = noise.Speaking(p.client, 1, 2), noise.Speaking(p.server, 1, 2)
	c, _, _ := p.open()
	_, w, clientErr, serverErr := p.resume(c, func(message int, b []byte) ([]byte, bool) {
		if message == 0 {
			b[1] = 1
		}
		return b, false
	}, nil)
	require.Error(t, clientErr)
	require.ErrorIs(t, serverErr, suite.ErrProtocol)
	require.Equal(t, noise.Hints["BadRequest"], w.server[0][2])
}

// Requests that no version has.
func TestMalformedVersions(t *testing.T) {
	p := newPair(t, false)
	for _, b := range [][]byte{
		{0x52, 0, 1, 0, 0}, {0x52, 2, 1, 0, 0}, {0x52, 1, 0, 0, 0}, {0x52, 1, 1, 0xff, 0xff}, {0x52, 9, 9, 0x40, 0x55},
	} {
		answer, err := p.send(append(b, make([]byte, 10)...))
		require.ErrorIs(t, err, suite.ErrProtocol, "% x", b)
		require.Equal(t, []byte{0x52, 1, noise.Hints["BadRequest"], 0, 0}, answer, "% x", b)
	}
	// One that is merely newer is read past, and answered.
	answer, err := p.send(append([]byte{0x52, 9, 9, 0, 7}, make([]byte, 10+7)...))
	require.ErrorIs(t, err, suite.ErrProtocol)
	require.Equal(t, []byte{0x52, 1, noise.Hints["BadVersion"], 0, 0}, answer)
	_, err = p.send(append([]byte{0x52, 9, 9, 0, 7}, make([]byte, 10+6)...))
	require.ErrorContains(t, err, "EOF")
}

// Options that contradict each other are told apart.
func TestOptions(t *testing.T) {
	key, psk := noise.GenerateKey(), noise.GeneratePresharedKey()
	public, err := key.PublicKey()
	require.NoError(t, err)
	for says, o := range map[string]noise.Options{
		"insecure":           {Insecure: true, ClientKey: key},
		"no keys":            {Insecure: true, RequireClientKey: true},
		"[1] is zero":        {PresharedKeys: []noise.PresharedKey{psk, {}}},
		"same as one before": {PresharedKeys: []noise.PresharedKey{psk, psk}},
		"key hint":           {ServerKeys: []noise.PrivateKey{key, key}},
		"ServerKeys has 5":   {PinnedKeys: make([]noise.PublicKey, 5)},
		"Server.Keys has 5":  {ServerKeys: make([]noise.PrivateKey, 5)},
	} {
		if says == "no keys" {
			says = "uses no keys"
		}
		_, err := noise.New(o)
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), psk.Encode())
	}
	p, err := noise.New(noise.Options{PinnedKeys: []noise.PublicKey{public}, PresharedKeys: []noise.PresharedKey{psk, noise.GeneratePresharedKey()}})
	require.NoError(t, err)
	_, err = p.Configure(false, window)
	require.ErrorContains(t, err, "one pre-shared key")
}

func TestPresharedKeys(t *testing.T) {
	k := noise.GeneratePresharedKey()
	require.NotEqual(t, k, noise.GeneratePresharedKey())
	again, err := noise.ParsePresharedKey(k.Encode())
	require.NoError(t, err)
	require.Equal(t, k, again)
	for _, s := range []string{"", "password", k.Encode()[:40], new(noise.PresharedKey).Encode()} {
		_, err := noise.ParsePresharedKey(s)
		require.Error(t, err)
		require.False(t, s != "" && strings.Contains(err.Error(), s))
	}
}

// In a process that allows only what FIPS 140 approves, neither side begins, and
// the error says why. The test runs itself in such a process.
func TestFIPSOnly(t *testing.T) {
	if os.Getenv("RELINK_TEST_FIPS") != "" {
		for _, o := range []noise.Options{{Insecure: true}, {ServerKeys: []noise.PrivateKey{{1}}, PinnedKeys: []noise.PublicKey{{1}}}} {
			p, err := noise.New(o)
			require.NoError(t, err)
			for _, server := range []bool{true, false} {
				_, err := p.Configure(server, window)
				require.ErrorContains(t, err, "FIPS 140")
				require.ErrorContains(t, err, "fips140=only")
			}
		}
		return
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe, "-test.run=^TestFIPSOnly$", "-test.v")
	cmd.Env = append(os.Environ(), "RELINK_TEST_FIPS=1", "GODEBUG=fips140=only")
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.ENOEXEC) {
		t.Skip("this program runs under an emulator, and the system cannot start it once more:", err)
	}
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestFIPSOnly")
}
