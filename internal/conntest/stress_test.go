package conntest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
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

// TestStress does everything at once, for a few seconds or for as many as
// RELINK_STRESS says: sessions of every suite over networks of every shape,
// with writes, reads and deadlines of random sizes, cuts of every kind, stalls,
// changes of network, and ends at random moments. Each byte says where it
// belongs. RELINK_SEED repeats one bubble, as far as the scheduler lets it.
func TestStress(t *testing.T) {
	budget := 3 * time.Second
	if s := os.Getenv("RELINK_STRESS"); s != "" {
		n, err := strconv.Atoi(s)
		require.NoError(t, err)
		budget = time.Duration(n) * time.Second
	}
	if testing.Short() {
		budget = time.Second
	}
	seed, one := rand.Uint64(), false
	if s := os.Getenv("RELINK_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
		seed, one = n, true
	}
	bubbles := 0
	for start := time.Now(); time.Since(start) < budget; seed++ {
		s := Suites[bubbles%len(Suites)]
		bubbles++
		if one {
			s = Suites[seed%uint64(len(Suites))]
		} else {
			seed += (uint64(bubbles-1) - seed) % uint64(len(Suites)) // says the suite too
		}
		if !t.Run(fmt.Sprintf("%v/seed=%d", s, seed), func(t *testing.T) {
			var running atomic.Pointer[stress]
			defer hang.Watch(stuckAfter, func() string { return running.Load().describe() })()
			synctest.Test(t, func(t *testing.T) {
				s := newStress(t, s, seed)
				running.Store(s)
				s.run()
			})
		}) || one {
			break
		}
	}
	t.Logf("%d bubbles", bubbles)
}

// stuckAfter is far longer than the computation of any bubble takes on a slow machine.
const stuckAfter = 3 * time.Minute

// A stress is one bubble: a network with a listener and some sessions.
type stress struct {
	t     *testing.T
	seed  uint64
	suite Suite
	path  faultnet.Options
	rnd   *rand.Rand
	net   *faultnet.Network
	l     *relink.Listener
	cfg   Setup
	until time.Time // when the faults end
	quit  chan struct{}
	ends  []*stressEnd
	wg    sync.WaitGroup

	mu    sync.Mutex
	began time.Time
	done  []string // the faults so far
}

// note keeps what was done, for describe.
func (s *stress) note(format string, a ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, fmt.Sprintf("after %v: ", time.Since(s.began))+fmt.Sprintf(format, a...))
}

func newStress(t *testing.T, s Suite, seed uint64) *stress {
	return &stress{t: t, seed: seed, suite: s, rnd: rand.New(rand.NewPCG(seed, 0)), net: faultnet.New(), quit: make(chan struct{})}
}

// fork returns a source of random numbers for a goroutine.
func (s *stress) fork() *rand.Rand { return rand.New(rand.NewPCG(s.rnd.Uint64(), 1)) }

