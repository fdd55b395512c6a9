package relink_test

import (
	"errors"
	"io"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
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
		list := []relink.ServerSuite{dh64rc4Suite, scpSuite, noiseSuite}
		var names []string
		for range int(order) % len(list) {
			list = append(list[1:], list[0])
		}
		for _, s := range list {
			names = append(names, s.String())
		}
		choose := func(segment int) (string, error) {
			c, s, _ := faultnet.Pair(faultnet.Options{Segment: segment})
			_, err := c.Write(first)
			require.NoError(t, err)
			require.NoError(t, c.Close())
			i, err := relink.Chosen(list, s)
			if err != nil {
				return "", err
			}
			return names[i], nil
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
			t.Fatalf("%s, %v; by the specification %q of %q", whole, wholeErr, want, slices.Sorted(slices.Values(names)))
		}
	})
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
