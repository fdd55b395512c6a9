package abuse

import (
	"context"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
)

// A suiteOf is a suite as both sides use it. What differs only in its options
// cannot be told apart on one port, and so there are two.
type suiteOf struct {
	name   string
	port   int
	client func(relink.PublicKey) relink.ClientSuite
	server func(relink.PrivateKey) relink.ServerSuite
}

const ports = 2

var suites = []suiteOf{
	{
		"Noise", 0,
		func(k relink.PublicKey) relink.ClientSuite {
			return relink.NoiseClient{ServerKeys: []relink.PublicKey{k}}
		},
		func(k relink.PrivateKey) relink.ServerSuite { return relink.NoiseServer{Keys: []relink.PrivateKey{k}} },
	},
	{
		"InsecureNoise", 1,
		func(relink.PublicKey) relink.ClientSuite { return relink.InsecureNoiseClient{} },
		func(relink.PrivateKey) relink.ServerSuite { return relink.InsecureNoiseServer{} },
	},
	{
		"DH64RC4", 0,
		func(relink.PublicKey) relink.ClientSuite { return relink.DH64RC4Client{} },
		func(relink.PrivateKey) relink.ServerSuite { return relink.DH64RC4Server{} },
	},
	{
		"DH64RC4, clear", 1,
		func(relink.PublicKey) relink.ClientSuite { return relink.DH64RC4Client{ClearStream: true} },
		func(relink.PrivateKey) relink.ServerSuite { return relink.DH64RC4Server{ClearStream: true} },
	},
	{
		"SCP", 0,
		func(relink.PublicKey) relink.ClientSuite { return relink.SCPClient{} },
		func(relink.PrivateKey) relink.ServerSuite { return relink.SCPServer{} },
	},
}

// A scale is how large a run is.
type scale struct {
	full          bool
	rounds        int
	phase         time.Duration // of measuring, twice a round
	workers       int
	slow          int // connections that are held open
	slowRate      int // of them opened a second
	maxHandshakes int
	timeout       time.Duration // HandshakeTimeout
}

// scaleOf returns the scale that the environment asks for.
func scaleOf() scale {
	if os.Getenv("RELINK_ABUSE") == "full" {
		return scale{true, 7, 3 * time.Second, 32, 10_000, 4000, 4096, 10 * time.Second}
	}
	return scale{false, 3, 250 * time.Millisecond, 8, 900, 2500, 300, 2 * time.Second}
}

const (
	victimsPerSuite = 10

	// What the server's heap and stacks may grow by during an attack: this much
	// for each handshake that may be under way, and a constant for whatever
	// comes and goes. Buffers of the kernel are not in it.
	bytesPerHandshake = 16 << 10
	bytesBeside       = 12 << 20

	// What may be left when all is closed. The runtime keeps what describes a
	// goroutine for the next one.
	bytesLeft     = 4 << 20
	goneGoroutine = 1 << 10
)

// An arena is a server with its victims: sessions that echo, and that must not
// notice what else is going on.
type arena struct {
	t         *testing.T
	scale     scale
	public    relink.PublicKey
	listeners [ports]*relink.Listener
	accepted  atomic.Int64 // transports, of both listeners
	tally     tally
	sink      *sink
	enemy     *enemy
	victims   []*victim
	serving   sync.WaitGroup
	before    footprint

	mu    sync.Mutex // guards conns
	conns map[*relink.Conn]bool
}

// A footprint is what the process holds.
type footprint struct {
	memory            int64 // live heap and stacks
	goroutines, files int
}

func footprintNow() footprint {
	runtime.GC()
	runtime.GC() // what sync.Pools hold is free after the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	f := footprint{memory: int64(m.HeapAlloc + m.StackInuse), goroutines: runtime.NumGoroutine()}
	if d, err := os.ReadDir("/proc/self/fd"); err == nil {
		f.files = len(d)
	}
	return f
}

// newArena opens the listeners and the victims' sessions.
func newArena(t *testing.T, change func(*relink.ListenConfig)) *arena {
	t.Helper()
	a := &arena{t: t, scale: scaleOf(), conns: make(map[*relink.Conn]bool)}
	a.enemy = newEnemy(t)
	a.before = footprintNow()
	private := relink.GenerateKey()
	a.public = private.PublicKey()
	for port := range ports {
		cfg := relink.ListenConfig{
			MaxHandshakes: a.scale.maxHandshakes,
			Config:        relink.Config{HandshakeTimeout: a.scale.timeout, OnEvent: a.tally.event, ReplayLimit: 64 << 10},
		}
		for _, s := range suites {
			if s.port == port {
				cfg.Suites = append(cfg.Suites, s.server(private))
			}
		}
		if change != nil {
			change(&cfg)
		}
		inner, err := net.Listen("tcp4", "127.0.0.1:0")
		require.NoError(t, err)
		a.listeners[port], err = relink.NewListener(&counting{inner, &a.accepted}, cfg)
		require.NoError(t, err)
		a.serving.Go(func() { a.serve(a.listeners[port]) })
	}
	a.sink = newSink(t)
	for i := range victimsPerSuite * len(suites) {
		a.victims = append(a.victims, a.newVictim(suites[i%len(suites)], i))
	}
	return a
}

// counting counts what is accepted.
type counting struct {
	net.Listener
	n *atomic.Int64
}

