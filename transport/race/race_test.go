package race_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/transport/transporttest"
	"github.com/relink-go/relink/transport/race"
)

const (
	defaultHeadStart = 250 * time.Millisecond // as the documentation has it
	defaultMemory    = 10 * time.Minute
)

// A road is what a way of a test does, and what became of it.
type road struct {
	after time.Duration // until it is dialled, or refused
	err   error         // what it is refused with
	mute  bool          // what is dialled brings nothing

	mu      sync.Mutex
	started []time.Duration // since start
	calls   []string
	opened  []net.Conn // the server's ends
	open    int
}

// A countedConn counts the open ends of a road.
type countedConn struct {
	net.Conn
	r    *road
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.r.mu.Lock(); c.r.open--; c.r.mu.Unlock() })
	return c.Conn.Close()
}

var errRefused = errors.New("refused")

// dial is the road's DialTransport. It listens to ctx, but not at once.
func (r *road) dial(start time.Time) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		r.mu.Lock()
		r.started = append(r.started, time.Since(start))
		r.calls = append(r.calls, network+" "+address)
		r.mu.Unlock()
		select {
		case <-time.After(r.after):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if r.err != nil {
			return nil, r.err
		}
		client, server, _ := faultnet.Pair(faultnet.Options{})
		if !r.mute {
			if _, err := server.Write([]byte("hello")); err != nil {
				return nil, err
			}
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.opened = append(r.opened, server)
		r.open++
		return &countedConn{Conn: client, r: r}, nil
	}
}

// dialerOf returns a Dialer with ways named a, b, c…
func dialerOf(roads ...*road) *race.Dialer {
	d := &race.Dialer{}
	start := time.Now()
	for i, r := range roads {
		d.Ways = append(d.Ways, race.Way{Name: string(rune('a' + i)), DialTransport: r.dial(start)})
	}
	return d
}

// won dials, requires the way that is to win, and takes the first byte.
func won(t *testing.T, d *race.Dialer, want string) {
	t.Helper()
	c, err := d.DialContext(context.Background(), "tcp", "server")
	require.NoError(t, err)
	name, ok := race.WayOf(c)
	require.True(t, ok)
	require.Equal(t, want, name)
	_, err = io.ReadFull(c, make([]byte, 5))
	require.NoError(t, err)
	require.NoError(t, c.Close())
	synctest.Wait() // the losers have come to their end
}

const never = time.Duration(1<<63 - 1)

// bubble runs a test; what is left after it makes it fail.
func bubble(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }

func TestFirstAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := &road{after: defaultHeadStart - 1}, &road{}
		won(t, dialerOf(a, b), "a")
		require.Empty(t, b.started)
	})
}

// A way that fails leaves its head start to the next, one that hangs does not.
func TestHeadStarts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b, c := &road{after: 10 * time.Millisecond, err: errRefused}, &road{after: never}, &road{after: 30 * time.Millisecond}
		d := dialerOf(a, b, c)
		start := time.Now()
		won(t, d, "c")
		require.Equal(t, []time.Duration{0}, a.started)
		require.Equal(t, []time.Duration{10 * time.Millisecond}, b.started)
		require.Equal(t, []time.Duration{10*time.Millisecond + defaultHeadStart}, c.started)
		require.Equal(t, 40*time.Millisecond+defaultHeadStart, time.Since(start))
	})
	bubble(t, func(t *testing.T) {
		a, b, c := &road{after: never}, &road{after: never}, &road{}
		d := dialerOf(a, b, c)
		d.HeadStart = time.Second
		d.Ways[1].HeadStart = 3 * time.Second
		won(t, d, "c")
		require.Equal(t, []time.Duration{time.Second}, b.started)
		require.Equal(t, []time.Duration{4 * time.Second}, c.started)
	})
}

