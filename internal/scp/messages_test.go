package scp_test

import (
	"encoding/base64"
	"encoding/binary"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/scp"
	"github.com/relink-go/relink/internal/suite"
	"github.com/relink-go/relink/internal/suite/suitetest"
)

// word returns n as the base64 of 8 little-endian bytes.
func word(n uint64) string {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	return base64.StdEncoding.EncodeToString(b[:])
}

// badNumbers are spellings that no parser may accept, and over, which is above
// the range.
func badNumbers(over string) []string {
	return []string{
		"", "+1", "-1", "-0", " 1", "1 ", "1\t", "01", "00", "0x1", "1e3", "1_0", "1.0", "one", "\x00", "١",
		over, "18446744073709551616", "18446744073709551617", "99999999999999999999999999",
		strings.Repeat("9", 500), "1\r",
	}
}

// badWords are spellings of 8 bytes that no parser may accept.
func badWords() []string {
	w := word(0xfedcba9876543210)
	return []string{
		"", w[:11], w[:10], w + "=", w + "A", " " + w, w + " ", w[:4] + "\r" + w[4:],
		"\r" + w[:11], w[:11] + "\r", w[:11] + "A", // 9 bytes
		"AAAAAAAAAA==", // 7 bytes
		"AAAAAAAAAAB=", // bits behind the end
		"AAAAAAAAAA-=", "AAAAAAAAAA_=", "AAAA=AAAAAA=", "============", "AAAAAAAAAAA", "AAAA AAAAAA=",
	}
}

// malformed are contents that a server must refuse.
func malformed() []string {
	w := word(5)
	out := []string{
		"\n", "\n\n\n", "0", "0\n", "1", "1\n", "1\n1", "1\n1\n1", "0\n\n" + w, "\n0\n" + w,
		w, "0\r\n" + w, "0\n" + w + "\r\r", "0\n" + w + "\nt\r\r", "1\r\n1\r\n1\r\n" + w,
		"1\n1\n1\r\n" + w, "1\n1\n1\n" + w + "\r\r\n", "1\n1\n1\n\n" + w, "0\n" + w + "\nt\n-0", "0\n" + w + "\nt\n-2147483649",
		"0\n" + w + "\nt\n--1", "0\n" + w + "\nt\n-", "0\n" + w + "\nt\n- 1", "0\n" + w + "\nt\n-01", "0\n" + w + "\nt\n1\r\r", "1\n1\n" + w, "1\n" + w, "1\n1\n1\n1", "0\n1\n1\n" + w, "\x00\n" + w,
		strings.Repeat("\n", scp.MaxPacket), strings.Repeat("0", scp.MaxPacket),
	}
	for _, target := range []string{" ", "a b", "a+b", "a,b", "a/b", "a:1", "ä", "a\x00", "a\rb", "\xff"} {
		out = append(out, "0\n"+w+"\n"+target, "0\n"+w+"\n"+target+"\n1")
	}
	for _, n := range badNumbers("4294967296") {
		out = append(out, n+"\n1\n1\n"+w, "1\n1\n"+n+"\n"+w)
		if n != "" && n != "-1" && n != "1\r" { // see TestTolerated
			out = append(out, "0\n"+w+"\n\n"+n)
		}
	}
	for _, n := range badNumbers("9223372036854775808") {
		out = append(out, "1\n"+n+"\n1\n"+w)
	}
	for _, b := range badWords() {
		out = append(out, "0\n"+b, "0\n"+b+"\nt", "0\n"+b+"\n\n1", "1\n1\n1\n"+b)
	}
	return out
}

func TestMalformedRequests(t *testing.T) {
	for _, content := range malformed() {
		x := newPair(t, suite.Offsets{}, suite.Offsets{})
		got, err := x.serve(packet(content))
		require.ErrorIs(t, err, suite.ErrProtocol, "%q", content)
		assert.Equal(t, answer("0\n400"), got, "%q", content)
		assert.Zero(t, x.target.seen)
		assert.Zero(t, x.host.offers)
	}
}

