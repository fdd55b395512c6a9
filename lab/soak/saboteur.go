package main

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/relink-go/relink/internal/faultnet"
)

const (
	// maxCutRate bounds -cuts. More than that is no fault of a network.
	maxCutRate = 1000

	// planWithin is how many bytes into the next connection a planned cut
	// falls: most are in its handshake, the others in what is replayed.
	planWithin = 600

	// rescueAfter is when, beyond LivenessTimeout, a silence that nobody has found
	// ends as a reset. One in a single direction is not to be found by a side
	// that has nothing to send while the kernel next door answers its keep-alives.
	rescueAfter = 8 * time.Second
)

// harm is what the saboteur knows of a slot.
type harm struct {
	seen     int       // connections that the relay had accepted at the last cut
	undo     func()    // ends what was done
	undoTime time.Time // when to call it
	found    bool      // not to be called once there is a new connection
}

// A cutTally counts what the saboteur does.
type cutTally struct {
	kinds   [faultnet.BlackHoleDown + 1]atomic.Int64
	planned atomic.Int64 // cuts at an offset of the next connection, which may have come to nothing
	stalls  atomic.Int64
	moves   atomic.Int64 // calls of NetworkChanged
	rescues atomic.Int64 // silences that nobody has found in time
}

func (t *cutTally) total() (n int64) {
	for i := range t.kinds {
		n += t.kinds[i].Load()
	}
	return n
}

// A cutCount is a cutTally at one moment.
type cutCount struct {
	total, planned, stalls, moves, rescues int64
	kinds                                  string
}

func (t *cutTally) snapshot() cutCount {
	var kinds []string
	for i := range t.kinds {
		if n := t.kinds[i].Load(); n > 0 {
			kinds = append(kinds, fmt.Sprintf("%v %d", faultnet.Kind(i), n))
		}
	}
	return cutCount{t.total(), t.planned.Load(), t.stalls.Load(), t.moves.Load(), t.rescues.Load(), strings.Join(kinds, ", ")}
}

// sabotage does harm to one slot after the other until the last sessions are to
// end. A cut counts if a session was there and had a connection that was not cut
// before.
func (a *clients) sabotage() {
	rnd := rand.New(rand.NewPCG(a.o.seed, 1<<32))
	ticker := time.NewTicker(time.Duration(float64(time.Second) / a.o.cuts))
	defer ticker.Stop()
	defer a.undoAll(true)
	for {
		select {
		case <-a.windDown:
			return
		case <-ticker.C:
		}
		a.undoAll(false)
		for range 4 * len(a.slots) {
			if a.slots[rnd.IntN(len(a.slots))].hurt(rnd, &a.cuts) {
				break
			}
		}
	}
}

// undoAll ends what has lasted long enough, or everything.
func (a *clients) undoAll(now bool) {
	for _, s := range a.slots {
		h := &s.harm
		switch {
		case h.undo == nil:
		case h.found && s.relay.Accepted() != h.seen:
			h.undo = nil
		case now || time.Now().After(h.undoTime):
			h.undo()
			h.undo = nil
		}
	}
}

// hurt does harm to the slot's session, and reports whether it has cut it.
func (s *slot) hurt(rnd *rand.Rand, t *cutTally) (cut bool) {
	c := s.conn.Load()
	if c == nil || s.relay.Live() == 0 || s.relay.Accepted() == s.harm.seen || s.harm.undo != nil {
		return false
	}
	var kind faultnet.Kind
	switch k := rnd.IntN(100); {
	case k < 45:
		kind = faultnet.Reset
	case k < 75:
		kind = faultnet.End
	case k < 79:
		kind = faultnet.BlackHole
	case k < 81:
		kind = faultnet.BlackHoleUp
	case k < 83:
		kind = faultnet.BlackHoleDown
	case k < 92: // the connection after this one is cut early, and this one now
		at := []faultnet.Kind{faultnet.Reset, faultnet.End, faultnet.BlackHole}[min(2, rnd.IntN(12)/5)]
		s.relay.CutAfter(faultnet.Dir(rnd.IntN(2)), rnd.Int64N(planWithin), at)
		t.planned.Add(1)
		kind = faultnet.Reset
	case k < 96:
		d := faultnet.Dir(rnd.IntN(2))
		s.relay.Stall(d)
		t.stalls.Add(1)
		s.harm.undo, s.harm.found = func() { s.relay.Release(d) }, false
		s.harm.undoTime = time.Now().Add(time.Duration(rnd.IntN(2500)) * time.Millisecond)
		return false
	default:
		c.NetworkChanged()
		t.moves.Add(1)
		return false
	}
	s.relay.Cut(kind)
	s.harm.seen = s.relay.Accepted() // one that came in between counts as cut, and is not cut again
	t.kinds[kind].Add(1)
	if kind >= faultnet.BlackHole {
		s.rescueLater(rnd, kind, t)
	}
	return true
}

// rescueLater sees to it that a black hole ends. A silence in one direction is
// not to be found on a wire without pings while the kernel next door goes on
// answering; there the application is told of a new network, or a middlebox
// resets the connection.
func (s *slot) rescueLater(rnd *rand.Rand, kind faultnet.Kind, t *cutTally) {
	s.harm.found = true
	oneWay := kind != faultnet.BlackHole
	if !s.choice.acks && (oneWay || runtime.GOOS != "linux") {
		s.harm.undoTime = time.Now().Add(time.Duration(rnd.IntN(1500)) * time.Millisecond)
		if rnd.IntN(2) == 0 {
			s.harm.undo = func() { s.relay.Cut(faultnet.Reset) }
			return
		}
		s.harm.undo = func() {
			if c := s.conn.Load(); c != nil {
				c.NetworkChanged()
			}
		}
		return
	}
	s.harm.undoTime = time.Now().Add(s.all.o.liveness + rescueAfter)
	s.harm.undo = func() {
		if s.conn.Load() != nil {
			t.rescues.Add(1)
			s.relay.Cut(faultnet.Reset)
		}
	}
}