// Who comes second is closed, however it dials.
func TestLosersAreClosed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := &road{after: defaultHeadStart + 20}, &road{after: 10}
		d := dialerOf(a, b)
		late := make(chan *countedConn, 1)
		dial := d.Ways[0].DialTransport
		d.Ways[0].DialTransport = func(_ context.Context, network, address string) (net.Conn, error) {
			c, err := dial(context.Background(), network, address) // deaf
			late <- c.(*countedConn)
			return c, err
		}
		won(t, d, "b")
		_, err := (<-late).Write([]byte("x"))
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = a.opened[0].Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		require.Zero(t, a.open)
		require.Zero(t, b.open)
	})
}

func TestAllFail(t *testing.T) {
	bubble(t, func(t *testing.T) {
		other := errors.New("no route")
		d := dialerOf(&road{err: errRefused, after: time.Second}, &road{err: other})
		_, err := d.DialContext(context.Background(), "tcp", "server")
		require.ErrorIs(t, err, errRefused)
		require.ErrorIs(t, err, other)
		require.EqualError(t, err, "race: no way led to the server: a: refused; b: no route")
		var way race.WayError
		require.ErrorAs(t, err, &way)
		require.Equal(t, "a", way.Way)
		var all *race.Error
		require.ErrorAs(t, err, &all)
		require.Len(t, all.Ways, 2)
	})
}

func TestContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b, c := &road{after: never}, &road{err: errRefused, after: 2 * defaultHeadStart}, &road{}
		d := dialerOf(a, b, c)
		d.Ways[1].HeadStart = time.Hour
		ctx, cancel := context.WithTimeout(context.Background(), 2*defaultHeadStart)
		defer cancel()
		start := time.Now()
		_, err := d.DialContext(ctx, "tcp", "server")
		require.Equal(t, 2*defaultHeadStart, time.Since(start))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "a: context deadline exceeded; b: context deadline exceeded; c: not tried: context deadline exceeded")

		// One that has ended already.
		_, err = d.DialContext(ctx, "tcp", "server")
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// The end of the context does nothing to a connection that was made.
func TestContextAfterwards(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		c, err := dialerOf(&road{}).DialContext(ctx, "tcp", "server")
		require.NoError(t, err)
		cancel()
		synctest.Wait()
		_, err = io.ReadFull(c, make([]byte, 5))
		require.NoError(t, err)
		require.NoError(t, c.Close())
	})
}

func TestBrokenWays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, _, _ := faultnet.Pair(faultnet.Options{})
		var none *net.TCPConn
		closed := &road{open: 1}
		d := &race.Dialer{Ways: []race.Way{
			{Name: "panics", DialTransport: func(context.Context, string, string) (net.Conn, error) { panic("broken") }},
			{Name: "exits", DialTransport: func(context.Context, string, string) (net.Conn, error) { runtime.Goexit(); return nil, nil }},
			{Name: "nothing", DialTransport: func(context.Context, string, string) (net.Conn, error) { return nil, nil }},
			{Name: "nil", DialTransport: func(context.Context, string, string) (net.Conn, error) { return none, nil }},
			{Name: "both", DialTransport: func(context.Context, string, string) (net.Conn, error) {
				return &countedConn{Conn: c, r: closed}, errRefused
			}},
		}}
		_, err := d.DialContext(context.Background(), "tcp", "server")
		require.ErrorContains(t, err, "panics: DialTransport panicked: broken")
		for _, name := range []string{"exits", "nothing", "nil"} {
			require.ErrorContains(t, err, name+": DialTransport returned neither")
		}
		require.ErrorIs(t, err, errRefused)
		require.Zero(t, closed.open)
	})
}

func TestAddresses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := &road{err: errRefused}, &road{}
		d := dialerOf(a, b)
		d.Ways[1].Network, d.Ways[1].Address = "wss", "wss://server/path"
		won(t, d, "b")
		require.Equal(t, []string{"tcp server"}, a.calls)
		require.Equal(t, []string{"wss wss://server/path"}, b.calls)
	})
}

