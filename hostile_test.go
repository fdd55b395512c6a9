package relink_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// speak sends bytes on a transport of its own, and returns everything that the
// server answers until it closes. With end the client ends its direction, as one
// does that has no more to say.
func speak(t *testing.T, n *faultnet.Network, said []byte, end bool) []byte {
	t.Helper()
	c, err := n.Dial(t.Context(), "tcp", "server")
	require.NoError(t, err)
	defer c.Close()
	_, _ = c.Write(said) // the server may have heard enough
	if end {
		_ = c.(interface{ CloseWrite() error }).CloseWrite()
	}
	answer, _ := io.ReadAll(io.LimitReader(c, 1<<20))
	return answer
}

// snetResume is a resume request with a MAC that nobody has made.
func snetResume(id string, sent, received uint64) []byte {
	raw, _ := hex.DecodeString(id)
	b := append([]byte{0xff}, raw...)
	for i, j := 1, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i] // the wire has the id the other way round
	}
	b = binary.LittleEndian.AppendUint64(b, sent)
	b = binary.LittleEndian.AppendUint64(b, received)
	return append(b, make([]byte, 16)...)
}

func scpPacket(content string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(content))), content...)
}

// scpResume is a resume request with an authentication code that nobody has
// made.
func scpResume(id string, index, received int64) []byte {
	return scpPacket(fmt.Sprintf("%s\n%d\n%d\n%s", id, index, received, base64.StdEncoding.EncodeToString(make([]byte, 8))))
}

// A hostileConversation is what a client says in place of a handshake.
type hostileConversation struct {
	name string
	said func(id string) []byte // id is that of a living session
}

var hostileConversations = map[string][]hostileConversation{
	"DH64RC4": {
		{"public key 0", func(string) []byte { return make([]byte, 9) }},
		{"public key 1", func(string) []byte { return append([]byte{0, 1}, make([]byte, 7)...) }},
		{"public key p-1", func(string) []byte { return binary.LittleEndian.AppendUint64([]byte{0}, 1<<64-60) }},
		{"public key p", func(string) []byte { return binary.LittleEndian.AppendUint64([]byte{0}, 1<<64-59) }},
		{"public key 2^64-1", func(string) []byte { return binary.LittleEndian.AppendUint64([]byte{0}, 1<<64-1) }},
		{"unknown type", func(string) []byte { return []byte{0x52, 1, 2, 3} }},
		{"wrong proof", func(string) []byte {
			return append(binary.LittleEndian.AppendUint64([]byte{0}, 0x123456789), make([]byte, 16)...)
		}},
		{"resume of an unknown id", func(string) []byte { return snetResume("0123456789abcdef", 0, 0) }},
		{"resume of id 0", func(string) []byte { return snetResume("0000000000000000", 0, 0) }},
		{"resume with a wrong MAC", func(id string) []byte { return snetResume(id, 0, 0) }},
		{"resume with great counts", func(id string) []byte { return snetResume(id, 1<<64-1, 1<<63) }},
		{"more than was asked for", func(id string) []byte { return append(snetResume(id, 0, 0), make([]byte, 200_000)...) }},
	},
	"SCP": {
		{"length 0", func(string) []byte { return []byte{0, 0, 1, 2, 3} }},
		{"length 1025", func(string) []byte { return append([]byte{4, 1}, make([]byte, 1025)...) }},
		{"length 65535", func(string) []byte { return append([]byte{0xff, 0xff}, make([]byte, 65535)...) }},
		{"public key 0", func(string) []byte { return scpPacket("0\nAAAAAAAAAAA=") }},
		{"public key 1", func(string) []byte { return scpPacket("0\nAQAAAAAAAAA=") }},
		{"public key p-1", func(string) []byte { return scpPacket("0\nxP////////8=") }},
		{"public key 2^64-1", func(string) []byte { return scpPacket("0\n//////////8=") }},
		{"no base64", func(string) []byte { return scpPacket("0\n************") }},
		{"target with other characters", func(string) []byte { return scpPacket("0\nBwAAAAAAAAA=\na b") }},
		{"flag of 2^32", func(string) []byte { return scpPacket("0\nBwAAAAAAAAA=\na\n4294967296") }},
		{"a line too few", func(string) []byte { return scpPacket("0") }},
		{"an empty line in front of the key", func(string) []byte { return scpPacket("0\n\nBwAAAAAAAAA=") }},
		{"numbers without end", func(string) []byte { return scpPacket(strings.Repeat("9", 1024)) }},
		{"resume of an unknown id", func(string) []byte { return scpResume("4242", 1, 0) }},
		{"resume with a wrong code", func(id string) []byte { return scpResume(id, 1, 0) }},
		{"resume with great numbers", func(id string) []byte { return scpResume(id, 1<<62, 1<<32-1) }},
		{"negative numbers", func(id string) []byte { return scpResume(id, -1, -1) }},
	},
}