func TestMalformedAnswers(t *testing.T) {
	w := word(5)
	bad := []string{"\n", "1", "1\n", "\n200", w, "1\n" + w + "\n", "1\n" + w + "\n1", "1\r\n" + w, "0\n" + w}
	for _, n := range badNumbers("4294967296") {
		bad = append(bad, n+"\n"+w, n+"\n200")
	}
	for _, b := range badWords() {
		bad = append(bad, "1\n"+b)
	}
	for _, code := range []string{
		"", "0", "20", "099", "0200", "+200", "-200", "2000", " 200", "200\t", "200OK", "OK", "200\r",
		"200 O\rK", "200\n", "200\nOK", "２００", "0xc8",
	} {
		bad = append(bad, "0\n"+code, "1\n"+code)
	}
	for _, content := range bad {
		_, _, err := protocol(t, scp.Options{}).Open(&suitetest.Script{In: packet(content)})
		if content != "0\n200" {
			require.ErrorIs(t, err, suite.ErrProtocol, "%q", content)
		}
		if content == "1\n" {
			continue
		}
		_, err = scp.NewSession(1, 2).Resume(&suitetest.Script{In: packet(content)}, &clientCore{end{Offsets: suite.Offsets{Sent: 10}}})
		require.ErrorIs(t, err, suite.ErrProtocol, "%q", content)
		require.NotErrorIs(t, err, suite.ErrRefused)
	}
	// Success with the id 0 is none.
	_, _, err := protocol(t, scp.Options{}).Open(&suitetest.Script{In: packet("0\n200")})
	require.ErrorIs(t, err, suite.ErrProtocol)
}

// TestSizes: what is too long is refused before it is read, and so is what is
// empty.
func TestSizes(t *testing.T) {
	w := word(5)
	exact := "0\n" + w + "\n"
	exact += strings.Repeat("t", scp.MaxPacket-len(exact))
	x := newPair(t, suite.Offsets{}, suite.Offsets{})
	_, err := x.serve(packet(exact))
	require.NoError(t, err)
	assert.Equal(t, 1, x.host.established)

	for _, n := range []int{0, scp.MaxPacket + 1, 0x0500, 0xffff} {
		in := append([]byte{byte(n >> 8), byte(n)}, exact+"t"...)
		s := &suitetest.Script{In: in}
		require.ErrorIs(t, x.p.Serve(s, x.host), suite.ErrProtocol)
		assert.Equal(t, answer("0\n400"), string(s.Sent()))
		assert.Equal(t, 2, s.Asked)

		s = &suitetest.Script{In: in}
		_, _, err := x.p.Open(s)
		require.ErrorIs(t, err, suite.ErrProtocol)
		assert.Equal(t, 2, s.Asked)

		s = &suitetest.Script{In: in}
		_, err = x.client.Resume(s, x.core)
		require.ErrorIs(t, err, suite.ErrProtocol)
		assert.Equal(t, 2, s.Asked)
	}

	long := "0\n200 " + strings.Repeat("x", scp.MaxPacket-len("0\n200 "))
	_, err = x.client.Resume(&suitetest.Script{In: packet(long)}, x.core)
	require.NoError(t, err)
}

// TestBoundaries: the greatest and the least of every number are accepted.
func TestBoundaries(t *testing.T) {
	w := word(5)
	for _, content := range []string{
		"1\n0\n0\n" + w, "4294967295\n9223372036854775807\n4294967295\n" + w,
		"0\n" + w, "0\n" + w + "\n", "0\n" + w + "\n\n0", "0\n" + w + "\na_Z9\n4294967295",
		"0\n" + word(0) + "\n\n10",
	} {
		m, err := scp.ParseRequest([]byte(content))
		require.NoError(t, err, "%q", content)
		assert.Equal(t, packet(content), m.Packet)
	}
}

// TestTolerated: a server takes what the servers in use take, and gives it the same
// meaning as the one spelling that relink's client has.
func TestTolerated(t *testing.T) {
	w := word(5)
	for _, tt := range []struct{ sent, means string }{
		{"1\n2\n3\n" + w + "\n", "1\n2\n3\n" + w},
		{"1\n2\n3\n" + w + "\n\n", "1\n2\n3\n" + w},
		{"1\n2\n3\n" + w + "\nmore\nand \xff", "1\n2\n3\n" + w},
		{"1\n2\n3\n" + w + "\r", "1\n2\n3\n" + w},
		{"1\n2\n3\n" + w + "\r\n\r\n", "1\n2\n3\n" + w},
		{"0\n" + w + "\r", "0\n" + w},
		{"0\n" + w + "\n", "0\n" + w + "\n"},
		{"0\n" + w + "\r\nt\r\n1\r", "0\n" + w + "\nt\n1"},
		{"0\n" + w + "\nt\n1\n", "0\n" + w + "\nt\n1"},
		{"0\n" + w + "\nt\n1\nmore\n\n", "0\n" + w + "\nt\n1"},
		{"0\n" + w + "\nt\n", "0\n" + w + "\nt"},
		{"0\n" + w + "\nt\r\n\r", "0\n" + w + "\nt"},
		{"0\n" + w + "\ngame-1.eu.example\n1", "0\n" + w + "\ngame-1.eu.example\n1"},
		{"0\n" + w + "\n\n-1", "0\n" + w + "\n\n4294967295"},
		{"0\n" + w + "\n\n-2147483648", "0\n" + w + "\n\n2147483648"},
		{"0\n" + w + "\n\n-2147483647\r", "0\n" + w + "\n\n2147483649"},
		{"0\n" + w + strings.Repeat("\n", scp.MaxPacket-scp.MinRequest), "0\n" + w + "\n"},
	} {
		m, err := scp.ParseRequest([]byte(tt.sent))
		require.NoError(t, err, "%q", tt.sent)
		assert.Equal(t, packet(tt.means), m.Packet, "%q", tt.sent)
		assert.Equal(t, suite.MatchYes, protocol(t, scp.Options{}).Match(packet(tt.sent)), "%q", tt.sent)
	}
	// What was signed are the numbers, and not their line.
	x := newPair(t, suite.Offsets{}, suite.Offsets{})
	signed := string(scp.SignResume(testID, 1, 0, testSecret)[2:])
	got, err := x.serve(packet(signed + "\r\nand more\n"))
	require.NoError(t, err)
	assert.Equal(t, answer("0\n200"), got)
	// What an application is told of such a flag.
	h := new(host)
	require.NoError(t, protocol(t, scp.Options{}).Serve(&suitetest.Script{In: packet("0\n" + w + "\na-b.c\n-2")}, h))
	session, ok := scp.SessionOf(h.offered.session)
	require.True(t, ok)
	flag, sent := session.Flag()
	assert.Equal(t, int64(math.MaxUint32-1), flag)
	assert.True(t, sent)
	target, _ := session.Target()
	assert.Equal(t, "a-b.c", target)
}

