package conntest

import (
	"context"
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
	"github.com/relink-go/relink/internal/suite"
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
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		r.Exchange(100)
		accepted := Background(func() (int, error) { _, err := r.Listener.Accept(); return 0, err })
		conversations := append([]hostileConversation{
			{"nothing", func(string) []byte { return nil }},
			{"a byte", func(string) []byte { return []byte{0x52} }},
			{"another protocol", func(string) []byte { return []byte("GET / HTTP/1.1\r\nHost: server\r\n\r\n") }},
			{"200 kB of zeros", func(string) []byte { return make([]byte, 200_000) }},
		}, hostileConversations[s.String()]...)
		count := 0
		for _, h := range conversations {
			said := h.said(r.Server.ID())
			for _, end := range []bool{true, false} {
				for n := min(len(said), 60); n >= 0; n-- {
					part := said[:n]
					if n == min(len(said), 60) {
						part = said
					} else if !end {
						break // a prefix that stays open is for the time limit
					}
					start := time.Now()
					speak(t, r.Net, part, end)
					// Nobody waits longer than the two time limits.
					require.LessOrEqual(t, time.Since(start), 11*time.Second, h.name)
					count++
				}
			}
		}
		r.Exchange(100)
		require.Zero(t, r.Client.Stats().Resumes)
		require.Zero(t, r.Server.Stats().Resumes)
		time.Sleep(time.Minute)
		refused := r.Server.Events.All(relink.EventRefused)
		require.Len(t, refused, count)
		for _, e := range refused {
			require.False(t, isInternal(e.Err), "%v", e.Err)
			require.Error(t, e.Err)
			require.Nil(t, e.Conn)
		}
		StillBlocked(t, accepted)
		require.Equal(t, 1, live(r.Listener))
		require.Equal(t, [2]int{}, unfinished(r.Listener))
		r.Stop()
	})
}

// Random bytes, by themselves and behind an honest beginning.
func TestGarbage(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		random := rand.New(rand.NewPCG(1, 2))
		before := HeapNow()
		for i := range 300 {
			b := make([]byte, random.IntN(200))
			for j := range b {
				b[j] = byte(random.Uint32())
			}
			if len(b) > 0 && i%3 > 0 {
				b[0] = []byte{0, 0xff, 'R', 1}[i%4]
			}
			speak(t, r.Net, b, true)
		}
		r.Exchange(1000)
		time.Sleep(time.Minute) // what was provisional is over
		require.Equal(t, [2]int{}, unfinished(r.Listener))
		require.Less(t, HeapNow()-before, int64(8<<20))
		for _, e := range r.Server.Events.All(relink.EventRefused) {
			require.False(t, isInternal(e.Err), "%v", e.Err)
		}
		r.Stop()
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
	InBubble(t, func(t *testing.T, s Suite) {
		const most, flood = 64, 1000
		r := New(t, s, WithServer(func(c *relink.ListenConfig) { c.MaxHandshakes, c.MaxHandshakesPerAddress = most, most }))
		var slow []net.Conn
		before := HeapNow()
		for i := range flood {
			c, err := r.Net.Dial(t.Context(), "tcp", "server")
			require.NoError(t, err)
			_, _ = c.Write([]byte{0, 20}[:i%3%2+i%2])
			slow = append(slow, c)
			if i%500 == 499 {
				synctest.Wait()
				require.Equal(t, most, unfinished(r.Listener)[0])
				c, server := r.Open()
				RequireExchange(t, c, server, 100)
				_, _ = c.Abort(), server.Abort()
				r.Net.Last().Cut(faultnet.Reset)
				r.Client.NetworkChanged()
				r.Exchange(100)
			}
		}
		synctest.Wait()
		// Those that had to give way are closed, the last ones are not yet.
		require.Error(t, readToEnd(slow[0]))
		require.LessOrEqual(t, unfinished(r.Listener)[0], most)
		require.Less(t, HeapNow()-before, int64(16<<20))
		start := time.Now()
		require.Error(t, readToEnd(slow[flood-1]))
		require.LessOrEqual(t, time.Since(start), 10*time.Second) // HandshakeTimeout
		time.Sleep(time.Until(start.Add(10 * time.Second)))       // a wrong first byte ends it sooner
		synctest.Wait()
		require.Equal(t, [2]int{}, unfinished(r.Listener))
		for _, c := range slow {
			_ = c.Close()
		}
		for _, e := range r.Server.Events.All(relink.EventRefused) {
			if !errors.Is(e.Err, relink.ErrProtocol) { // where the first byte is wrong already
				require.ErrorIs(t, e.Err, relink.ErrHandshakeTimeout)
			}
		}
		r.Stop()
	})
}