// What has worked is first, until its time is over, another has worked, or it
// fails.
func TestMemory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b, c := &road{after: never}, &road{}, &road{}
		d := dialerOf(a, b, c)
		require.Equal(t, []string{"a", "b", "c"}, d.Order())
		won(t, d, "b")
		require.Equal(t, []string{"b", "a", "c"}, d.Order())
		start := time.Now()
		won(t, d, "b")
		require.Zero(t, time.Since(start)) // no head start was waited for
		require.Len(t, a.started, 1)

		// b fails and hangs no longer in front; c works later and is learnt later.
		b.err = errRefused
		won(t, d, "c")
		require.Equal(t, []string{"c", "a", "b"}, d.Order())
		time.Sleep(time.Minute)
		b.err, c.after = nil, never
		a.after, a.err = 0, errRefused
		won(t, d, "b")
		require.Equal(t, []string{"b", "c", "a"}, d.Order())

		// Successes do not renew what is known: in the end all begins anew.
		for range 20 {
			time.Sleep(defaultMemory / 20)
			if d.Order()[0] == "b" {
				won(t, d, "b")
			}
		}
		require.Equal(t, []string{"a", "b", "c"}, d.Order())
	})
}

func TestNetworkChanged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := &road{after: never}, &road{}
		d := dialerOf(a, b)
		d.Memory = time.Hour
		won(t, d, "b")
		old, err := d.DialContext(context.Background(), "tcp", "server")
		require.NoError(t, err)
		d.NetworkChanged()
		require.Equal(t, []string{"a", "b"}, d.Order())
		// What the old network brings says nothing of the new one.
		_, err = io.ReadFull(old, make([]byte, 5))
		require.NoError(t, err)
		require.NoError(t, old.Close())
		require.Equal(t, []string{"a", "b"}, d.Order())
	})
	bubble(t, func(t *testing.T) {
		d := dialerOf(&road{mute: true}, &road{})
		old, err := d.DialContext(context.Background(), "tcp", "server")
		require.NoError(t, err)
		d.NetworkChanged()
		time.Sleep(time.Hour)
		require.NoError(t, old.Close())
		require.Equal(t, []string{"a", "b"}, d.Order())
	})
}

// A layer is a connection above another.
type layer struct {
	net.Conn
	below net.Conn
}

func (l *layer) NetConn() net.Conn { return l.below }

// The way is found below other layers, and nothing is where there is none.
func TestWayBelow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, err := dialerOf(&road{}).DialContext(context.Background(), "tcp", "server")
		require.NoError(t, err)
		defer c.Close()
		name, ok := race.WayOf(&layer{below: &layer{below: c}})
		require.True(t, ok)
		require.Equal(t, "a", name)
		bare, _, _ := faultnet.Pair(faultnet.Options{})
		_, ok = race.WayOf(&layer{below: bare})
		require.False(t, ok)
		circle := &layer{}
		circle.below = circle
		_, ok = race.WayOf(circle)
		require.False(t, ok)
	})
}

// A way that takes connections and brings nothing is last, until it brings
// something.
func TestMuteWays(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, c net.Conn, r *road){
		"closed after a while": func(t *testing.T, c net.Conn, _ *road) {
			time.Sleep(2 * time.Second)
			require.NoError(t, c.Close())
		},
		"ended": func(t *testing.T, c net.Conn, r *road) {
			require.NoError(t, r.opened[len(r.opened)-1].Close())
			_, err := c.Read(make([]byte, 1))
			require.Equal(t, io.EOF, err)
			require.NoError(t, c.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a, b := &road{mute: true}, &road{}
				d := dialerOf(a, b)
				c, err := d.DialContext(context.Background(), "tcp", "server")
				require.NoError(t, err)
				end(t, c, a)
				require.Equal(t, []string{"b", "a"}, d.Order())
				won(t, d, "b")
				// The other way has failed too: the mute one is tried all the same.
				b.err, a.mute = errRefused, false
				won(t, d, "a")
				require.Equal(t, []string{"a", "b"}, d.Order())
			})
		})
	}
}