func (s *stress) run() {
	o := faultnet.Options{
		Buffer:        []int{-1, 1, 300, 4 << 10, 64 << 10}[s.rnd.IntN(5)],
		Segment:       []int{0, 0, 1000, 7}[s.rnd.IntN(4)],
		Delay:         []time.Duration{0, 0, time.Millisecond, 80 * time.Millisecond}[s.rnd.IntN(4)],
		Opaque:        s.rnd.IntN(4) == 0,
		ResetOnUnread: s.rnd.IntN(2) == 0,
		ShortWrites:   s.rnd.IntN(3) == 0,
		EOFWithData:   s.rnd.IntN(2) == 0,
	}
	if o.Buffer == 1 {
		o.Delay = 0 // a handshake would take longer than it may
	}
	s.t.Logf("%+v", o)
	s.path = o
	s.net.SetOptions(o)
	// Without acknowledgements half the limit is history, which must be as much
	// as the network swallows and a Read has in hand.
	s.cfg = Setup{ReplayLimit: max(4*o.Buffer, 1<<(10+s.rnd.IntN(12)))}
	var err error
	s.l, err = relink.NewListener(s.net.Listen(), s.cfg.listener(s.suite))
	require.NoError(s.t, err)
	s.began = time.Now()
	s.until = s.began.Add(time.Duration(s.rnd.IntN(20)) * time.Second)

	// Nothing takes this long unless it hangs.
	watchdog := time.AfterFunc(4*time.Hour, func() { panic("hangs for hours of its time\n" + s.describe() + "\n" + hang.Stacks()) })
	defer watchdog.Stop()

	for range 1 + s.rnd.IntN(4) {
		s.open(1 + s.rnd.IntN(1<<(6+s.rnd.IntN(14))))
	}
	faults := s.fork()
	var chaos sync.WaitGroup
	chaos.Go(func() { s.faults(faults) })
	s.wg.Wait()
	close(s.quit)
	chaos.Wait()
	require.NoError(s.t, s.l.Close())
	for _, e := range s.ends {
		_ = e.c.Close()
		<-e.c.Done()
	}
	time.Sleep(time.Second) // for transports to be closed, some of them with last words
	for _, e := range s.ends {
		require.Zero(s.t, e.c.Stats().Memory, "RELINK_SEED=%d", s.seed)
	}
}

// describe says all there is to know of a bubble that does not end: what repeats it, and
// the state of all Conns, whose locks somebody may hold for ever.
func (s *stress) describe() string {
	if s == nil {
		return "before it began"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "RELINK_SEED=%d, suite %v, %+v, ReplayLimit %d, GOMAXPROCS %d, faults for %v\n",
		s.seed, s.suite, s.path, s.cfg.ReplayLimit, runtime.GOMAXPROCS(0), s.until.Sub(s.began))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.done {
		fmt.Fprintln(&b, f)
	}
	for i, e := range s.ends {
		fmt.Fprintf(&b, "end %d: to write %d, written %d, closes at %d, closed %v\n%s\n", i, e.total, e.written.Load(), e.closeAt, e.closed.Load(), hang.Describe(e.c))
	}
	return b.String()
}

// open opens a session and starts its users.
func (s *stress) open(total int) {
	d := s.cfg.dialer(s.suite, s.net.Dial)
	client, err := d.DialConn(context.Background(), "tcp", "server")
	require.NoError(s.t, err)
	server, err := s.l.AcceptConn()
	require.NoError(s.t, err)
	var closeAt int64 = -1 // by which end's own count
	if s.rnd.IntN(3) == 0 {
		closeAt = s.rnd.Int64N(int64(total) + 1)
	}
	closer := s.rnd.IntN(2)
	both := [2]*stressEnd{}
	for i, c := range []*relink.Conn{client, server} {
		e := &stressEnd{s: s, c: c, total: int64(total), key: s.rnd.Uint64(), closeAt: -1}
		if i == closer {
			e.closeAt = closeAt
		}
		both[i] = e
		s.ends = append(s.ends, e)
	}
	both[0].peer, both[1].peer = both[1], both[0]
	for _, e := range both {
		w, r := s.fork(), s.fork()
		s.wg.Go(func() { e.write(w) })
		s.wg.Go(func() { e.read(r) })
	}
	if rnd := s.fork(); rnd.IntN(2) == 0 {
		s.wg.Go(func() { both[0].restless(rnd) })
	}
}