// A flood of resumes, with ids that exist and that do not, changes nothing for
// the session that is meant.
func TestResumeFlood(t *testing.T) {
	for _, s := range []Suite{DH64RC4, SCP} {
		t.Run(s.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := New(t, s)
				before := HeapNow()
				unknown := map[string]string{"DH64RC4": "00000000000000ff", "SCP": "7"}[s.String()]
				want := map[string]error{unknown: relink.ErrUnknownSession, r.Server.ID(): relink.ErrAuthentication}
				for _, id := range []string{unknown, r.Server.ID()} {
					known := len(r.Server.Events.All(relink.EventRefused))
					for i := range 500 {
						request := snetResume(id, uint64(i), uint64(i))
						if IsSCP(s) {
							request = scpResume(id, int64(i+1), int64(i))
						}
						answer := speak(t, r.Net, request, i%2 == 0)
						switch {
						case s.String() == "DH64RC4":
							require.Equal(t, make([]byte, 24), answer)
						case id == unknown:
							require.Equal(t, scpPacket("0\n404"), answer)
						default:
							require.Equal(t, scpPacket("0\n401"), answer)
						}
						if i%100 == 0 {
							r.Exchange(100)
						}
					}
					synctest.Wait()
					for _, e := range r.Server.Events.All(relink.EventRefused)[known:] {
						require.ErrorIs(t, e.Err, want[id])
					}
				}
				require.Zero(t, r.Server.Stats().Resumes)
				// The true client can still resume: no index was used up.
				r.Net.Paths()[0].Cut(faultnet.Reset)
				r.Exchange(100)
				require.Less(t, HeapNow()-before, int64(8<<20))
				r.Stop()
			})
		})
	}
}

// A server that answers with garbage costs a client its attempt, and its memory
// nothing.
func TestHostileServer(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
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
				require.True(t, IsClassic(s))
				_ = c.Abort()
			}
			require.NoError(t, inner.Close())
		}
	})
}

// TestReplayedHandshakes replays what an observer has seen of every handshake
// of a session, whole and each prefix, against that session while it is
// connected and while it is suspended. It must not notice.
func TestReplayedHandshakes(t *testing.T) {
	const maxHandshakes = 32
	ForEachSuite(t, func(t *testing.T, s Suite) {
		synctest.Test(t, func(t *testing.T) {
			sc := NewIdle(t, s, With(Setup{
				MaxHandshakes: maxHandshakes,
				ResumeTimeout: 24 * time.Hour, MinBackoff: 24 * time.Hour, MaxBackoff: 24 * time.Hour,
			}))
			captured := captureHandshakes(sc)
			path := sc.Net.Last()
			epoch := LinksOf(sc.Server.Conn)
			quiet := holdingsAtRest(sc)
			memory := sc.Server.Stats().Memory

			for round := range 3 {
				for i, m := range captured {
					for k := 0; k <= len(m); k += (1 + round*7) * int(strideOf(s)) {
						replayAgainst(sc, m[:k], k%2 == 0)
						require.Equal(t, epoch, LinksOf(sc.Server.Conn), "message %d, %d bytes", i, k)
						h := HoldingsOf(sc.Listener)
						require.LessOrEqual(t, h.Handshakes, maxHandshakes)
						require.LessOrEqual(t, h.Provisional, maxHandshakes)
					}
				}
				require.Equal(t, quiet, holdingsAtRest(sc), "after round %d", round)
				require.LessOrEqual(t, sc.Server.Stats().Memory, memory)
			}
			sc.NothingMore()

			// The same while the client is away: nobody else brings it back.
			sc.Net.OnDial(func(int, *faultnet.Path) error { return errNoNetwork })
			sc.replayBothAfter(path, 1000, faultnet.ResetNow)
			time.Sleep(time.Second)
			sc.Net.OnDial(nil)
			for i, m := range captured {
				for k := 0; k <= len(m); k += 5 * int(strideOf(s)) {
					attack(sc, m[:k], k%2 == 0)
				}
				attack(sc, m, false)
				synctest.Wait()
				require.Equal(t, epoch, LinksOf(sc.Server.Conn), "message %d", i)
			}
			RequireSuspended(t, sc.Client.Conn)
			sc.Client.NetworkChanged()
			sc.Client.Receive(1000)
			sc.Server.Receive(1000)
			sc.Echo(10, time.Second)
			sc.NothingMore()
			require.Equal(t, epoch+1, LinksOf(sc.Server.Conn))
			holdingsAtRest(sc)
			for _, e := range sc.Server.Events.All(relink.EventRefused) {
				require.True(t, isTyped(e.Err), "%v", e.Err)
			}
			sc.Finish()
		})
	})
}

