package gaptest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/hang"
)

// A suite is both sides of one.
type suite struct {
	name   string
	server relink.ServerSuite
	client relink.ClientSuite
	noise  bool // it acknowledges, half-closes and pings
}

var suites = func() []suite {
	key := relink.GenerateKey()
	return []suite{
		{"Noise", relink.NoiseServer{Keys: []relink.PrivateKey{key}}, relink.NoiseClient{ServerKeys: []relink.PublicKey{key.PublicKey()}}, true},
		{"DH64RC4", relink.DH64RC4Server{}, relink.DH64RC4Client{}, false},
		{"SCP", relink.SCPServer{}, relink.SCPClient{}, false},
		{"InsecureNoise", relink.InsecureNoiseServer{}, relink.InsecureNoiseClient{}, true},
		{"DH64RC4-clear", relink.DH64RC4Server{ClearStream: true}, relink.DH64RC4Client{ClearStream: true}, false},
		{"SCP-clear", relink.SCPServer{ClearStream: true}, relink.SCPClient{ClearStream: true}, false},
	}
}()

// The settings of both sides. The limits in time are the defaults.
const (
	pathBuffer     = 32 << 10
	replayLimit    = 128 << 10
	attemptTimeout = 5 * time.Second
	closeTimeout   = 5 * time.Second
	handshakeTime  = 10 * time.Second
	livenessTime   = 15 * time.Second
	resumeTimeout  = 2 * time.Minute
)

// A world is a network with a listener and a session, and what was done to them.
type world struct {
	t      testing.TB
	suite  suite
	kind   kind
	gate   *gate
	net    *faultnet.Network
	l      *relink.Listener
	inner  net.Listener
	ends   [2]*end
	raw    []net.Conn     // of nobody's session
	others []*relink.Conn // ends of other sessions

	configure func(*relink.ListenConfig) // what is special about the server; nil changes nothing

	dialled  int            // how often before the scenario
	rest     []byte         // what copies of it lack
	recorded []byte         // what a client sent to resume
	hole     *faultnet.Path // that swallows everything, or nil
	silent   *faultnet.Path // that brings nothing for a while, or nil
	spoke    bool           // it has brought an answer, and there was no other link

	facts facts

	suspicions atomic.Int32

	mu      sync.Mutex // guards the rest
	calls   []*call
	strange []*faultnet.Path // of nobody's session
}

// inWorld runs f in a bubble, watched.
func inWorld(t *testing.T, s suite, k kind, f func(w *world)) {
	t.Helper()
	inConfiguredWorld(t, s, k, nil, f)
}

// inConfiguredWorld is inWorld with a listener that has other settings.
func inConfiguredWorld(t *testing.T, s suite, k kind, configure func(*relink.ListenConfig), f func(w *world)) {
	t.Helper()
	w := &world{suite: s, kind: k, configure: configure}
	stop := func() {}
	if !direct() { // elsewhere other tests may run meanwhile
		stop = hang.Watch(time.Minute, w.describe)
	}
	defer stop()
	defer func() {
		if p := recover(); p != nil { // a bubble that can never go on
			t.Errorf("%v\n%s", p, w.describe())
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		w.t = t
		// Its time goes on as long as anything ticks.
		endless := time.AfterFunc(24*time.Hour, func() { panic("a day has passed and it is not over\n" + w.describe() + hang.Stacks()) })
		defer endless.Stop()
		t.Cleanup(w.leave)
		w.build()
		f(w)
	})
}

// describe says all there is to know of a world that nobody changes any more.
func (w *world) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "suite %v, transports %v, %v\n", w.suite.name, w.kind, w.facts)
	for _, e := range w.ends {
		if e != nil && e.Conn != nil {
			fmt.Fprintf(&b, "%v: has written %d and read %d: %s\n", e.role, e.planned, e.got, hang.Describe(e.Conn))
		}
	}
	for _, c := range w.all() {
		fmt.Fprintf(&b, "%v\n", c)
	}
	return b.String()
}

