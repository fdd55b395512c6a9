package conntest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/suite"
)

// FuzzClient gives the client of every suite arbitrary bytes as all that its
// server ever says: on the transport of the new session, and on each one on
// which the client tries to resume.
func FuzzClient(f *testing.F) {
	hello := binary.LittleEndian.AppendUint64(nil, 1234567)
	hello = append(hello, "session.challenge and the stream"...)
	answer := binary.LittleEndian.AppendUint64(nil, 40)
	answer = append(answer, "\x00\x00\x00\x00\x00\x00\x00\x00chalenge and more of the stream"...)
	word := base64.StdEncoding.EncodeToString(hello[:8])
	for which := range uint8(len(Suites)) {
		f.Add(which, hello, answer, uint8(0))
		f.Add(which, hello, make([]byte, 24), uint8(1))
		f.Add(which, scpPacket("17\n"+word), scpPacket("0\n200 OK"), uint8(0))
		f.Add(which, append(scpPacket("17\n"+word), "stream"...), scpPacket("0\n404"), uint8(3))
		f.Add(which, scpPacket("0\n501"), []byte{}, uint8(2))
		for hint := range uint8(9) {
			// Refusals of Noise, which are not authenticated.
			f.Add(which, []byte{'R', 1, hint + 1, 0, 0}, []byte{hint, 1, 2}, uint8(0))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, opened, resumed []byte, piece uint8) {
		if len(opened) > 4096 || len(resumed) > 4096 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			fuzzClient(t, Suites[int(which)%len(Suites)], opened, resumed, int(piece))
		})
	})
}