// A resume that is replayed against a session which was closed, and whose client
// has everything, does not end its link either: that would destroy what is under
// way.
func TestReplayedResumeWhileClosing(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		r.Exchange(100)
		r.Net.OnDial(func(_ int, p *faultnet.Path) error {
			p.Record()
			return nil
		})
		r.Client.NetworkChanged()
		synctest.Wait()
		path := r.Net.Last()
		captured := path.Bytes(faultnet.Up)
		path.Stall(faultnet.Down)
		require.NoError(t, r.Server.Close())
		synctest.Wait()
		require.Equal(t, relink.StateClosing, r.Server.State())

		attacker, err := r.Net.Dial(t.Context(), "tcp", "server")
		require.NoError(t, err)
		RequireWrite(t, attacker, captured)
		synctest.Wait()
		require.Equal(t, relink.StateClosing, r.Server.State())

		path.Release(faultnet.Down)
		RequireEOF(t, r.Client)
		require.NoError(t, attacker.Close())
		r.Stop()
	})
}

// captureHandshakes opens a session, resumes it twice, once with nothing and
// once with much to replay, and returns all that the client has said.
func captureHandshakes(sc *Rig) (captured [][]byte) {
	sc.T.Helper()
	sc.Net.OnDial(func(_ int, p *faultnet.Path) error {
		p.Record()
		return nil
	})
	sc.Connect()
	synctest.Wait()
	captured = append(captured, sc.Net.Last().Bytes(faultnet.Up))
	sc.Echo(10, time.Second)
	sc.Client.NetworkChanged()
	synctest.Wait()
	captured = append(captured, sc.Net.Last().Bytes(faultnet.Up))
	sc.Echo(10, time.Second)
	sc.ReplayBoth(30, faultnet.ResetNow)
	time.Sleep(time.Second)
	synctest.Wait()
	captured = append(captured, sc.Net.Last().Bytes(faultnet.Up))
	sc.Client.Receive(30)
	sc.Server.Receive(30)
	sc.Net.OnDial(nil)
	require.Len(sc.T, sc.Net.Paths(), 3)
	return captured
}

// attack sends bytes to the listener and leaves, or stays.
func attack(sc *Rig, b []byte, leave bool) {
	sc.T.Helper()
	tr, err := sc.Net.Dial(context.Background(), "tcp", "server")
	require.NoError(sc.T, err)
	if len(b) > 0 {
		_, err = tr.Write(b)
		require.NoError(sc.T, err)
	}
	if leave {
		require.NoError(sc.T, tr.Close())
	}
}

// replayAgainst attacks while the server waits in Read, and requires that the
// session goes on without the loss of a moment.
func replayAgainst(sc *Rig, b []byte, leave bool) {
	sc.T.Helper()
	begin := time.Now()
	read := sc.Server.reading(4)
	synctest.Wait()
	attack(sc, b, leave)
	synctest.Wait()
	require.Equal(sc.T, relink.StateConnected, sc.Server.State())
	sc.Client.Send(4)
	<-read
	sc.Server.Send(4)
	sc.Client.Receive(4)
	require.Zero(sc.T, time.Since(begin), "the session was held up")
}

