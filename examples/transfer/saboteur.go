package main

import (
	"context"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relink-go/relink/internal/faultnet"
)

// A plan says what a saboteur does.
type plan struct {
	cuts       int           // at most
	every      time.Duration // the time between cuts; zero spreads them over the data
	blackHoles int           // how many of the cuts are black holes
	noEnds     bool          // nobody on the way can end the transport cleanly
}

const (
	defaultCuts = 30
	unbounded   = math.MaxInt32

	// blackHoleEvery is how often a black hole comes where nobody knows how
	// many cuts there will be.
	blackHoleEvery = 10

	// socketBuffer is the size of the sockets' buffers on the way. What they
	// hold when a transport is cut is lost and has to be sent again, so where
	// cuts are frequent they had better be small.
	socketBuffer = 64 << 10

	// handshakeRoom is how much a connection may carry beyond its share of the
	// data.
	handshakeRoom = 256

	// sessionRoom is how much more the first connection may carry, whose
	// handshake is that of the session.
	sessionRoom = 1400

	// patience is how long a black hole lasts that nobody notices. On Linux the
	// library needs one to four seconds. Where it cannot ask the kernel what has
	// become of the data, and the suite has no pings, the black hole ends as a reset.
	patience = 10 * time.Second
)

// A cutter is what cuts: a TCP relay, or what the client's UDP sockets come from.
type cutter interface {
	Addr() string  // what the client dials
	Accepted() int // connections, or sockets, so far
	CutAfter(d faultnet.Dir, offset int64, k faultnet.Kind)
	Cut(k faultnet.Kind)
	Close() error
}

// A saboteur stands between the two halves and cuts what they send over, again
// and again: by resets, by clean ends of the stream, as if the peer had closed it,
// and by black holes, where packets vanish without an answer.
type saboteur struct {
	cutter
	below below // for the client's transport
	plan  plan
	size  int64                           // of the data
	moved atomic.Int64                    // of it
	made  map[faultnet.Kind]*atomic.Int64 // cuts so far

	mu      sync.Mutex // guards planned
	planned int        // connections with a cut ahead or behind them

	rescue *time.Timer // ends a black hole
	quit   chan struct{}
	clock  sync.WaitGroup // the goroutine that cuts by the clock
}

// newSaboteur starts a saboteur in front of the address.
func newSaboteur(address string, tr transport, p plan, size int64) (*saboteur, error) {
	s := &saboteur{plan: p, size: size, made: make(map[faultnet.Kind]*atomic.Int64), quit: make(chan struct{})}
	if tr.packets {
		u := &sockets{address: address}
		s.cutter, s.plan.noEnds = u, true
		s.below.listenPacket = func(context.Context) (net.PacketConn, error) {
			s.planNextCut()
			return u.open()
		}
	} else {
		relay, err := faultnet.NewRelay(address)
		if err != nil {
			return nil, err
		}
		relay.SetBuffers(socketBuffer)
		s.cutter, s.below.dial = relay, s.dial
	}
	for _, k := range []faultnet.Kind{faultnet.Reset, faultnet.End, faultnet.BlackHole} {
		s.made[k] = new(atomic.Int64)
	}
	s.rescue = time.AfterFunc(patience, func() {
		s.Cut(faultnet.Reset)
		s.rescue.Reset(patience)
	})
	if p.every > 0 {
		s.clock.Go(s.cutByClock)
	}
	return s, nil
}

// Close ends the saboteur and what it relays.
func (s *saboteur) Close() error {
	s.rescue.Stop()
	close(s.quit)
	s.clock.Wait()
	return s.cutter.Close()
}

// reached tells the saboteur how much of the data has moved.
func (s *saboteur) reached(moved int64) {
	s.moved.Store(moved)
	s.rescue.Reset(patience)
}

// total returns the number of cuts so far.
func (s *saboteur) total() (n int64) {
	for _, k := range s.made {
		n += k.Load()
	}
	return n
}

// dial dials the client's TCP connections.
func (s *saboteur) dial(ctx context.Context, network, address string) (net.Conn, error) {
	s.planNextCut()
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return conn, conn.(*net.TCPConn).SetWriteBuffer(socketBuffer)
}

// planNextCut makes the cutter cut the next connection after its share of the data,
// unless cuts go by the clock.
func (s *saboteur) planNextCut() {
	if s.plan.every > 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Accepted() < s.planned || s.planned > s.plan.cuts {
		return // the planned cut is still ahead, or there are no more
	}
	if s.planned > 0 {
		s.made[s.plan.kind(s.planned-1)].Add(1)
	}
	if left := s.plan.cuts - s.planned; left > 0 {
		rest := s.size - s.moved.Load() - 2*socketBuffer // so much may be on its way
		share := max(0, rest) / int64(left+1)
		if s.planned == 0 {
			share += sessionRoom
		}
		s.CutAfter(faultnet.Up, handshakeRoom+share, s.plan.kind(s.planned))
	}
	s.planned++
}

// cutByClock cuts whatever is under way at its time, the handshakes of resumes
// included, but no connection twice, and none before the first data: without a
// session there is nothing to resume.
func (s *saboteur) cutByClock() {
	ticker := time.NewTicker(s.plan.every)
	defer ticker.Stop()
	seen := 0
	for n := 0; n < s.plan.cuts; {
		select {
		case <-ticker.C:
		case <-s.quit:
			return
		}
		if accepted := s.Accepted(); accepted > seen && s.moved.Load() > 0 {
			seen = accepted
			kind := s.plan.kind(n)
			s.Cut(kind)
			s.made[kind].Add(1)
			n++
		}
	}
}

// kind returns what the i-th cut is: a reset or a clean end by turns, with the
// black holes spread among them.
func (p plan) kind(i int) faultnet.Kind {
	holes := func(cuts int) int { return cuts / blackHoleEvery } // in the first so many
	if p.cuts != unbounded {
		holes = func(cuts int) int { return (cuts*min(p.blackHoles, p.cuts) + p.cuts/2) / p.cuts }
	}
	if n := holes(i + 1); n > holes(i) && n <= p.blackHoles {
		return faultnet.BlackHole
	}
	if p.noEnds {
		return faultnet.Reset
	}
	return []faultnet.Kind{faultnet.Reset, faultnet.End}[i%2]
}