// What was closed soon, or timed out in Read, says nothing.
func TestNotMute(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := dialerOf(&road{mute: true}, &road{})
		c, err := d.DialContext(context.Background(), "tcp", "server")
		require.NoError(t, err)
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
		_, err = c.Read(make([]byte, 1))
		require.Error(t, err)
		require.NoError(t, c.Close())
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		require.Equal(t, []string{"a", "b"}, d.Order())
	})
}

func TestBadConfig(t *testing.T) {
	dial := new(road).dial(time.Now())
	for want, d := range map[string]*race.Dialer{
		"Ways is empty":         {},
		"HeadStart and Memory":  {HeadStart: -1, Ways: []race.Way{{Name: "a", DialTransport: dial}}},
		"Memory are positive":   {Memory: -1, Ways: []race.Way{{Name: "a", DialTransport: dial}}},
		"Ways[0] has no name":   {Ways: []race.Way{{DialTransport: dial}}},
		`have the name "a"`:     {Ways: []race.Way{{Name: "a", DialTransport: dial}, {Name: "a", DialTransport: dial}}},
		`"a" has no DialTransp`: {Ways: []race.Way{{Name: "a"}}},
		`way "a" is negative`:   {Ways: []race.Way{{Name: "a", DialTransport: dial, HeadStart: -1}}},
	} {
		_, err := d.DialContext(t.Context(), "tcp", "server")
		require.ErrorContains(t, err, want)
	}
}

// Many use one Dialer at once.
func TestConcurrentUse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := &road{after: never}, &road{after: time.Millisecond}
		d := dialerOf(a, b)
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				time.Sleep(time.Duration(i%10) * 100 * time.Millisecond)
				c, err := d.DialContext(context.Background(), "tcp", "server")
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = c.Read(make([]byte, 1))
				if i%30 == 0 {
					d.NetworkChanged()
				}
				_ = c.Close()
			})
		}
		wg.Wait()
		synctest.Wait()
		require.Zero(t, b.open)
	})
}

// A session moves to another way when its own is closed, and back when the network
// has changed.
func TestSessionMoves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		tcp, web := faultnet.New(), faultnet.New()
		s := transporttest.Suites()[0]
		inner := merged(tcp.Listen(), web.Listen())
		l, err := relink.NewListener(inner, relink.ListenConfig{Suites: []relink.ServerSuite{s.Server}})
		require.NoError(t, err)
		ways := &race.Dialer{Ways: []race.Way{{Name: "tcp", DialTransport: tcp.Dial}, {Name: "web", DialTransport: web.Dial}}}
		var mu sync.Mutex
		var taken []string
		d := relink.Dialer{Suite: s.Client, DialTransport: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := ways.DialContext(ctx, network, address)
			if err == nil {
				name, _ := race.WayOf(c)
				mu.Lock()
				defer mu.Unlock()
				taken = append(taken, name)
			}
			return c, err
		}}
		client, err := d.DialConn(context.Background(), "tcp", "server")
		require.NoError(t, err)
		server, err := l.AcceptConn()
		require.NoError(t, err)
		exchange := func() {
			for _, ends := range [][2]net.Conn{{client, server}, {server, client}} {
				_, err := ends[0].Write([]byte("hello"))
				require.NoError(t, err)
				_, err = io.ReadFull(ends[1], make([]byte, 5))
				require.NoError(t, err)
			}
		}
		exchange()

		// A firewall closes the first way.
		tcp.SetDown(faultnet.Hang)
		tcp.Last().Cut(faultnet.Reset)
		exchange()
		require.Equal(t, []string{"web", "tcp"}, ways.Order())

		// The next network is open.
		tcp.SetDown(faultnet.NotDown)
		ways.NetworkChanged()
		client.NetworkChanged()
		exchange()
		synctest.Wait()
		mu.Lock()
		require.Equal(t, []string{"tcp", "web", "tcp"}, slices.Compact(taken))
		mu.Unlock()

		// And the one after it takes connections and answers none.
		tcp.SetDown(faultnet.NotDown)
		tcp.OnDial(func(_ int, p *faultnet.Path) error { p.Cut(faultnet.BlackHole); return nil })
		tcp.Last().Cut(faultnet.Reset)
		start := time.Now()
		exchange()
		require.Less(t, time.Since(start), 8*time.Second) // an attempt, and the longest pause
		require.Equal(t, []string{"web", "tcp"}, ways.Order())

		_, _ = client.Abort(), server.Abort()
		_ = l.Close()
	})
}