// holdingsAtRest waits until the time of all handshakes is up and returns what
// the listener holds. A wire may be unable to tell a replayed request for a new
// session from an honest one; such sessions are accepted and ended first.
func holdingsAtRest(sc *Rig) Holdings {
	sc.T.Helper()
	synctest.Wait()
	opened := len(sc.Server.Events.All(relink.EventOpened))
	ended := len(sc.Server.Events.All(relink.EventClosed))
	for range opened - ended - 1 {
		c, err := sc.Listener.AcceptConn()
		require.NoError(sc.T, err)
		require.NoError(sc.T, c.Abort())
	}
	time.Sleep(2 * DefaultHandshakeTimeout)
	return HoldingsOf(sc.Listener)
}

// strangers are what somebody says who is not the server and means no harm.
var strangers = map[string]string{
	"portal's redirect":    "HTTP/1.1 302 Found\r\nLocation: http://portal.example/login\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
	"portal's page":        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<!DOCTYPE html><html><title>Welcome</title><body>Please log in</body></html>\n",
	"portal's bare page":   "<html><head><meta http-equiv=\"refresh\" content=\"0;url=http://192.0.2.1/\"></head></html>",
	"network login (511)":  "HTTP/1.1 511 Network Authentication Required\r\nContent-Length: 0\r\n\r\n",
	"balancer's 503":       "HTTP/1.0 503 Service Unavailable\r\nCache-Control: no-cache\r\n\r\n<html><body><h1>503</h1>No server is available.</body></html>\n",
	"proxy's 400":          "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request",
	"SSH banner":           "SSH-2.0-OpenSSH_9.6p1 Debian-3\r\n",
	"SMTP banner":          "220 mail.example ESMTP ready\r\n",
	"Redis error":          "-ERR unknown command '\\xff\\x01', with args beginning with: \r\n",
	"memcached error":      "ERROR\r\n",
	"MySQL greeting":       "\x4a\x00\x00\x00\x0a8.0.36\x00\x09\x00\x00\x00abcdefgh\x00\xff\xf7\xff\x02\x00\xff\xdf\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00ijklmnopqrst\x00mysql_native_password\x00",
	"TLS alert":            "\x15\x03\x03\x00\x02\x02\x46",
	"HTTP/2 settings":      "\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80\x00\x04\x00\x01\x00\x00\x00\x05\x00\xff\xff\xff",
	"telnet":               "\xff\xfd\x18\xff\xfd\x20\xff\xfd\x23\xff\xfd\x27\r\nlogin: \x00\x00\x00\x00",
	"all ones":             strings.Repeat("\xff", 64),
	"zeros, then a cut":    strings.Repeat("\x00", 23),
	"nothing":              "",
	"a page in one letter": strings.Repeat("A", 4096),
}

// endings are how a stranger goes on after that.
var endings = map[string]func(net.Conn){
	"closes": func(c net.Conn) { _ = c.Close() },
	"resets": resetConn,
	"waits":  func(net.Conn) {},
}

func resetConn(c net.Conn) {
	if s, ok := c.(interface{ SetLinger(int) error }); ok {
		_ = s.SetLinger(0)
	}
	_ = c.Close()
}

// Answers of strangers to a resume fail that attempt, and the session lives: the
// next attempt that reaches the server goes on with it, with every byte.
func TestStrangersAnswer(t *testing.T) {
	for name, says := range strangers {
		for how, end := range endings {
			t.Run(name+"/"+how, func(t *testing.T) {
				InBubble(t, func(t *testing.T, s Suite) { testStranger(t, s, says, end) })
			})
		}
	}
}