// requires fails the test if something is not as it must be, and then says all there is
// to know.
func (w *world) requires(is bool, format string, a ...any) {
	w.t.Helper()
	if !is {
		require.FailNow(w.t, fmt.Sprintf(format, a...), "%s", w.describe())
	}
}

// build makes the network and the listener.
func (w *world) build() {
	w.gate = new(gate)
	w.net = faultnet.New()
	w.net.SetOptions(faultnet.Options{Buffer: pathBuffer, Opaque: w.kind == opaque})
	for _, r := range []role{client, server} {
		w.ends[r] = &end{w: w, role: r, turn: make(chan struct{}, 1)}
	}
	w.l = w.listen()
}

func (w *world) listen() *relink.Listener {
	cfg := relink.ListenConfig{
		Config: relink.Config{ReplayLimit: replayLimit},
		Suites: []relink.ServerSuite{w.suite.server},
		Authorize: func(context.Context, relink.Attempt) error {
			defer w.gate.passing(server, "Authorize")()
			return nil
		},
	}
	cfg.OnEvent = w.onEvent(server)
	if w.configure != nil {
		w.configure(&cfg)
	}
	w.inner = listener{w.net.Listen(), w.gate, w.kind}
	l, err := relink.NewListener(w.inner, cfg)
	require.NoError(w.t, err)
	return l
}

// replaceListener ends the server, as a process that ends does, and begins another.
func (w *world) replaceListener() {
	require.NoError(w.t, w.l.Close())
	w.l = w.listen()
}

// onEvent returns a side's OnEvent, which is behind the gate and notes what must not happen
// by itself.
func (w *world) onEvent(side role) func(relink.Event) {
	return func(e relink.Event) {
		defer w.gate.passing(side, "OnEvent")()
		if e.Kind == relink.EventSuspected {
			w.suspicions.Add(1)
		}
	}
}

// dialSession opens a session.
func (w *world) dialSession() (*relink.Conn, error) {
	d := relink.Dialer{
		Config: relink.Config{ReplayLimit: replayLimit, OnEvent: w.onEvent(client)}, Suite: w.suite.client,
		DialTransport: w.gate.dial(w.net, w.kind),
		Vigilance:     relink.VigilanceOff, // what is held is to stay held
	}
	if w.kind == wary {
		d.Vigilance = relink.VigilanceForeground
	}
	return d.DialConn(context.Background(), "tcp", "server")
}

// dial opens the client's end.
func (w *world) dial() error {
	c, err := w.dialSession()
	if err == nil {
		w.ends[client].Conn = c
	}
	return err
}

// accept waits for the server's end.
func (w *world) accept() error {
	c, err := w.l.AcceptConn()
	if err == nil {
		w.ends[server].Conn = c
	}
	return err
}

// open opens the session and uses it.
func (w *world) open() {
	require.NoError(w.t, w.dial())
	require.NoError(w.t, w.accept())
	w.exchange(100)
}

// record resumes the session once, and keeps what the client sent.
func (w *world) record() {
	resumes := w.ends[server].Stats().Resumes
	w.net.OnDial(func(_ int, p *faultnet.Path) error { p.Record(); return nil })
	w.ends[client].NetworkChanged()
	time.Sleep(100 * time.Millisecond) // SCP's quiet
	synctest.Wait()
	require.Greater(w.t, w.ends[server].Stats().Resumes, resumes)
	w.recorded = w.path().Bytes(faultnet.Up)
	w.exchange(100)
}

// path returns the newest path that the client has dialled.
func (w *world) path() *faultnet.Path {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range slices.Backward(w.net.Paths()) {
		if !slices.Contains(w.strange, p) {
			return p
		}
	}
	return nil
}

// dials returns how many paths the client has dialled.
func (w *world) dials() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.net.Paths()) - len(w.strange)
}