// Whatever a stranger says, whole, in every prefix, or with more behind it: the
// handshake is refused with a typed error, and a living session beside it, of
// whose id the stranger knows, notices nothing.
func TestHostileHandshakes(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		r.exchange(100)
		accepted := background(func() (int, error) { _, err := r.l.Accept(); return 0, err })
		conversations := append([]hostileConversation{
			{"nothing", func(string) []byte { return nil }},
			{"a byte", func(string) []byte { return []byte{0x52} }},
			{"another protocol", func(string) []byte { return []byte("GET / HTTP/1.1\r\nHost: server\r\n\r\n") }},
			{"200 kB of zeros", func(string) []byte { return make([]byte, 200_000) }},
		}, hostileConversations[s.String()]...)
		count := 0
		for _, h := range conversations {
			said := h.said(r.server.ID())
			for _, end := range []bool{true, false} {
				for n := min(len(said), 60); n >= 0; n-- {
					part := said[:n]
					if n == min(len(said), 60) {
						part = said
					} else if !end {
						break // a prefix that stays open is for the time limit
					}
					start := time.Now()
					speak(t, r.net, part, end)
					// Nobody waits longer than the two time limits.
					require.LessOrEqual(t, time.Since(start), 11*time.Second, h.name)
					count++
				}
			}
		}
		r.exchange(100)
		require.Zero(t, r.client.Stats().Resumes)
		require.Zero(t, r.server.Stats().Resumes)
		time.Sleep(time.Minute)
		refused := r.serverEvents.all(relink.EventRefused)
		require.Len(t, refused, count)
		for _, e := range refused {
			require.False(t, isInternal(e.Err), "%v", e.Err)
			require.Error(t, e.Err)
			require.Nil(t, e.Conn)
		}
		stillBlocked(t, accepted)
		require.Equal(t, 1, live(r.l))
		require.Equal(t, [2]int{}, unfinished(r.l))
		r.stop()
	})
}

// Random bytes, by themselves and behind an honest beginning.
func TestGarbage(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		random := rand.New(rand.NewPCG(1, 2))
		before := heapNow()
		for i := range 300 {
			b := make([]byte, random.IntN(200))
			for j := range b {
				b[j] = byte(random.Uint32())
			}
			if len(b) > 0 && i%3 > 0 {
				b[0] = []byte{0, 0xff, 'R', 1}[i%4]
			}
			speak(t, r.net, b, true)
		}
		r.exchange(1000)
		time.Sleep(time.Minute) // what was provisional is over
		require.Equal(t, [2]int{}, unfinished(r.l))
		require.Less(t, heapNow()-before, int64(8<<20))
		for _, e := range r.serverEvents.all(relink.EventRefused) {
			require.False(t, isInternal(e.Err), "%v", e.Err)
		}
		r.stop()
	})
}

// readToEnd returns the error that ends a transport.
func readToEnd(c net.Conn) error {
	for {
		if _, err := c.Read(make([]byte, 16)); err != nil {
			return err
		}
	}
}