// faults does harm to the network until it is time to stop.
func (s *stress) faults(rnd *rand.Rand) {
	pause := time.Duration(1+rnd.IntN(1000)) * time.Millisecond
	for time.Now().Before(s.until) {
		select {
		case <-s.quit:
			return
		case <-time.After(time.Duration(rnd.Int64N(int64(pause)))):
		}
		paths := s.net.Paths()
		p := paths[len(paths)-1-rnd.IntN(min(len(paths), 6))]
		which := slices.Index(paths, p)
		d := faultnet.Dir(rnd.IntN(2))
		switch rnd.IntN(12) {
		case 0, 1, 2:
			k := []faultnet.Kind{faultnet.Reset, faultnet.ResetNow, faultnet.End}[rnd.IntN(3)]
			s.note("path %d is cut (%v)", which, k)
			p.Cut(k)
		case 3, 4, 5:
			at, k := p.Sent(d)+rnd.Int64N(5000), []faultnet.Kind{faultnet.Reset, faultnet.ResetNow, faultnet.End}[rnd.IntN(3)]
			s.note("path %d will be cut at byte %d of direction %v (%v)", which, at, d, k)
			p.CutAt(d, at, k)
		case 6: // found by nobody: the client is told below
			k := []faultnet.Kind{faultnet.BlackHole, faultnet.BlackHoleUp, faultnet.BlackHoleDown}[rnd.IntN(3)]
			s.note("path %d is cut (%v), and the networks change", which, k)
			p.Cut(k)
			s.changeNetworks()
		case 7:
			s.note("the networks change")
			s.changeNetworks()
		case 8:
			stall := time.Duration(rnd.Int64N(int64(2 * time.Second)))
			s.note("direction %v of path %d stalls for %v", d, which, stall)
			p.Stall(d)
			time.AfterFunc(stall, func() { p.Release(d) })
		case 9:
			k, down := []faultnet.DownKind{faultnet.Refuse, faultnet.Hang}[rnd.IntN(2)], time.Duration(rnd.Int64N(int64(5*time.Second)))
			s.note("path %d is cut, and the network down for %v (%v)", which, down, k)
			s.net.SetDown(k)
			p.Cut(faultnet.ResetNow)
			time.Sleep(down)
			s.net.SetDown(faultnet.NotDown)
		case 10: // the next handshakes are cut
			left := atomic.Int32{}
			left.Store(int32(rnd.IntN(4)))
			at, kind := rnd.Int64N(100), []faultnet.Kind{faultnet.Reset, faultnet.ResetNow, faultnet.End, faultnet.BlackHole}[rnd.IntN(4)]
			s.note("path %d is cut, and the next %d at byte %d of direction %v (%v)", which, left.Load(), at, d, kind)
			s.net.OnDial(func(_ int, p *faultnet.Path) error {
				if left.Add(-1) >= 0 {
					p.CutAt(d, at, kind)
				}
				return nil
			})
			p.Cut(faultnet.Reset)
		case 11:
			s.note("all paths end")
			for _, p := range paths {
				p.Cut(faultnet.End)
			}
		}
	}
	s.net.OnDial(nil)
	s.net.SetDown(faultnet.NotDown)
	time.Sleep(10 * time.Second) // what was stalled or black-holed on the way shows by now
	for _, p := range s.net.Paths() {
		p.Release(faultnet.Up)
		p.Release(faultnet.Down)
		// A client that is gone tells nobody, and on a wire without pings its server
		// would wait in a black hole for ever: a kernel's keep-alive ends it.
		p.Cut(faultnet.Reset)
	}
	s.changeNetworks()
}

func (s *stress) changeNetworks() {
	for _, e := range s.ends {
		e.c.NetworkChanged()
	}
}

// A stressEnd is one end of a session with the application that uses it.
type stressEnd struct {
	s       *stress
	c       *relink.Conn
	peer    *stressEnd
	key     uint64 // of the stream that this end writes
	total   int64  // to write, unless an end closes before
	closeAt int64  // where in its own stream it closes, or -1
	closed  atomic.Bool
	written atomic.Int64 // when it has closed or is through
}

// at is the byte at an offset of the stream that this end writes.
func (e *stressEnd) at(i int64) byte {
	x := (uint64(i) + e.key) * 0x9e3779b97f4a7c15
	return byte(x >> 56)
}

// over reports whether either end has closed before it was through.
func (e *stressEnd) over() bool { return e.closed.Load() || e.peer.closed.Load() }

