package relink_test

import (
	"errors"
	"io"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/suite"
)

// likeSCP is what the first nine bytes of an SCP client look like, as
// docs/spec/snet.md says (Telling it from other protocols).
var likeSCP = regexp.MustCompile("^\x00[\x0e-\u00ff](?:0\n[0-9A-Za-z+/]{5}" +
	"|[1-9](?:[0-9]{6}|[0-9]*\n[0-9]*|[0-9]*\n[0-9]*\n[0-9]*|[0-9]*\n[0-9]*\n[0-9]*\n[0-9A-Za-z+/]*))$")

// FuzzChoose gives the listener of several suites the first bytes of a client,
// in pieces of any size and with its suites in any order. What it makes of them
// depends on the bytes alone, and is what the specification says.
func FuzzChoose(f *testing.F) {
	for _, first := range []string{
		"", "\x00", "\xff", "R\x01", "GET / HTTP/1.1\r\n",
		"\x00\x0e0\nBwAAAAAAAAA=", "\x00\x2a1720510386\n1\n123\nozg9L4yOiaI=", "\x001\n2\n3\nabcde",
		"\x00\x06\x45\xaf\xca\x3f\x8c\xbc\x9f", "\x00\x200\nABCDE", "\x00\x200\nABC-E", "\x00\x201\n\n\nabc", "\x04\x010\nabcdef",
	} {
		f.Add([]byte(first), uint8(0), uint8(1))
		f.Add([]byte(first), uint8(1), uint8(2))
	}
	f.Fuzz(func(t *testing.T, first []byte, piece, order uint8) {
		if len(first) > 200 {
			return // nothing looks so far
		}
		choose := func(segment int) (string, error) {
			n := faultnet.New()
			n.SetOptions(faultnet.Options{Segment: segment})
			verdicts := make(chan verdict, 2)
			cfg := relink.ListenConfig{Config: relink.Config{OnEvent: func(e relink.Event) { verdicts <- verdict{err: e.Err} }}}
			list := []relink.ServerSuite{
				chosenSuite[relink.DH64RC4Server]{dh64rc4Suite, verdicts},
				chosenSuite[relink.SCPServer]{scpSuite, verdicts},
				chosenSuite[relink.NoiseServer]{noiseSuite, verdicts},
			}
			begin := int(order) % len(list)
			cfg.Suites = append(list[begin:], list[:begin]...)
			l, err := relink.NewListener(n.Listen(), cfg)
			require.NoError(t, err)
			defer l.Close()
			c, err := n.Dial(t.Context(), "tcp", "server")
			require.NoError(t, err)
			_, err = c.Write(first)
			require.NoError(t, err)
			require.NoError(t, c.Close())
			v := <-verdicts
			return v.suite, v.err
		}
		whole, wholeErr := choose(0)
		pieces, piecesErr := choose(int(piece))
		if whole != pieces || errors.Is(wholeErr, relink.ErrNoSuite) != errors.Is(piecesErr, relink.ErrNoSuite) {
			t.Fatalf("%s, %v at once; %s, %v in pieces of %d", whole, wholeErr, pieces, piecesErr, piece)
		}
		if wholeErr != nil && !errors.Is(wholeErr, relink.ErrNoSuite) && !errors.Is(wholeErr, io.EOF) {
			t.Fatal(wholeErr)
		}
		if want, ok := chosenBySpec(first); ok && whole != want {
			t.Fatalf("%s, %v; by the specification %q", whole, wholeErr, want)
		}
	})
}

// A verdict is what a listener makes of a client's first bytes: the suite that is
// to serve it, or why none is.
type verdict struct {
	suite string
	err   error
}

// A chosenSuite tells when it is chosen, and serves nobody. A listener takes two
// protocols of one type for one, so that it has a type for each suite.
type chosenSuite[S relink.ServerSuite] struct {
	relink.ServerSuite
	verdicts chan<- verdict
}

// ServerProtocol implements [relink.ServerSuite].
func (s chosenSuite[S]) ServerProtocol() (suite.Protocol, error) {
	p, err := s.ServerSuite.ServerProtocol()
	return chosenProtocol[S]{p, s.verdicts}, err
}

type chosenProtocol[S relink.ServerSuite] struct {
	suite.Protocol
	verdicts chan<- verdict
}

// Serve implements suite.Protocol.
func (p chosenProtocol[S]) Serve(suite.Stream, suite.Host) error {
	p.verdicts <- verdict{suite: p.String()}
	return io.EOF
}

// chosenBySpec returns the suite that the specifications give a conversation
// to, where its first bytes are enough to know.
func chosenBySpec(first []byte) (name string, ok bool) {
	latin := make([]rune, min(9, len(first))) // each byte a character
	for i := range latin {
		latin[i] = rune(first[i])
	}
	switch {
	case len(first) == 0:
		return "", true
	case first[0] == 0xff:
		return "DH64RC4", true
	case first[0] == 0 && len(first) >= 9 && !likeSCP.MatchString(string(latin)):
		return "DH64RC4", true
	case first[0] == 'R':
		return "Noise", true
	case first[0] > 4:
		return "", true
	default:
		return "", false
	}
}
