package snet_test

import (
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/snet"
	"github.com/relink-go/relink/internal/suite"
)

// match feeds Match as a listener does and returns the verdict with the
// number of bytes that it took.
func match(first []byte) (suite.Match, int) {
	p := snet.New(snet.Options{})
	for n := 1; n <= len(first); n++ {
		if m := p.Match(first[:n]); m != suite.MatchMore {
			return m, n
		}
	}
	return suite.MatchMore, len(first)
}

func TestMatch(t *testing.T) {
	for _, test := range []struct {
		first string
		want  suite.Match
		n     int
	}{
		{"\xff", suite.MatchYes, 1},
		{"\x52", suite.MatchNo, 1},
		{"\x01", suite.MatchNo, 1},
		{"\x00", suite.MatchMore, 1},
		{"\x00\x0d", suite.MatchYes, 2},
		{"\x00\x0e", suite.MatchMore, 2},
		{"\x00\x0e0", suite.MatchMore, 3},
		{"\x00\x0e00", suite.MatchYes, 4},
		{"\x00\x0e0\nAb+/", suite.MatchMore, 8},
		{"\x00\x0e0\nAb+/=", suite.MatchYes, 9},
		{"\x00\x0e0\nAb+/9", suite.MatchNo, 9},
		{"\x00\x201\n1\n0\n", suite.MatchMore, 8},
		{"\x00\x201\n1\n0\nA", suite.MatchNo, 9},
		{"\x00\x201\n1\n0\n\n", suite.MatchYes, 9},
		{"\x00\x2042949", suite.MatchMore, 7},
		{"\x00\x204294967", suite.MatchNo, 9},
		{"\x00\x20a", suite.MatchYes, 3},
	} {
		m, n := match([]byte(test.first))
		require.Equal(t, test.want, m, "%q", test.first)
		require.Equal(t, test.n, n, "%q", test.first)
		if m != suite.MatchMore {
			// More bytes, or all at once, change nothing.
			m = snet.New(snet.Options{}).Match([]byte(test.first + "0123456789abcdef"))
			require.Equal(t, test.want, m, "%q", test.first)
		}
	}
}

// A client of SCP is never taken for one of snet, however short what it sends.
func TestMatchRefusesSCP(t *testing.T) {
	key := base64.StdEncoding.EncodeToString
	contents := []string{}
	for i := range 256 {
		b := [8]byte{byte(i), byte(i * 7), byte(i * 11), byte(i * 13), byte(i * 17), byte(i * 19), byte(i), byte(i)}
		contents = append(contents, "0\n"+key(b[:]), "0\n"+key(b[:])+"\ntarget_1\n1")
		for _, id := range []uint64{1, 9, 10, 99, 12345, 1<<32 - 1} {
			for _, n := range []uint64{1, 10, 1<<32 - 1} {
				contents = append(contents, fmt.Sprintf("%d\n%d\n%d\n%s", id, n, n-1, key(b[:])))
			}
		}
	}
	for _, content := range contents {
		packet := append([]byte{byte(len(content) >> 8), byte(len(content))}, content...)
		m, _ := match(packet)
		require.Equal(t, suite.MatchNo, m, "%q", packet)
	}
}

// TestMatchError counts the client hellos that are taken for SCP. What may
// follow at a position depends only on the first byte of the content.
func TestMatchError(t *testing.T) {
	p := snet.New(snet.Options{})
	probability := 0.0
	for _, prefix := range []string{"\x00\x0e0\nAAAAA", "\x00\x0e1111111"} {
		share := 1.0
		for i := 1; i < 9; i++ {
			n := 0
			for c := range 256 {
				b := []byte(prefix[:i+1])
				b[i] = byte(c)
				if p.Match(b) == suite.MatchYes {
					continue
				}
				if i == 2 && (c == '0') != (prefix[2] == '0') {
					continue // the other prefix's
				}
				n++
			}
			share *= float64(n) / 256
		}
		probability += share
	}
	require.InDelta(t, 70e6, 1/probability, 0.5e6)
}