func (c *counting) Accept() (net.Conn, error) {
	t, err := c.Listener.Accept()
	if err == nil {
		c.n.Add(1)
	}
	return t, err
}

func (a *arena) address(port int) string { return a.listeners[port].Addr().String() }

// password is what a session has to say first. Clients prove nothing to the
// suites; they log in inside the stream.
const password = "open the door"

// loginTimeout is how long a session may take to log in. It is longer than an
// attack.
const loginTimeout = 20 * time.Second

// serve is the server's application: an echo for those who log in.
func (a *arena) serve(l *relink.Listener) {
	for {
		c, err := l.AcceptConn()
		if err != nil {
			return
		}
		a.serving.Go(func() {
			defer c.Close()
			a.mu.Lock()
			a.conns[c] = true
			a.mu.Unlock()
			defer func() {
				a.mu.Lock()
				defer a.mu.Unlock()
				delete(a.conns, c)
			}()
			said := make([]byte, len(password))
			_ = c.SetReadDeadline(time.Now().Add(loginTimeout))
			if _, err := io.ReadFull(c, said); err != nil || string(said) != password {
				_ = c.Abort()
				return
			}
			_ = c.SetReadDeadline(time.Time{})
			_, _ = io.Copy(c, c)
		})
	}
}

// A tally counts events.
type tally struct {
	kinds   [relink.EventClosed + 1]atomic.Int64
	dropped atomic.Int64
	delay   atomic.Int64 // how long an event is handled, in nanoseconds
}

func (t *tally) event(e relink.Event) {
	if d := t.delay.Load(); d > 0 {
		time.Sleep(time.Duration(d))
	}
	told := int64(1)
	if e.Refusals != nil {
		told = e.Refusals.Total()
	}
	t.kinds[e.Kind].Add(told)
	t.dropped.Add(int64(e.Dropped))
}

func (t *tally) of(k relink.EventKind) int64 { return t.kinds[k].Load() }

// requireEachCounted requires that since the counts were taken each transport
// that was accepted is accounted for: refused, or the beginning of a stranger's
// session. One event tells of the drops before it, so that one more handshake may
// be needed to hear of the last. Where sessions were opened, an event that was
// dropped may have told something else, as their end; then the count is exact as
// far as it goes.
func (a *arena) requireEachCounted(since ledger, opening bool) (refused int64) {
	a.t.Helper()
	var now ledger
	for deadline := time.Now().Add(30 * time.Second); ; {
		now = a.ledger()
		accepted, dropped := now.accepted-since.accepted, now.dropped-since.dropped
		told := now.told() - since.told()
		if told+dropped == accepted || opening && told <= accepted && accepted <= told+dropped {
			break
		}
		if time.Now().After(deadline) {
			require.Failf(a.t, "a transport is not counted, or more than once", "of %d transports %d are told of, and %d events were dropped",
				accepted, told, dropped)
		}
		time.Sleep(50 * time.Millisecond)
		for port := range ports {
			c, err := net.Dial("tcp4", a.address(port))
			require.NoError(a.t, err)
			_ = c.Close()
		}
		time.Sleep(100 * time.Millisecond)
	}
	return now.refused - since.refused + now.dropped - since.dropped
}

// A ledger is a state of the counts.
type ledger struct{ accepted, refused, opened, resumed, dropped int64 }

// told is of how many transports the events tell that have come. What was dropped
// in an attack that opens no session was a refusal as well.
func (l ledger) told() int64 { return l.refused + l.opened + l.resumed }

// settled returns the counts when the events have told of all transports so far:
// they come shortly after what they tell of.
func (a *arena) settled() ledger {
	a.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		l := a.ledger()
		if l.told()+l.dropped == l.accepted {
			return l
		}
		require.True(a.t, time.Now().Before(deadline), "the events do not tell of all: %+v", l)
	}
}

func (a *arena) ledger() ledger {
	return ledger{
		accepted: a.accepted.Load(), refused: a.tally.of(relink.EventRefused), opened: a.tally.of(relink.EventOpened),
		resumed: a.tally.of(relink.EventResumed), dropped: a.tally.dropped.Load(),
	}
}

// close ends everything and requires that nothing is left.
func (a *arena) close() {
	a.t.Helper()
	for _, v := range a.victims {
		v.stop()
	}
	// On the classic wires the server cannot know that they have gone for good.
	a.mu.Lock()
	for c := range a.conns {
		_ = c.Abort()
	}
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, l := range a.listeners {
		require.NoError(a.t, l.Shutdown(ctx), "sessions are left")
	}
	a.sink.close()
	a.serving.Wait()
	var f footprint
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if f = footprintNow(); f.goroutines <= a.before.goroutines && f.files <= a.before.files || time.Now().After(deadline) {
			break
		}
	}
	stacks := make([]byte, 64<<10)
	require.LessOrEqual(a.t, f.goroutines, a.before.goroutines, "%s", stacks[:runtime.Stack(stacks, true)])
	require.LessOrEqual(a.t, f.files, a.before.files)
	rest := int64(bytesLeft + goneGoroutine*2*ports*a.scale.maxHandshakes) // the library's, and the sink's
	require.Less(a.t, f.memory-a.before.memory, rest, "memory is left")
}

// median returns the middle one.
func median(v []float64) float64 {
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}
