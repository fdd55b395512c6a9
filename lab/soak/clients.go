package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// maxSlots bounds -sessions: with both sides and the relays in one process, each
// session takes up to eight of the 20,000 descriptors that a process may
// commonly have.
const maxSlots = 2000

// A transportWrapper changes a client's transports.
type transportWrapper func(net.Conn) net.Conn

// clients are all that runs on the clients' side.
type clients struct {
	o        options
	keys     keys
	backend  backend
	tally    tally
	cuts     cutTally
	slots    []*slot
	windDown chan struct{} // closed when no more sessions are to be opened
}

func newClients(o options, k keys, b backend) *clients {
	return &clients{o: o, keys: k, backend: b, windDown: make(chan struct{})}
}

// A slot is one place for a session: one is opened after the other, behind a
// relay that belongs to the slot.
type slot struct {
	all    *clients
	choice choice
	rnd    *rand.Rand
	relay  *faultnet.Relay
	conn   atomic.Pointer[relink.Conn] // the session, while there is one
	harm   harm                        // the saboteur's

	address string     // of the server, for the present session
	closed  chan error // how that has ended
}

// run opens sessions until the time is up and enough was cut, and returns when
// nothing is left of them.
func (a *clients) run(ctx context.Context) {
	var work sync.WaitGroup
	for i := range a.o.sessions {
		relay, err := faultnet.NewRelay("127.0.0.1:1") // a session sets the target
		if err != nil {
			a.tally.fail(fmt.Errorf("a relay: %w", err))
			break
		}
		relay.SetBuffers(socketBuffer)
		s := &slot{all: a, choice: a.o.suites[i%len(a.o.suites)], relay: relay, rnd: rand.New(rand.NewPCG(a.o.seed, uint64(i)))}
		a.slots = append(a.slots, s)
		work.Go(s.run)
	}
	var sabotage sync.WaitGroup
	if a.o.cuts > 0 {
		sabotage.Go(a.sabotage)
	}
	a.wait(ctx)
	close(a.windDown)
	sabotage.Wait()
	work.Wait()
	for _, s := range a.slots {
		_ = s.relay.Close()
	}
	settleEvents(&a.tally)
}

// wait returns when it is time to end.
func (a *clients) wait(ctx context.Context) {
	began := time.Now()
	longest := 2*a.o.duration + longestTail
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		took := time.Since(began)
		if took >= a.o.duration && a.cuts.total() >= a.o.cutsAtLeast || took >= longest {
			return
		}
	}
}

func (s *slot) hurried() bool {
	select {
	case <-s.all.windDown:
		return true
	default:
		return false
	}
}

// run opens one session after the other.
func (s *slot) run() {
	t := &s.all.tally
	failures := 0
	var since time.Time
	for !s.hurried() {
		h := plan(s.rnd, s.choice)
		c, err := s.dial()
		if err != nil {
			// A cut has hit the handshake, or a listener was replaced in this
			// moment: the first dial of a session is tried once, by contract.
			t.retries.Add(1)
			if failures++; failures == 1 {
				since = time.Now()
			}
			if time.Since(since) > stuckAfter {
				t.fail(fmt.Errorf("client: no session opens: %w", err))
				since = time.Now()
			}
			time.Sleep(time.Duration(1+s.rnd.IntN(20)) * time.Millisecond)
			continue
		}
		failures = 0
		s.conn.Store(c)
		p := newParty(c, h, t, s.address)
		err = p.finish(p.client(s.all.windDown))
		s.conn.Store(nil)
		if err == nil && h.end == leave {
			err = s.delivered(h)
		}
		if err != nil && s.turnedAway(p, err) {
			t.turnedAway.Add(1)
			s.clear()
			continue
		}
		t.opened.Add(1)
		if err != nil {
			t.fail(fmt.Errorf("client: %w", err))
		} else {
			t.ended.Add(1)
		}
		s.clear()
	}
}

// delivered says whether all was delivered that was written before a Close. No
// call is left that could return it; the session's last event does.
func (s *slot) delivered(h header) error {
	select {
	case err := <-s.closed:
		if err != nil {
			err = fmt.Errorf("%v: after Close: %w", h, err)
		}
		return err
	case <-time.After(grace):
		return fmt.Errorf("%v: no event has told of its end", h)
	}
}

// turnedAway reports whether a session has met the shut-down of its listener
// while the last message of its handshake was on the way: the client takes it for
// open, and to the server it is a new one, which it refuses. Nothing of it has
// reached the server's application, or the server would have served more sessions
// than clients have opened.
func (s *slot) turnedAway(p *party, err error) bool {
	return p.in.offset == 0 && s.address != s.all.backend.address(s.choice.group) &&
		(errors.Is(err, relink.ErrSessionLost) || !s.choice.acks && errors.Is(err, io.EOF))
}

// clear waits until the relay has delivered what the session said last, and
// ends what a black hole has left.
func (s *slot) clear() {
	for deadline := time.Now().Add(lastWords); s.relay.Live() > 0 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	s.relay.Cut(faultnet.Reset)
}

// lastWords is how long what a session says last may be on its way.
const lastWords = 300 * time.Millisecond

// dial opens a session through the slot's relay.
func (s *slot) dial() (*relink.Conn, error) {
	s.address = s.all.backend.address(s.choice.group)
	s.relay.SetTarget(s.address)
	closed := make(chan error, 1)
	s.closed = closed
	cfg := config(&s.all.tally, s.all.o.liveness)
	cfg.OnEvent = func(e relink.Event) {
		s.all.tally.event(e)
		if e.Kind == relink.EventClosed {
			closed <- e.Err
		}
	}
	d := relink.Dialer{
		Config:         cfg,
		Suite:          s.choice.client(s.all.keys),
		AttemptTimeout: attemptTimeout,
		MinBackoff:     minBackoff,
		MaxBackoff:     maxBackoff,
		DialTransport: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			setBuffers(c.(*net.TCPConn))
			if s.all.o.wrap != nil {
				c = s.all.o.wrap(c)
			}
			return c, nil
		},
	}
	return d.DialConn(context.Background(), "tcp4", s.relay.Addr())
}