func fuzzClient(t *testing.T, s Suite, opened, resumed []byte, piece int) {
	n := faultnet.New()
	n.SetOptions(faultnet.Options{Segment: piece})
	inner := n.Listen()
	go func() {
		says := opened
		for {
			c, err := inner.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write(says)
			says = resumed
			go func() {
				// A client that hears the end before it has spoken learns nothing more.
				_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}()
		}
	}()
	defer func() { _ = inner.Close() }()
	d := relink.Dialer{
		Config:        relink.Config{ResumeTimeout: 3 * time.Second},
		Suite:         s,
		MinBackoff:    50 * time.Millisecond,
		DialTransport: n.Dial,
	}
	c, err := d.DialConn(context.Background(), "tcp", "server")
	if err != nil {
		requireHandshakeError(t, err)
		return
	}
	defer c.Abort()
	if strings.HasPrefix(s.String(), "Noise") || s == Records {
		t.Fatal("a server without keys was believed")
	}
	if _, err := c.Write(make([]byte, 40)); err != nil {
		requireTypedEnd(t, err)
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	got, err := io.ReadAll(c)
	if err == nil {
		err = io.EOF
	}
	requireTypedEnd(t, err)
	hello := 24
	if IsSCP(s) {
		hello = 2 + int(binary.BigEndian.Uint16(opened))
	}
	if strings.Contains(s.String(), "not encrypted") && !bytes.HasPrefix(got, opened[hello:]) {
		t.Fatalf("read %q of %q", got, opened[hello:])
	}
}

// requireHandshakeError requires of a failed Dial that a program can tell why.
func requireHandshakeError(t *testing.T, err error) {
	t.Helper()
	var op *net.OpError
	if !errors.As(err, &op) {
		t.Fatalf("no *net.OpError: %v", err)
	}
	for _, known := range []error{
		relink.ErrAuthentication, relink.ErrProtocol, relink.ErrBusy, relink.ErrUnknownSession, relink.ErrHandshakeTimeout,
		relink.ErrSuperseded, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE,
	} {
		if errors.Is(op.Err, known) {
			return
		}
	}
	if !errors.As(op.Err, new(relink.SCPStatusError)) {
		t.Fatalf("an error that cannot be told from others: %v", err)
	}
}

// requireTypedEnd requires of the end of a session that a program can tell why.
func requireTypedEnd(t *testing.T, err error) {
	t.Helper()
	for _, known := range []error{relink.ErrProtocol, relink.ErrPeerClosed, relink.ErrSessionLost, os.ErrDeadlineExceeded, io.EOF} {
		if errors.Is(err, known) {
			return
		}
	}
	if !IsLoss(err) {
		t.Fatalf("an end that cannot be told from others: %v", err)
	}
}

// FuzzParseKey reads arbitrary text as keys. Apart from line breaks, which a
// file may have, a key has one spelling; and what was given in its place, which
// may be a secret with a mistake in it, is not repeated.
func FuzzParseKey(f *testing.F) {
	var key relink.PublicKey
	for i := range key {
		key[i] = byte(i)
	}
	f.Add(key.String())
	f.Add(key.String() + "\r\n")
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=") // zero
	f.Add("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=") // bits behind the last byte
	f.Add("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==") // 31 bytes
	f.Add(" " + key.String())
	f.Add(strings.TrimSuffix(key.String(), "="))
	f.Add("correct horse battery staple")
	f.Fuzz(func(t *testing.T, text string) {
		private, privateErr := relink.ParsePrivateKey(text)
		public, publicErr := relink.ParsePublicKey(text)
		spelling := strings.NewReplacer("\r", "", "\n", "").Replace(text)
		raw, err := base64.StdEncoding.Strict().DecodeString(spelling)
		valid := err == nil && len(raw) == len(public) && !bytes.Equal(raw, make([]byte, len(raw)))
		switch {
		case (privateErr == nil) != valid || (publicErr == nil) != valid:
			t.Fatalf("%q: %v, %v", text, privateErr, publicErr)
		case !valid && (!private.IsZero() || public != relink.PublicKey{}):
			t.Fatalf("%q: a key and an error", text)
		case !valid:
			_, same := relink.ParsePrivateKey("no key") // says no more than its own text
			if len(spelling) >= 8 && strings.Contains(privateErr.Error(), spelling) && !strings.Contains(same.Error(), spelling) {
				t.Fatalf("the error repeats the key: %v", privateErr)
			}
			return
		case private.EncodeSecret() != spelling || public.String() != spelling:
			t.Fatalf("%q is written as %v", text, public)
		}
		// Every key but zero is one that a server can have, and none shows.
		if private.PublicKey() == (relink.PublicKey{}) || strings.Contains(fmt.Sprint(private), spelling) {
			t.Fatal(private)
		}
	})
}

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
				chosenSuite[relink.DH64RC4Server]{DH64RC4, verdicts},
				chosenSuite[relink.SCPServer]{SCP, verdicts},
				chosenSuite[relink.NoiseServer]{Noise, verdicts},
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

// A tamperedConn is a transport on whose way somebody changes bytes: those of
// one direction from an offset on are combined with the mask.
type tamperedConn struct {
	net.Conn
	up   bool
	from int
	mask []byte

	pos atomic.Int64 // of the direction
}

func (c *tamperedConn) Interruptible() bool { return true }

func (c *tamperedConn) CloseWrite() error {
	return c.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

func (c *tamperedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.up {
		c.change(p[:n])
	}
	return n, err
}

func (c *tamperedConn) Write(p []byte) (int, error) {
	if !c.up {
		return c.Conn.Write(p)
	}
	b := append([]byte(nil), p...)
	c.change(b)
	return c.Conn.Write(b)
}

func (c *tamperedConn) change(b []byte) {
	start := int(c.pos.Add(int64(len(b)))) - len(b)
	for i := range b {
		if at := start + i - c.from; 0 <= at && at < len(c.mask) {
			b[i] ^= c.mask[at]
		}
	}
}

// FuzzTamper changes bytes of an honest resume, of its handshake or of what is
// replayed, on their way to one of the two sides. On Noise that costs a
// transport and nothing else. The wires without integrity may lose the session,
// but they end it with a typed error and leave nothing behind.
func FuzzTamper(f *testing.F) {
	for which := range uint8(len(Suites)) {
		for _, from := range []uint16{0, 1, 5, 9, 17, 23, 25, 40, 41, 60, 80, 98, 120} {
			f.Add(which, true, from, []byte{1})
			f.Add(which, false, from, []byte{0x80, 0, 0xff})
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, up bool, from uint16, mask []byte) {
		synctest.Test(t, func(t *testing.T) {
			fuzzTamper(t, Suites[int(which)%len(Suites)], &tamperedConn{up: up, from: int(from), mask: mask})
		})
	})
}

func fuzzTamper(t *testing.T, s Suite, way *tamperedConn) {
	cfg := Setup{ResumeTimeout: 30 * time.Second, LivenessTimeout: 4 * time.Second}
	sc := NewIdle(t, s, With(cfg))
	tamper := false
	dial := sc.Dialer.DialTransport
	sc.Dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil || !tamper {
			return c, err
		}
		tamper = false
		way.Conn = c
		return way, nil
	}
	sc.Connect()
	sc.Echo(100, time.Minute)
	tamper = true
	sc.ReplayBoth(300, faultnet.ResetNow)
	sc.Client.Send(100)

	// The classic wires find no silent transport in memory by themselves.
	networkChanged := time.AfterFunc(10*time.Second, sc.Client.NetworkChanged)
	defer networkChanged.Stop()
	if strings.HasPrefix(s.String(), "Noise") {
		sc.Server.Receive(400)
		sc.Client.Receive(300)
		sc.Echo(50, time.Minute)
		sc.Finish()
		return
	}
	for _, e := range []*Side{sc.Client, sc.Server} {
		if err := e.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		_, err := e.Write(make([]byte, 50))
		for err == nil {
			_, err = e.Read(make([]byte, 512))
		}
		requireTypedEnd(t, err)
		_ = e.Abort()
	}
	for _, e := range []*Side{sc.Client, sc.Server} {
		e.awaitDone()
	}
	_ = sc.Listener.Close()
	requireNothingLeft(t)
}

// FuzzServerHandshake gives a listener with all suites arbitrary bytes as the
// whole of a client's conversation. A session that lives beside it must not
// notice, and nothing may be left after the time limits.
func FuzzServerHandshake(f *testing.F) {
	f.Add([]byte(nil), uint8(0))
	f.Add([]byte{0x52}, uint8(1))
	f.Add(append([]byte{0}, "publickeyprooffffffffffff"...), uint8(2))
	f.Add(snetResume("0123456789abcdef", 1, 2), uint8(0))
	f.Add(snetResume("0000000000000001", 1<<63, 1<<63), uint8(3))
	f.Add(scpPacket("0\nBwAAAAAAAAA=\nworld\n1"), uint8(0))
	f.Add(scpPacket("0\nBwAAAAAAAAA="), uint8(4))
	f.Add(scpResume("1", 1, 0), uint8(0))
	f.Add([]byte{4, 1, '0', '\n'}, uint8(0))
	f.Add([]byte("R\x01xxxxxxxxxxxx"), uint8(0))
	f.Fuzz(func(t *testing.T, said []byte, piece uint8) {
		synctest.Test(t, func(t *testing.T) { fuzzServerHandshake(t, said, int(piece)) })
	})
}

func fuzzServerHandshake(t *testing.T, said []byte, piece int) {
	n := faultnet.New()
	n.SetOptions(faultnet.Options{Segment: piece})
	var internal atomic.Pointer[error]
	l, err := relink.NewListener(n.Listen(), Setup{
		OnEvent: func(e relink.Event) {
			if isInternal(e.Err) {
				internal.Store(&e.Err)
			}
		},
	}.listener(fuzzSuites()...))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := relink.Dialer{Suite: SCP, DialTransport: n.Dial}
	c, err := d.DialConn(context.Background(), "tcp", "server")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abort()
	server, err := l.AcceptConn()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Abort()
	// SCP has no confirmation: arbitrary bytes can open a session.
	go func() {
		for {
			c, err := l.AcceptConn()
			if err != nil {
				return
			}
			_ = c.Abort()
		}
	}()

	stranger, err := n.Dial(context.Background(), "tcp", "server")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = stranger.Write(said)
	}()
	go func() { _, _ = io.Copy(io.Discard, stranger) }()
	echo := func() {
		for _, ends := range [][2]*relink.Conn{{c, server}, {server, c}} {
			if _, err := ends[0].Write([]byte("still here")); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 10)
			if _, err := io.ReadFull(ends[1], b); err != nil || string(b) != "still here" {
				t.Fatalf("%q, %v", b, err)
			}
		}
	}
	synctest.Wait()
	echo()
	time.Sleep(30 * time.Second)
	synctest.Wait()
	echo()
	if resumes := server.Stats().Resumes; resumes != 0 {
		t.Fatalf("%d resumes", resumes)
	}
	if left := unfinished(l); left != [2]int{} {
		t.Fatalf("%v handshakes and provisional sessions are left", left)
	}
	if err := internal.Load(); err != nil {
		t.Fatal(*err)
	}
	_ = stranger.Close()
	<-done
}

// fuzzSuites returns one suite of every wire there is.
func fuzzSuites() []relink.ServerSuite {
	var all []relink.ServerSuite
	for _, s := range Suites {
		cfg := relink.ListenConfig{Suites: append(all[:len(all):len(all)], s)}
		if l, err := relink.NewListener(faultnet.New().Listen(), cfg); err == nil {
			all = cfg.Suites
			_ = l.Close()
		}
	}
	return all
}