// A mergedListener accepts from several.
type mergedListener struct {
	net.Listener // for Addr
	all          []net.Listener
	conns        chan net.Conn
	quit         chan struct{}
}

func merged(all ...net.Listener) net.Listener {
	m := &mergedListener{all[0], all, make(chan net.Conn), make(chan struct{})}
	for _, l := range all {
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				select {
				case m.conns <- c:
				case <-m.quit:
					_ = c.Close()
				}
			}
		}()
	}
	return m
}

func (m *mergedListener) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.quit:
		return nil, net.ErrClosed
	}
}

func (m *mergedListener) Close() error {
	close(m.quit)
	for _, l := range m.all {
		_ = l.Close()
	}
	return nil
}

func TestNetConn(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, nil, err
		}
		d := &race.Dialer{Ways: []race.Way{{Name: "tcp", DialTransport: new(net.Dialer).DialContext}}}
		client, err := d.DialContext(t.Context(), "tcp", l.Addr().String())
		if err != nil {
			return nil, nil, nil, err
		}
		server, err := l.Accept()
		return client, server, func() { _, _, _ = client.Close(), server.Close(), l.Close() }, err
	})
}

func TestSessions(t *testing.T) {
	transporttest.TestSessions(t, transporttest.Transport{
		Listen: func(_ testing.TB, inner net.Listener) net.Listener { return inner },
		Dial: func(_ testing.TB, inner transporttest.DialFunc) transporttest.DialFunc {
			d := &race.Dialer{Ways: []race.Way{{Name: "one", DialTransport: inner}, {Name: "two", DialTransport: inner}}}
			return d.DialContext
		},
		Handshake: 512,
	})
}

func ExampleDialer() {
	server := listen()
	defer server.Close()
	ways := &race.Dialer{
		Ways: []race.Way{
			{Name: "udp", DialTransport: func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done() // a firewall
				return nil, ctx.Err()
			}},
			{Name: "tcp", DialTransport: new(net.Dialer).DialContext},
		},
		HeadStart: 20 * time.Millisecond,
	}
	var way string
	d := relink.Dialer{
		Suite: relink.InsecureNoiseClient{},
		DialTransport: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := ways.DialContext(ctx, network, address)
			if err == nil {
				way, _ = race.WayOf(c)
			}
			return c, err
		},
	}
	conn, err := d.DialConn(context.Background(), "tcp", server.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Abort()
	fmt.Println("came by", way, "and next time begins with", ways.Order()[0])

	ways.NetworkChanged() // the platform says so
	conn.NetworkChanged()
	fmt.Println("on the next network begins with", ways.Order()[0])
	// Output:
	// came by tcp and next time begins with tcp
	// on the next network begins with udp
}

func ExampleError() {
	closed := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("refused") }
	d := &race.Dialer{Ways: []race.Way{{Name: "tcp", DialTransport: closed}, {Name: "wss", DialTransport: closed}}}
	_, err := d.DialContext(context.Background(), "tcp", "localhost:1")
	var all *race.Error
	if errors.As(err, &all) {
		for _, way := range all.Ways {
			fmt.Println(way.Way, "→", way.Err)
		}
	}
	// Output:
	// tcp → refused
	// wss → refused
}

func listen() net.Listener {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	l, err := relink.NewListener(inner, relink.ListenConfig{Suites: []relink.ServerSuite{relink.InsecureNoiseServer{}}})
	if err != nil {
		panic(err)
	}
	return l
}