// A thousand clients that say little or nothing: only MaxHandshakes of them
// are kept, each for a second at least, the oldest give way, and an honest client gets through.
func TestSlowloris(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		const most, flood = 64, 1000
		r := newRig(t, s, withServer(func(c *relink.ListenConfig) { c.MaxHandshakes, c.MaxHandshakesPerAddress = most, most }))
		var slow []net.Conn
		before := heapNow()
		for i := range flood {
			c, err := r.net.Dial(t.Context(), "tcp", "server")
			require.NoError(t, err)
			_, _ = c.Write([]byte{0, 20}[:i%3%2+i%2])
			slow = append(slow, c)
			if i%500 == 499 {
				synctest.Wait()
				require.Equal(t, most, unfinished(r.l)[0])
				c, server := r.open()
				requireExchange(t, c, server, 100)
				_, _ = c.Abort(), server.Abort()
				r.net.Last().Cut(faultnet.Reset)
				r.client.NetworkChanged()
				r.exchange(100)
			}
		}
		synctest.Wait()
		// Those that had to give way are closed, the last ones are not yet.
		require.Error(t, readToEnd(slow[0]))
		require.LessOrEqual(t, unfinished(r.l)[0], most)
		require.Less(t, heapNow()-before, int64(16<<20))
		start := time.Now()
		require.Error(t, readToEnd(slow[flood-1]))
		require.LessOrEqual(t, time.Since(start), 10*time.Second) // HandshakeTimeout
		time.Sleep(time.Until(start.Add(10 * time.Second)))       // a wrong first byte ends it sooner
		synctest.Wait()
		require.Equal(t, [2]int{}, unfinished(r.l))
		for _, c := range slow {
			_ = c.Close()
		}
		for _, e := range r.serverEvents.all(relink.EventRefused) {
			if !errors.Is(e.Err, relink.ErrProtocol) { // where the first byte is wrong already
				require.ErrorIs(t, e.Err, relink.ErrHandshakeTimeout)
			}
		}
		r.stop()
	})
}

// A flood of resumes, with ids that exist and that do not, changes nothing for
// the session that is meant.
func TestResumeFlood(t *testing.T) {
	for _, s := range []testSuite{dh64rc4Suite, scpSuite} {
		t.Run(s.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, s)
				before := heapNow()
				unknown := map[string]string{"DH64RC4": "00000000000000ff", "SCP": "7"}[s.String()]
				want := map[string]error{unknown: relink.ErrUnknownSession, r.server.ID(): relink.ErrAuthentication}
				for _, id := range []string{unknown, r.server.ID()} {
					known := len(r.serverEvents.all(relink.EventRefused))
					for i := range 500 {
						request := snetResume(id, uint64(i), uint64(i))
						if isSCP(s) {
							request = scpResume(id, int64(i+1), int64(i))
						}
						answer := speak(t, r.net, request, i%2 == 0)
						switch {
						case s.String() == "DH64RC4":
							require.Equal(t, make([]byte, 24), answer)
						case id == unknown:
							require.Equal(t, scpPacket("0\n404"), answer)
						default:
							require.Equal(t, scpPacket("0\n401"), answer)
						}
						if i%100 == 0 {
							r.exchange(100)
						}
					}
					synctest.Wait()
					for _, e := range r.serverEvents.all(relink.EventRefused)[known:] {
						require.ErrorIs(t, e.Err, want[id])
					}
				}
				require.Zero(t, r.server.Stats().Resumes)
				// The true client can still resume: no index was used up.
				r.net.Paths()[0].Cut(faultnet.Reset)
				r.exchange(100)
				require.Less(t, heapNow()-before, int64(8<<20))
				r.stop()
			})
		})
	}
}

// A server that answers with garbage costs a client its attempt, and its memory
// nothing.
func TestHostileServer(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		random := rand.New(rand.NewPCG(3, 4))
		for i := range 60 {
			n := faultnet.New()
			inner := n.Listen()
			answer := make([]byte, random.IntN(300))
			for j := range answer {
				answer[j] = byte(random.Uint32() >> (i % 8))
			}
			go func() {
				c, err := inner.Accept()
				if err != nil {
					return
				}
				_, _ = c.Write(answer)
				_, _ = io.CopyN(io.Discard, c, 9)
				_ = c.Close()
			}()
			d := relink.Dialer{Suite: s, DialTransport: n.Dial}
			c, err := d.DialConn(t.Context(), "tcp", "server")
			if err == nil { // a wire without an authenticated server
				require.True(t, isClassic(s))
				_ = c.Abort()
			}
			require.NoError(t, inner.Close())
		}
	})
}
