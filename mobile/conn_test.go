package relink_test

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	core "github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	relink "github.com/relink-go/relink/mobile"
)

// A recorder keeps events, and notices calls that overlap.
type recorder struct {
	mu      sync.Mutex // guards what follows
	events  []relink.Event
	within  bool
	overlap bool
	answer  error
	shout   any // panics with it
}

func (r *recorder) OnEvent(e *relink.Event) error {
	r.mu.Lock()
	r.overlap = r.overlap || r.within
	r.within = true
	r.events = append(r.events, *e)
	answer, shout := r.answer, r.shout
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.within = false
		r.mu.Unlock()
	}()
	if shout != nil {
		panic(shout)
	}
	return answer
}

func (r *recorder) kinds() (kinds []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// TestCuts sends a stream through cuts, networks that change, and two transports.
func TestCuts(t *testing.T) {
	const block, blocks = 4000, 60
	cert, root := certificate(t)
	for _, transport := range []string{relink.TransportTCP, relink.TransportTLS} {
		t.Run(transport, func(t *testing.T) {
			s := serve(t, listen(t, transport, cert))
			conn := dial(t, s.configOver(t, transport, root))
			listener := &recorder{}
			require.NoError(t, conn.SetListener(listener))
			require.Equal(t, "connected", conn.State())
			for i := range blocks {
				sent := randomBytes(t, block)
				require.NoError(t, conn.Write(sent))
				switch i % 3 {
				case 0:
					s.relay.Cut(faultnet.Reset)
				case 1:
					require.NoError(t, conn.NetworkChanged())
				}
				require.True(t, bytes.Equal(sent, readFull(t, conn, block)), "block %d", i)
			}
			stats := conn.Stats()
			require.EqualValues(t, block*blocks, stats.BytesRead)
			require.EqualValues(t, block*blocks, stats.BytesWritten)
			require.Positive(t, stats.Resumes)
			require.NoError(t, conn.CloseWrite())
			_, err := conn.Read(1)
			requireCode(t, relink.CodeEnd, err)
			requireCode(t, relink.CodeArgument, conn.CloseWait(0))
			require.NoError(t, conn.CloseWait(10_000))
			_, err = conn.Read(1)
			requireCode(t, relink.CodeClosed, err)
			requireCode(t, relink.CodeClosed, conn.Write([]byte("x")))
			require.Equal(t, "closed", conn.State())

			eventually(t, "the last event is closed", func() bool {
				kinds := listener.kinds()
				return len(kinds) > 0 && kinds[len(kinds)-1] == relink.EventClosed
			})
			kinds := listener.kinds()
			require.Equal(t, relink.EventOpened, kinds[0]) // although it came before SetListener
			require.Contains(t, kinds, relink.EventResumed)
			require.False(t, listener.overlap)
			require.Equal(t, conn.SessionID(), listener.events[0].Session)
		})
	}
}

// TestListenerThrows: what a listener throws, or panics with, harms nothing.
func TestListenerThrows(t *testing.T) {
	for name, listener := range map[string]*recorder{
		"an error": {answer: errors.New("java.lang.IllegalStateException")},
		"a panic":  {shout: "no such view"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, nil)
			conn := dial(t, s.config(t))
			require.NoError(t, conn.SetListener(listener))
			s.relay.Cut(faultnet.Reset)
			require.NoError(t, conn.Write([]byte("hello")))
			require.Equal(t, "hello", string(readFull(t, conn, 5)))
			eventually(t, "it was called for opened, suspended, resuming and resumed", func() bool { return conn.Stats().ListenerErrors >= 4 })
			require.NoError(t, conn.ClearListener())
		})
	}
}

type binder struct {
	mu     sync.Mutex // guards what follows
	fds    []int32
	answer error
}

func (b *binder) BindSocket(fd int32) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fds = append(b.fds, fd)
	return b.answer
}

func (b *binder) set(err error) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = err
	return len(b.fds)
}

func TestSocketBinder(t *testing.T) {
	s := serve(t, nil)
	c := s.config(t)
	requireCode(t, relink.CodeArgument, c.SetSocketBinder(nil))
	requireCode(t, relink.CodeArgument, c.SetSocketBinder((*binder)(nil)))
	b := &binder{answer: errors.New("java.io.IOException: no such network")}
	require.NoError(t, c.SetSocketBinder(b))
	_, err := relink.Dial(c)
	requireCode(t, relink.CodeBind, err)
	require.ErrorContains(t, err, "no such network")

	b.set(nil)
	conn := dial(t, c)
	before := b.set(nil)
	require.NoError(t, conn.NetworkChanged())
	eventually(t, "a resume calls the binder", func() bool { return conn.Stats().Resumes > 0 })
	require.Greater(t, b.set(nil), before)
	require.Positive(t, b.fds[0])
}

