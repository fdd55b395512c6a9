package helper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/bench/internal/measure"
	"github.com/relink-go/relink/bench/internal/process"
	"github.com/relink-go/relink/bench/internal/subject"
)

// A Crowd is a server with more sessions than a process has descriptors. Their
// transports are in memory; a few over TCP come beside them, to see how they fare.
// Its methods are called through package net/rpc, one at a time.
type Crowd struct {
	inner    *mixedListener
	listener *relink.Listener
	dialer   *relink.Dialer
	settle   time.Duration
	sides    float64        // of each session that are in this process
	base     measure.Memory // before the sessions
	bare     measure.Memory // what their transports and applications take without them

	peers    []net.Conn // the clients' ends of the transports, where nothing else is kept
	draining sync.WaitGroup
	sessions []*relink.Conn
	clients  []net.Conn // sessions of this process, where they were asked for
	waiting  sync.WaitGroup
	guests   []net.Conn // over TCP
}

// Gather says what a crowd is made of.
type Gather struct {
	How
	Clients bool // the clients' sides are real too, and stay

	// Settle is how long everything may come to rest before it is measured. The
	// library's ticks come every 100 ms and look after new sessions for a few.
	Settle time.Duration
}

// patience is how long a session may be away in these experiments: longer than
// any of them.
const patience = 2 * time.Hour

// backlog is how many sessions may wait until they are accepted. A listener turns
// clients away where too many do.
const backlog = 1000

// Gather opens the sessions. Where the clients' sides are not wanted, each client
// is forgotten when its session is open, and only its transport stays.
func (c *Crowd) Gather(g Gather, _ *process.None) error {
	s, err := g.subject()
	if err != nil {
		return err
	}
	r, ok := s.(subject.Resumable)
	if !ok {
		return fmt.Errorf("%s has no sessions", s.Name())
	}
	if c.inner, err = newMixedListener(); err != nil {
		return err
	}
	// A pipe has no keep-alive of a kernel's, so that a session of Noise would
	// ping over it, and clients of which nothing is kept do not answer.
	cfg := relink.Config{ResumeTimeout: patience, HandshakeTimeout: patience, LivenessTimeout: -1}
	if c.listener, err = r.Wrap(c.inner, cfg); err != nil {
		return err
	}
	if c.dialer, err = r.NewDialer(subject.Loopback{}, cfg); err != nil {
		return err
	}
	c.peers = make([]net.Conn, g.Count)
	c.sessions = make([]*relink.Conn, 0, g.Count)
	c.clients = make([]net.Conn, g.Count)
	c.settle, c.sides = g.Settle, 1
	if g.Clients {
		c.sides = 2
	}
	spawn(4 * g.Count)
	c.base = measure.TakeMemory()
	c.bare = c.bareTransports(g.Count, g.Clients).Since(c.base)

	accepted := make(chan error, 1)
	room := make(chan struct{}, backlog)
	go func() { accepted <- c.accept(g.Count, room) }()
	memory := *c.dialer
	memory.DialTransport = func(ctx context.Context, _, _ string) (net.Conn, error) { return c.inner.connect(ctx) }
	err = inParallel(g.Count, func(i int) (err error) {
		room <- struct{}{}
		defer func() {
			if err != nil {
				<-room // nobody will accept it
			}
		}()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if g.Clients {
			client, err := memory.DialContext(ctx, "memory", "crowd")
			c.clients[i] = client
			return err
		}
		t, err := c.inner.connect(ctx)
		if err != nil {
			return err
		}
		c.peers[i] = t
		if err := r.Enter(t); err != nil {
			return err
		}
		// A pipe has no buffer: what the server says after the handshake must be
		// taken, or it would not be idle.
		c.draining.Go(func() { _, _ = io.Copy(io.Discard, t) })
		return nil
	})
	if err != nil {
		return err
	}
	if err := <-accepted; err != nil {
		return err
	}
	time.Sleep(c.settle)
	for _, p := range c.peers {
		if p != nil {
			_ = p.SetReadDeadline(time.Unix(1, 0))
		}
	}
	c.draining.Wait()
	return nil
}

// accept takes the sessions, lets an application wait in Read on each, and makes room
// for another.
func (c *Crowd) accept(n int, room <-chan struct{}) error {
	for range n {
		s, err := c.listener.AcceptConn()
		if err != nil {
			return err
		}
		<-room
		c.sessions = append(c.sessions, s)
		c.wait(s)
	}
	return nil
}

func (c *Crowd) wait(s net.Conn) {
	c.waiting.Go(func() {
		buf := make([]byte, messageSize)
		for {
			n, err := s.Read(buf)
			if err != nil {
				return
			}
			if _, err := s.Write(buf[:n]); err != nil {
				return
			}
		}
	})
}