func testStranger(t *testing.T, s Suite, says string, end func(net.Conn)) {
	if s.String() == "records" {
		return // a protocol of these tests, which asks nobody who he is
	}
	const times = 3
	answers := 0
	portal := newPortal(says, end)
	r := New(t, s, func(r *Rig, _ *relink.ListenConfig) {
		own := r.Dialer.DialTransport
		r.Dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
			if r.Client.Conn == nil || answers == times {
				return own(ctx, network, address)
			}
			answers++
			return portal.net.Dial(ctx, network, address)
		}
	})
	r.Exchange(100)
	_, err := r.Server.Write(Data(300)) // some of it is for the way back
	require.NoError(t, err)
	r.Net.Last().Cut(faultnet.ResetNow)
	r.Client.NetworkChanged()
	_, err = r.Client.Write(Data(500))
	require.NoError(t, err)
	up, down := make([]byte, 500), make([]byte, 300)
	_, err = io.ReadFull(r.Server, up)
	require.NoError(t, err)
	require.Equal(t, Data(500), up)
	_, err = io.ReadFull(r.Client, down)
	require.NoError(t, err)
	require.Equal(t, Data(300), down)
	require.Equal(t, times, answers)
	require.Equal(t, int64(1), r.Client.Stats().Resumes)
	r.Exchange(1000)
	r.Stop()
	portal.stop()
}

// A portal is a network in which all dials lead to a stranger.
type portal struct {
	net    *faultnet.Network
	l      net.Listener
	served chan struct{}
	held   []net.Conn
}

// newPortal waits for a client's first bytes, says its own, and goes on as end does.
func newPortal(says string, end func(net.Conn)) *portal {
	n := faultnet.New()
	p := &portal{net: n, l: n.Listen(), served: make(chan struct{})}
	go func() {
		defer close(p.served)
		for {
			c, err := p.l.Accept()
			if err != nil {
				return
			}
			p.held = append(p.held, c)
			if _, err := c.Read(make([]byte, 4096)); err != nil {
				continue
			}
			_, _ = io.WriteString(c, says)
			end(c)
		}
	}()
	return p
}

func (p *portal) stop() {
	_ = p.l.Close()
	<-p.served
	for _, c := range p.held {
		_ = c.Close()
	}
}

// A dial that reaches a stranger fails, and does not return a session in which an
// error page is the first data.
func TestStrangersAnswerToDial(t *testing.T) {
	for name, says := range strangers {
		t.Run(name, func(t *testing.T) {
			ForEachSuite(t, func(t *testing.T, s Suite) {
				noText := strings.Contains(says, "\x00") || strings.Contains(says, "\xff")
				if s.String() == "records" || noText && strings.HasPrefix(s.String(), "DH64RC4") {
					return // to "records" anything is an answer; a server hello of DH64RC4 is as good as random
				}
				synctest.Test(t, func(t *testing.T) {
					p := newPortal(says, endings["closes"])
					d := relink.Dialer{Suite: s, Config: relink.Config{HandshakeTimeout: time.Second}, DialTransport: p.net.Dial}
					c, err := d.DialConn(context.Background(), "tcp", "server")
					require.Error(t, err)
					require.Nil(t, c)
					p.stop()
				})
			})
		})
	}
}

// What the last attempt met is in the error, and is none of those that would be
// the server's word.
func TestNothingButStrangers(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		if s.String() == "records" {
			return
		}
		p := newPortal(strangers["portal's redirect"], endings["closes"])
		r := New(t, s, WithBoth(func(c *relink.Config) { c.ResumeTimeout = 10 * time.Second }), func(r *Rig, _ *relink.ListenConfig) {
			own := r.Dialer.DialTransport
			r.Dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
				if r.Client.Conn == nil {
					return own(ctx, network, address)
				}
				return p.net.Dial(ctx, network, address)
			}
		})
		r.Exchange(100)
		r.Client.NetworkChanged()
		_, err := r.Client.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrExpired)
		for _, word := range []error{relink.ErrCounters, relink.ErrReplayGap, relink.ErrSessionLost, io.EOF} {
			require.NotErrorIs(t, err, word)
		}
		r.Stop()
		p.stop()
	})
}