// exchange proves that both directions work.
func (w *world) exchange(n int) {
	for _, e := range w.ends {
		e.start(writes, "exchange", func() (int, error) { return e.write(scenarioLane, n) })
	}
	synctest.Wait() // until it is known how much there is to read
	for _, e := range w.ends {
		require.NoError(w.t, e.SetReadDeadline(time.Now().Add(time.Minute)))
		for e.missing() > 0 {
			_, err := e.read(4096)
			require.NoError(w.t, err, "%v", e.role)
		}
		require.NoError(w.t, e.SetReadDeadline(time.Time{}))
	}
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = nil
}

// all returns the calls so far.
func (w *world) all() []*call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

// leave ends everything, also after a failure, so that the bubble can end.
func (w *world) leave() {
	w.gate.open()
	for _, c := range w.others {
		_ = c.Abort()
	}
	for _, e := range w.ends {
		if e.Conn != nil {
			_ = e.Abort()
		}
	}
	_ = w.l.Close()
	for _, c := range w.raw {
		_ = c.Close()
	}
	for _, p := range w.net.Paths() {
		p.Cut(faultnet.ResetNow)
	}
}

// requireNothingLeft requires that nothing is left of the library once both ends
// are over and the listener is closed.
func (w *world) requireNothingLeft() {
	w.t.Helper()
	time.Sleep(2 * time.Second) // for last words, and the listener's sweeper
	synctest.Wait()
	for _, e := range w.ends {
		if e.Conn != nil {
			require.Zero(w.t, e.Stats().Memory, "%v", e.role)
			require.Equal(w.t, relink.StateClosed, e.State())
		}
	}
	s := w.l.Stats()
	require.Zero(w.t, s.Connected+s.Suspended+s.Handshakes+s.Provisional, "%+v", s)
	for _, c := range w.all() {
		require.True(w.t, c.over(), "it has not returned: %v", c)
	}
	all := strings.Split(hang.Stacks(), "\n\n")
	own := bubbleName.FindStringSubmatch(all[0])
	require.NotNil(w.t, own)
	for _, g := range all[1:] {
		if m := bubbleName.FindStringSubmatch(g); m != nil && m[1] == own[1] && strings.Contains(g, "github.com/relink-go/relink.(") {
			require.FailNow(w.t, "a goroutine is left", "%s", g)
		}
	}
	for _, c := range w.raw {
		_ = c.Close()
	}
	require.Zero(w.t, w.net.Open(), "transports are left open")
}

// bubbleName is how a stack names the bubble of its goroutine.
var bubbleName = regexp.MustCompile(`^goroutine \d+ .*(synctest bubble \d+)`)

// An end is one end of the session, and its place in both streams. A byte says to which of
// some lanes of its stream it belongs, and a little of where: within a lane one
// Write follows the other, while those of different lanes come in any order.
type end struct {
	*relink.Conn
	w    *world
	role role

	turn chan struct{} // holds a token while a Read is under way

	mu      sync.Mutex   // guards the counts
	planned [lanes]int64 // what it has written, or is writing
	got     [lanes]int64 // what it has read
}

// The lanes of a stream.
const (
	scenarioLane = iota
	actionLane
	lastLane
	lanes
)

// peer is the other end.
func (e *end) peer() *end { return e.w.ends[e.role.other()] }

// missing returns how much of the peer's stream it has not read.
func (e *end) missing() (n int64) {
	e.peer().mu.Lock()
	for _, k := range e.peer().planned {
		n += k
	}
	e.peer().mu.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, k := range e.got {
		n -= k
	}
	return n
}

// byteAt is the byte of a role's lane at an offset.
func (r role) byteAt(lane int, offset int64) byte {
	x := (uint64(offset) + 1) * 0x9e3779b97f4a7c15
	return byte(lane)<<6 | (byte(x>>58)^byte(x>>31)^byte(21*r))&63
}

// next takes the next n bytes of a lane.
func (e *end) next(lane, n int) []byte {
	e.mu.Lock()
	start := e.planned[lane]
	e.planned[lane] += int64(n)
	e.mu.Unlock()
	b := make([]byte, n)
	for i := range b {
		b[i] = e.role.byteAt(lane, start+int64(i))
	}
	return b
}