func TestHash(t *testing.T) {
	assert.Equal(t, scp.Little(5381|1315423911<<32), scp.Hash(nil))
}

func TestMatch(t *testing.T) {
	w := word(5)
	p := protocol(t, scp.Options{})
	for _, content := range []string{
		"0\n" + w, "0\n" + w + "\n\n1", "1\n1\n0\n" + w, "12\n3\n0\n" + w, "4294967295\n9\n4294967295\n" + w,
		"123456789\n1\n1\n" + w, "1\n0\n1\n" + w, "0\n" + w + "\n" + strings.Repeat("t", scp.MaxPacket-15),
	} {
		in := packet(content)
		for n := 1; n <= len(in); n++ {
			want := suite.MatchMore
			if n >= scp.MatchSize {
				want = suite.MatchYes
			}
			assert.Equal(t, want, p.Match(in[:n]), "%q", in[:n])
		}
		_, err := scp.ParseRequest([]byte(content))
		require.NoError(t, err)
	}
	for _, in := range []string{
		"\xff", "\x05", "R", "GET / ", "\x16\x03\x01", "\x00\x00", "\x00\x0d", "\x04\x01",
		"\x00\x20x", "\x00\x20\n", "\x00\x2000", "\x00\x200\n=", "\x00\x200\n\n", "\x00\x201\n\n", "\x00\x201\n01",
		"\x00\x201\n1\n1\n=", "\x00\x20+1", "\x00\x201\r", "\x00\x201\n ",
	} {
		assert.Equal(t, suite.MatchNo, p.Match([]byte(in)), "%q", in)
	}

	// What snet's clients begin with is decided with the 9 bytes that they send.
	r := rand.New(rand.NewPCG(3, 4))
	for range 1 << 15 {
		in := binary.LittleEndian.AppendUint64([]byte{0}, r.Uint64())
		require.Equal(t, suite.MatchNo, p.Match(in))
	}
}

// TestMatchProbability counts the openings of snet that would be mistaken.
func TestMatchProbability(t *testing.T) {
	// By the length's low byte, then by content: "0\n" and 5 of base64, or else
	// numbers, of which a newline ends each. The latter are counted by line and
	// by what a line has so far.
	lengths := float64(256 - scp.MinRequest)
	open := 64.0 * 64 * 64 * 64 * 64
	type state struct {
		line int
		what byte // 'n'othing yet, a lone 'z'ero, or 'd'igits
	}
	count := map[state]float64{{0, 'd'}: 9}
	for range scp.MatchSize - 3 {
		next := make(map[state]float64)
		for s, n := range count {
			switch {
			case s.line == 3:
				next[s] += 64 * n
			case s.what == 'n':
				next[state{s.line, 'z'}] += n
				next[state{s.line, 'd'}] += 9 * n
			default:
				if s.what == 'd' {
					next[s] += 10 * n
				}
				next[state{s.line + 1, 'n'}] += n
			}
		}
		count = next
	}
	resumes := 0.0
	for _, n := range count {
		resumes += n
	}
	total := 1.0
	for range scp.MatchSize - 1 {
		total *= 256
	}
	assert.InDelta(t, 1.4e-8, lengths*(open+resumes)/total, 0.05e-8)
}

func TestReadErrors(t *testing.T) {
	// A transport's end between header and content is not a clean one.
	err := protocol(t, scp.Options{}).Serve(&suitetest.Script{In: []byte{0, 14}}, new(host))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NotErrorIs(t, err, io.EOF)
}