func (e *stressEnd) write(rnd *rand.Rand) {
	buf := make([]byte, 1<<rnd.IntN(18))
	pause := rnd.Int64N(int64(100*time.Millisecond)) * rnd.Int64N(2)
	pauses := 300
	limit := e.total
	if e.closeAt >= 0 {
		limit = e.closeAt
	}
	var pos int64
	for pos < limit {
		p := buf[:min(limit-pos, int64(rnd.IntN(len(buf)+1)))]
		for i := range p {
			p[i] = e.at(pos + int64(i))
		}
		e.deadline(rnd, e.c.SetWriteDeadline)
		n, err := e.c.Write(p)
		for i := range p {
			if p[i] != e.at(pos+int64(i)) {
				e.s.t.Errorf("Write has changed its slice at offset %d", pos+int64(i))
				break
			}
		}
		pos += int64(n)
		e.written.Store(pos)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			if !e.over() {
				e.s.t.Errorf("write at %d of %d: %v", pos, e.total, err)
			}
			break
		}
		if err == nil && n != len(p) {
			e.s.t.Errorf("Write took %d bytes of %d without an error", n, len(p))
		}
		if pauses--; pause > 0 && pauses > 0 {
			time.Sleep(time.Duration(rnd.Int64N(pause)))
		}
	}
	if e.closeAt >= 0 {
		e.closed.Store(true)
		if rnd.IntN(4) == 0 {
			_ = e.c.Abort()
		} else {
			_ = e.c.Close()
		}
	}
}

func (e *stressEnd) read(rnd *rand.Rand) {
	buf := make([]byte, 1+rnd.IntN(1<<rnd.IntN(18)))
	pause := rnd.Int64N(int64(300*time.Millisecond)) * rnd.Int64N(2)
	pauses := 100
	for pos := int64(0); pos < e.peer.total; {
		e.deadline(rnd, e.c.SetReadDeadline)
		n, err := e.c.Read(buf[:rnd.IntN(len(buf)+1)])
		for i, b := range buf[:n] {
			if b != e.peer.at(pos+int64(i)) {
				e.s.t.Errorf("wrong byte at offset %d of %d", pos+int64(i), e.peer.total)
				_, _ = e.c.Abort(), e.peer.c.Abort()
				return
			}
		}
		pos += int64(n)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			if !e.over() {
				e.s.t.Errorf("read at %d of %d: %v", pos, e.peer.total, err)
			}
			return
		}
		if pause > 0 && pauses > 0 && rnd.IntN(10) == 0 {
			pauses--
			time.Sleep(time.Duration(rnd.Int64N(pause)))
		}
	}
}

// deadline sets one, now and then: past, near, far, or none.
func (e *stressEnd) deadline(rnd *rand.Rand, set func(time.Time) error) {
	switch rnd.IntN(20) {
	case 0:
		_ = set(time.Now().Add(-time.Second))
	case 1, 2:
		_ = set(time.Now().Add(time.Duration(rnd.Int64N(int64(10 * time.Millisecond)))))
	case 3:
		_ = set(time.Now().Add(time.Duration(rnd.Int64N(int64(5 * time.Second)))))
	case 4, 5, 6:
		_ = set(time.Time{})
	}
}

// restless calls everything that must never block or harm, until the end has
// closed or the faults are over.
func (e *stressEnd) restless(rnd *rand.Rand) {
	for time.Now().Before(e.s.until) && !e.over() {
		time.Sleep(time.Duration(rnd.Int64N(int64(time.Second))))
		for _, c := range []*relink.Conn{e.c, e.peer.c} {
			switch rnd.IntN(6) {
			case 0:
				c.NetworkChanged()
			case 1:
				_ = c.Stats()
			case 2:
				_ = c.String()
			case 3:
				_, err := c.Read(nil)
				if err == nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) || e.over() {
					continue
				}
				e.s.t.Errorf("read of nothing: %v", err)
			case 4:
				_ = c.SetDeadline(time.Time{})
			case 5:
				_, _ = c.Write(nil)
			}
		}
	}
}