// TestTwoAddresses: the second address is used where the first does not answer.
func TestTwoAddresses(t *testing.T) {
	s := serve(t, nil)
	closed := listenTCP(t)
	require.NoError(t, closed.Close())
	c := relink.NewConfig()
	require.NoError(t, c.SetSuite(relink.SuiteNoise))
	require.NoError(t, c.AddServerKey(s.key.PublicKey().String()))
	require.NoError(t, c.AddAddress(relink.TransportTCP, closed.Addr().String()))
	_, err := relink.Dial(c)
	requireCode(t, relink.CodeNetwork, err)
	require.NoError(t, c.AddAddress(relink.TransportTCP, s.relay.Addr()))
	conn := dial(t, c)
	require.Equal(t, s.relay.Addr(), conn.RemoteAddress())
}

func TestTimeouts(t *testing.T) {
	s := serve(t, nil)
	c := s.config(t)
	require.NoError(t, c.SetReplayLimit(core.MinReplayLimit))
	conn := dial(t, c)
	requireCode(t, relink.CodeArgument, conn.SetReadTimeout(-1))
	require.NoError(t, conn.SetReadTimeout(1))
	_, err := conn.Read(10)
	requireCode(t, relink.CodeTimeout, err)
	require.NoError(t, conn.SetReadTimeout(0))
	require.NoError(t, conn.Write([]byte("late")))
	require.Equal(t, "late", string(readFull(t, conn, 4)))

	s.relay.Stall(faultnet.Up)
	require.NoError(t, conn.SetWriteTimeout(50))
	for err = nil; err == nil; {
		err = conn.Write(make([]byte, core.MinReplayLimit))
	}
	requireCode(t, relink.CodeTimeout, err)
	require.Zero(t, conn.Room())
	requireCode(t, relink.CodeNoRoom, conn.TryWrite(make([]byte, 10)))
	requireCode(t, relink.CodeUndelivered, conn.Flush(1))
	requireCode(t, relink.CodeUndelivered, conn.CloseWait(1))
}

// TestRefused: errors of dialling, each with its code.
func TestRefused(t *testing.T) {
	s := serve(t, nil)
	wrong := relink.NewConfig()
	require.NoError(t, wrong.SetSuite(relink.SuiteNoise))
	require.NoError(t, wrong.AddServerKey(core.GenerateKey().PublicKey().String()))
	require.NoError(t, wrong.AddAddress(relink.TransportTCP, s.relay.Addr()))
	_, err := relink.Dial(wrong)
	requireCode(t, relink.CodeAuthentication, err)

	mute := listenTCP(t)
	defer mute.Close()
	quiet := s.config(t)
	require.NoError(t, quiet.SetDialTimeout(20))
	s.relay.SetTarget(mute.Addr().String())
	_, err = relink.Dial(quiet)
	requireCode(t, relink.CodeTimeout, err)
}

// TestSessionEnds: the server ends the session while the device is away.
func TestSessionEnds(t *testing.T) {
	s := serve(t, nil)
	conn := dial(t, s.config(t))
	require.NoError(t, conn.Write([]byte("x")))
	readFull(t, conn, 1)
	for session := range s.listener.Sessions() {
		require.NoError(t, session.Abort())
	}
	_, err := conn.Read(1)
	requireCode(t, relink.CodeLost, err)

	c := s.config(t)
	require.NoError(t, c.SetResumeTimeout(20))
	conn = dial(t, c)
	require.NoError(t, s.relay.Close())
	_, err = conn.Read(1)
	requireCode(t, relink.CodeExpired, err)
}

// TestIdentity: what a client says of itself arrives, and the server may not want it.
func TestIdentity(t *testing.T) {
	s := serve(t, nil)
	c := s.config(t)
	key := core.GenerateKey()
	require.NoError(t, c.SetClientKey(key.EncodeSecret()))
	require.NoError(t, c.SetTargetServer("arena"))
	conn := dial(t, c)
	require.NoError(t, conn.Write([]byte("x")))
	readFull(t, conn, 1)
	for session := range s.listener.Sessions() {
		require.Equal(t, key.PublicKey(), session.Identity().ClientKey)
		require.Equal(t, "arena", session.Identity().Target)
	}
	require.Equal(t, 1, s.listener.Revoke(key.PublicKey()))
	_, err := conn.Read(1)
	requireCode(t, relink.CodeDenied, err)
}