// bareTransports returns what the process holds with so many transports and an
// application in Read on one end of each, or on both.
func (c *Crowd) bareTransports(n int, both bool) measure.Memory {
	var waiting sync.WaitGroup
	wait := func(c net.Conn) {
		waiting.Go(func() {
			buf := make([]byte, messageSize)
			_, _ = c.Read(buf)
		})
	}
	pipes := make([][2]net.Conn, n)
	for i := range pipes {
		pipes[i][0], pipes[i][1] = net.Pipe()
		wait(pipes[i][1])
		if both {
			wait(pipes[i][0])
		}
	}
	time.Sleep(c.settle)
	m := measure.TakeMemory()
	for _, p := range pipes {
		_, _ = p[0].Close(), p[1].Close()
	}
	waiting.Wait()
	return m
}

// Share is the library's part of what the process holds: for each session, or
// for each of the two sides where both are here.
type Share struct {
	Heap       float64 // bytes
	Stacks     float64 // bytes
	Goroutines float64
}

// Share measures what there is beyond the transports and the applications in
// Read on them.
func (c *Crowd) Share(_ process.None, s *Share) error {
	time.Sleep(c.settle)
	m := measure.TakeMemory().Since(c.base).Since(c.bare)
	n := float64(len(c.sessions)) * c.sides
	*s = Share{m.Heap / n, m.Stacks / n, float64(m.Goroutines) / n}
	return nil
}

// Exchange lets every client send so many messages and wait for their echoes, and
// then wait in Read.
func (c *Crowd) Exchange(messages int, _ *process.None) error {
	return inParallel(len(c.clients), func(i int) error {
		buf := make([]byte, messageSize)
		for range messages {
			if _, err := c.clients[i].Write(buf); err != nil {
				return err
			}
			if _, err := io.ReadFull(c.clients[i], buf); err != nil {
				return err
			}
		}
		c.wait(c.clients[i])
		return nil
	})
}

// Suspend takes all transports of the crowd away and ends the applications'
// Reads, so that nothing but the sessions is left.
func (c *Crowd) Suspend(_ process.None, s *Share) error {
	for i, p := range c.peers {
		_ = p.Close()
		c.peers[i] = nil
	}
	c.peers = nil
	for _, session := range c.sessions {
		for session.State() == relink.StateConnected {
			time.Sleep(time.Millisecond)
		}
		if state := session.State(); state != relink.StateSuspended {
			return fmt.Errorf("a session is %v instead of suspended", state)
		}
		_ = session.SetReadDeadline(time.Unix(1, 0))
	}
	c.waiting.Wait()
	for _, session := range c.sessions {
		_ = session.SetReadDeadline(time.Time{})
	}
	c.bare = measure.Memory{} // transports and applications are gone
	return c.Share(process.None{}, s)
}

// Watch returns the processor time that the process takes while nothing happens.
func (c *Crowd) Watch(window time.Duration, spent *time.Duration) error {
	// What the runtime has still to do for what was before is done at once: it
	// would give memory back in the background for a minute.
	debug.FreeOSMemory()
	time.Sleep(c.settle)
	before, _ := measure.ProcessorTime()
	time.Sleep(window)
	after, ok := measure.ProcessorTime()
	if !ok {
		return errors.New("this system does not tell processor times")
	}
	*spent = after - before
	return nil
}

// Invite opens so many sessions over TCP, whose server echoes.
func (c *Crowd) Invite(count int, _ *process.None) error {
	accepted := make(chan error, 1)
	go func() {
		for range count {
			s, err := c.listener.AcceptConn()
			if err != nil {
				accepted <- err
				return
			}
			c.wait(s)
		}
		accepted <- nil
	}()
	for range count {
		client, err := c.dialer.DialConn(context.Background(), "tcp", c.inner.Addr().String())
		if err != nil {
			return err
		}
		c.guests = append(c.guests, client)
	}
	return <-accepted
}

// Resume replaces the transports of the invited, one after the other, so many
// times in all, and returns how long each took until a message was back.
func (c *Crowd) Resume(count int, times *[]time.Duration) error {
	buf := make([]byte, 16)
	for i := range count {
		g := c.guests[i%len(c.guests)]
		took, err := ResumeOnce(g.(*relink.Conn), buf)
		if err != nil {
			return err
		}
		*times = append(*times, took)
	}
	return nil
}

// ResumeOnce gives a client a new transport and returns the time until a message
// has come back on it from a server that echoes.
func ResumeOnce(c *relink.Conn, message []byte) (time.Duration, error) {
	start := time.Now()
	c.NetworkChanged()
	if _, err := c.Write(message); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(c, message); err != nil {
		return 0, err
	}
	return time.Since(start), nil
}