// What the protocol forbids ends the session of the two, with a typed error on
// both sides, and nobody else's.
func TestViolations(t *testing.T) {
	const window = 8 << 10
	for name, misdeed := range map[string]func(data []byte, k suite.Control) ([]byte, suite.Control){
		"acknowledges too much": func(data []byte, k suite.Control) ([]byte, suite.Control) {
			k.Ack, k.Received = true, 1<<40
			return data, k
		},
		"acknowledges a negative count": func(data []byte, k suite.Control) ([]byte, suite.Control) {
			k.Ack, k.Received = true, -1
			return data, k
		},
		"consumes more than it received": func(data []byte, k suite.Control) ([]byte, suite.Control) {
			k.Ack, k.Received, k.Consumed = true, 0, 1
			return data, k
		},
		"acknowledges an end that was not sent": func(data []byte, k suite.Control) ([]byte, suite.Control) {
			k.Ack, k.FinReceived = true, true
			return data, k
		},
		"passes the limit": func(_ []byte, k suite.Control) ([]byte, suite.Control) {
			return make([]byte, window+1), k
		},
		"ends and goes on": func(_ []byte, k suite.Control) ([]byte, suite.Control) {
			k.Fin = true
			return []byte("more"), k
		},
	} {
		for _, byClient := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/client=%v", name, byClient), func(t *testing.T) {
				inRecordBubble(t, func(t *testing.T, p *RecordProtocol, s Suite) {
					// Two records leave before the first is answered.
					r := New(t, s, WithLimit(window), WithPath(faultnet.Options{Delay: 10 * time.Millisecond}))
					other, otherServer := r.Open()
					from, to := r.Client.Conn, r.Server.Conn
					if !byClient {
						from, to = to, from
					}
					r.Exchange(100)
					time.Sleep(time.Second)
					tamper := func(id string, client bool, data []byte, k suite.Control) ([]byte, suite.Control) {
						if id == r.Client.ID() && client == byClient && k.Reset == 0 {
							return misdeed(data, k)
						}
						return data, k
					}
					p.tamper.Store(&tamper)
					go func() {
						for range 3 {
							_, _ = from.Write([]byte("x"))
							_, _ = from.Write([]byte("y"))
							time.Sleep(time.Second)
						}
					}()
					if _, err := io.Copy(io.Discard, to); err != nil { // nil at the end that comes too early
						require.ErrorIs(t, err, relink.ErrProtocol)
					}
					time.Sleep(10 * time.Second)
					_, err := to.Write([]byte("x"))
					require.ErrorIs(t, err, relink.ErrProtocol)
					_, err = io.Copy(io.Discard, from)
					if !errors.Is(err, relink.ErrProtocol) { // it may object to the answer to what it never said
						require.ErrorIs(t, err, relink.ErrSessionLost)
					}
					RequireExchange(t, other, otherServer, 100)
					_, _ = other.Abort(), otherServer.Abort()
					r.Stop()
				})
			})
		}
	}
}

// A flipConn damages one byte of what it reads.
type flipConn struct {
	net.Conn
	at  int64
	pos int64
}

func (c *flipConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if i := c.at - c.pos; i >= 0 && i < int64(n) {
		p[i] ^= 0x10
	}
	c.pos += int64(n)
	return n, err
}

// Damage of any byte ends the link at most, and never the session.
func TestDamageEndsTheLinkOnly(t *testing.T) {
	for step := int64(0); step < 3000; step += 17 {
		InAckBubble(t, func(t *testing.T, s Suite) {
			at := lengthsOf(s).answer + step*strideOf(s)
			if at >= 3000 {
				return
			}
			damaged := false
			r := New(t, s, func(r *Rig, _ *relink.ListenConfig) {
				r.Dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := r.Net.Dial(ctx, network, address)
					if damaged || err != nil {
						return c, err
					}
					damaged = true
					return &flipConn{Conn: c, at: at}, nil
				}
			})
			RequireWrite(t, r.Server, Data(5000))
			RequireRead(t, r.Client, Data(5000))
			require.EqualValues(t, 1, r.Client.Stats().Resumes, "damage at byte %d", at)
			r.Exchange(1000)
			r.Finish()
		})
	}
}

// A record that is intact and says what is forbidden ends the session.
func TestMalformedRecordEndsTheSession(t *testing.T) {
	inRecordBubble(t, func(t *testing.T, p *RecordProtocol, s Suite) {
		r := New(t, s)
		p.malform.Store(true)
		_, _ = r.Client.Write([]byte("x"))
		_, err := r.Server.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrProtocol)
		r.Stop()
	})
}