// TestVigilance: a silent loss is suspected unless that is switched off, which can be changed while the
// session lives.
func TestVigilance(t *testing.T) {
	s := serve(t, nil)
	silence := func(c *relink.Config, change string) []string {
		t.Helper()
		require.NoError(t, c.SetVigilance(relink.VigilanceOff))
		conn := dial(t, c)
		if change != "" {
			require.NoError(t, conn.SetVigilance(change))
		}
		listener := &recorder{}
		require.NoError(t, conn.SetListener(listener))
		require.NoError(t, conn.Write([]byte("a")))
		require.Equal(t, "a", string(readFull(t, conn, 1)))
		s.relay.Cut(faultnet.BlackHole)
		require.NoError(t, conn.Write([]byte("b")))
		require.Equal(t, "b", string(readFull(t, conn, 1)))
		requireCode(t, relink.CodeArgument, conn.SetVigilance("asleep"))
		require.NoError(t, conn.Abort())
		require.NoError(t, conn.SetVigilance(relink.VigilanceBackground)) // it has ended
		eventually(t, "the last event is closed", func() bool { return slices.Contains(listener.kinds(), relink.EventClosed) })
		return listener.kinds()
	}
	quick := s.config(t)
	require.NoError(t, quick.SetLivenessTimeout(1000))
	require.NotContains(t, silence(quick, ""), relink.EventSuspected)
	require.Contains(t, silence(s.config(t), relink.VigilanceForeground), relink.EventSuspected)
}

func TestClassicCannotHalfClose(t *testing.T) {
	s := serve(t, nil)
	c := relink.NewConfig()
	require.NoError(t, c.SetSuite(relink.SuiteDH64RC4))
	require.NoError(t, c.AddAddress(relink.TransportTCP, s.relay.Addr()))
	conn := dial(t, c)
	requireCode(t, relink.CodeUnsupported, conn.CloseWrite())
	require.NoError(t, conn.Write([]byte("x")))
	require.Equal(t, "x", string(readFull(t, conn, 1)))
}