// fellShort says that the last n bytes of a lane were not written.
func (e *end) fellShort(lane, n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.planned[lane] -= int64(n)
}

// write writes the next n bytes of a lane, in which nobody else writes meanwhile.
func (e *end) write(lane, n int) (int, error) {
	k, err := e.Write(e.next(lane, n))
	e.fellShort(lane, n-k)
	return k, err
}

// tryWrite is TryWrite of the next n bytes.
func (e *end) tryWrite(lane, n int) (int, error) {
	ok, err := e.TryWrite(e.next(lane, n))
	if !ok {
		e.fellShort(lane, n)
		return 0, err
	}
	return n, err
}

// read reads and checks up to n bytes, behind other calls of it.
func (e *end) read(n int) (int, error) {
	e.turn <- struct{}{}
	defer func() { <-e.turn }()
	return e.readNow(n)
}

func (e *end) readNow(n int) (int, error) {
	b := make([]byte, n)
	n, err := e.Read(b)
	if wrong := e.check(b[:n]); wrong != nil {
		return n, wrong
	}
	return n, err
}

// check takes what was read.
func (e *end) check(b []byte) error {
	e.mu.Lock()
	for i, k := range b {
		lane := int(k >> 6)
		if lane >= lanes || k != e.peer().role.byteAt(lane, e.got[lane]) {
			e.mu.Unlock()
			return fmt.Errorf("%w: byte %d of %d of this Read, after %v bytes of the lanes", errDiffers, i, len(b), e.got)
		}
		e.got[lane]++
	}
	e.mu.Unlock()
	if more := -e.missing(); more > 0 {
		return fmt.Errorf("%w: %d bytes more were read than written", errDiffers, more)
	}
	return nil
}

// drain reads until everything was read, or to the end.
func (e *end) drain(toEnd bool) error {
	for {
		e.turn <- struct{}{}
		if !toEnd && e.missing() <= 0 { // another Read may have taken it
			<-e.turn
			return nil
		}
		_, err := e.readNow(8 << 10)
		<-e.turn
		if err != nil {
			return err
		}
	}
}

var errDiffers = errors.New("the stream differs")

// A call is one of the application in the background.
type call struct {
	name  string
	end   *end // on whose Conn, or nil
	obeys dir  // whose deadline
	at    time.Time

	mu    sync.Mutex
	took  time.Duration
	n     int
	err   error
	ended bool
}

func (c *call) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

func (c *call) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		return c.name + ": under way"
	}
	return fmt.Sprintf("%s: %d, %v, after %v", c.name, c.n, c.err, c.took)
}

// start begins a call that belongs to no end.
func (w *world) start(name string, f func() (int, error)) *call { return w.begun(&call{name: name}, f) }

// start begins a call of an end, which obeys its deadline for reading, for writing, or
// none.
func (e *end) start(obeys dir, name string, f func() (int, error)) *call {
	return e.w.begun(&call{name: e.role.String() + ": " + name, end: e, obeys: obeys}, f)
}

// A dir is a direction that has a deadline.
type dir int

const (
	none dir = iota
	reads
	writes
)

func (w *world) begun(c *call, f func() (int, error)) *call {
	c.at = time.Now()
	w.mu.Lock()
	w.calls = append(w.calls, c)
	w.mu.Unlock()
	go func() {
		n, err := f()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.took, c.n, c.err, c.ended = time.Since(c.at), n, err, true
	}()
	return c
}

// isTyped reports whether errors.Is can tell an error from others.
func isTyped(err error) bool {
	for _, e := range []error{
		io.EOF, net.ErrClosed, context.Canceled, context.DeadlineExceeded,
		relink.ErrSessionLost, relink.ErrExpired, relink.ErrDenied, relink.ErrPeerClosed, relink.ErrHandshakeTimeout,
		relink.ErrBusy, relink.ErrUnknownSession, relink.ErrSuperseded, relink.ErrTooManySessions,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	var op *net.OpError
	return errors.As(err, &op)
}