// TestMistakes: what an app can get wrong is an error that says so.
func TestMistakes(t *testing.T) {
	s := serve(t, nil)
	key := s.key.PublicKey().String()
	ok := func(c *relink.Config, errs ...error) *relink.Config {
		t.Helper()
		for _, err := range errs {
			require.NoError(t, err)
		}
		return c
	}
	c := relink.NewConfig()
	for name, err := range map[string]error{
		"suite":          c.SetSuite("tls"),
		"key":            c.AddServerKey("not a key"),
		"no key":         c.AddServerKey(""),
		"client key":     c.SetClientKey("not a key"),
		"transport":      c.AddAddress("quic", "127.0.0.1:1"),
		"no port":        c.AddAddress("tcp", "example.org"),
		"no host":        c.AddAddress("tcp", ":1"),
		"roots":          c.SetTLSRoots([]byte("no PEM")),
		"null roots":     c.SetTLSRoots(nil),
		"replay limit":   c.SetReplayLimit(1),
		"huge limit":     c.SetReplayLimit(1 << 62),
		"resume timeout": c.SetResumeTimeout(0),
		"overflow":       c.SetDialTimeout(1 << 62),
		"negative":       c.SetCloseTimeout(-5),
		"handshake":      c.SetHandshakeTimeout(0),
		"attempt":        c.SetAttemptTimeout(0),
		"liveness":       c.SetLivenessTimeout(5),
		"backoff":        c.SetBackoff(10, 5),
		"vigilance":      c.SetVigilance("asleep"),
		"no vigilance":   c.SetVigilance(""),
		"no backoff":     c.SetBackoff(0, 5),
		"proxy conns":    c.SetProxyConns(0),
	} {
		t.Run(name, func(t *testing.T) { requireCode(t, relink.CodeArgument, err) })
	}
	require.NoError(t, c.SetLivenessTimeout(-1))
	require.NoError(t, c.SetLivenessTimeout(1000))

	for name, config := range map[string]*relink.Config{
		"null":          nil,
		"empty":         relink.NewConfig(),
		"zero":          {},
		"no server key": ok(func() (*relink.Config, error) { c := relink.NewConfig(); return c, c.SetSuite(relink.SuiteNoise) }()),
		"no address": ok(func() (*relink.Config, error) {
			c := relink.NewConfig()
			return c, errors.Join(c.SetSuite(relink.SuiteNoise), c.AddServerKey(key))
		}()),
		"client key unused": ok(func() (*relink.Config, error) {
			c := relink.NewConfig()
			return c, errors.Join(c.SetSuite(relink.SuiteInsecureNoise), c.SetClientKey(core.GenerateKey().EncodeSecret()))
		}()),
		"target unused": ok(func() (*relink.Config, error) {
			c := relink.NewConfig()
			return c, errors.Join(c.SetSuite(relink.SuiteDH64RC4), c.SetTargetServer("arena"))
		}()),
		"key not looked": ok(func() (*relink.Config, error) { c := s.config(t); return c, c.SetSuite(relink.SuiteInsecureNoise) }()),
		"target": ok(func() (*relink.Config, error) {
			c := relink.NewConfig()
			return c, errors.Join(c.SetSuite(relink.SuiteSCP), c.SetTargetServer("a b"), c.AddAddress("tcp", "127.0.0.1:1"))
		}()),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := relink.Dial(config)
			requireCode(t, relink.CodeArgument, err)
			_, err = relink.StartProxy(config)
			requireCode(t, relink.CodeArgument, err)
		})
	}

	full := s.config(t)
	requireCode(t, relink.CodeArgument, full.AddAddress(relink.TransportTCP, s.relay.Addr()))
	for range 3 {
		require.NoError(t, full.AddServerKey(key))
	}
	requireCode(t, relink.CodeArgument, full.AddServerKey(key))

	conn := dial(t, s.config(t))
	for _, n := range []int64{0, -1, relink.MaxBuffer + 1, 1 << 62} {
		_, err := conn.Read(n)
		requireCode(t, relink.CodeArgument, err)
	}
	for _, data := range [][]byte{nil, {}, make([]byte, relink.MaxBuffer+1)} {
		requireCode(t, relink.CodeArgument, conn.Write(data))
		requireCode(t, relink.CodeArgument, conn.TryWrite(data))
	}
	requireCode(t, relink.CodeArgument, conn.SetListener(nil))
	requireCode(t, relink.CodeArgument, conn.SetListener((*recorder)(nil)))
	require.NoError(t, conn.Write([]byte("still there")))
	require.Equal(t, "still there", string(readFull(t, conn, 11)))
}

// TestZeroValues: the bindings let an app make a Conn or a LocalProxy of its own.
func TestZeroValues(t *testing.T) {
	for _, conn := range []*relink.Conn{nil, {}} {
		_, err := conn.Read(1)
		for _, err := range []error{
			err, conn.Write([]byte("x")), conn.TryWrite([]byte("x")), conn.CloseWrite(), conn.Close(), conn.CloseWait(1),
			conn.Flush(1), conn.Abort(), conn.NetworkChanged(), conn.SetListener(&recorder{}), conn.ClearListener(),
			conn.SetReadTimeout(1), conn.SetWriteTimeout(1),
			conn.SetVigilance(relink.VigilanceOff),
		} {
			requireCode(t, relink.CodeArgument, err)
		}
		require.Equal(t, relink.StateNone, conn.State())
		require.Empty(t, conn.SessionID()+conn.RemoteAddress())
		require.Zero(t, conn.Room())
		require.Zero(t, *conn.Stats())
	}
	for _, proxy := range []*relink.LocalProxy{nil, {}} {
		for _, err := range []error{proxy.SetListener(&recorder{}), proxy.ClearListener(), proxy.NetworkChanged(), proxy.Close()} {
			requireCode(t, relink.CodeArgument, err)
		}
		require.Empty(t, proxy.Address()+proxy.SocketPath())
		require.Zero(t, proxy.Port())
		require.Zero(t, *proxy.Stats())
	}
	requireCode(t, relink.CodeInternal, (*relink.Config)(nil).SetSuite("noise")) // a panic that was caught
	require.Contains(t, relink.LastPanic(), "nil pointer")
}

func TestErrorCode(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "timeout": "", "[relink:": "", "[relink:end] the end": relink.CodeEnd,
		"go.Universe$proxyerror: [relink:lost] gone": relink.CodeLost,
	} {
		require.Equal(t, want, relink.ErrorCode(text), text)
	}
}
