package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/relink-go/relink"
)

const (
	// socketBuffer is the size of all sockets' buffers, and replayLimit what
	// the classic suites then need for a direction: four sockets, of which the
	// kernel doubles each buffer, and the relay, twice. See docs/sizing.md.
	socketBuffer = 64 << 10
	replayLimit  = 2 << 20

	maxBackoff     = 300 * time.Millisecond
	minBackoff     = 5 * time.Millisecond
	attemptTimeout = 4 * time.Second

	// headerTimeout is how long a server waits for the header of a session. One
	// that is older has lost its client in the handshake.
	headerTimeout = resumeTimeout
)

// config returns the settings of both sides.
func config(t *tally, liveness time.Duration) relink.Config {
	return relink.Config{
		ReplayLimit: replayLimit, ResumeTimeout: resumeTimeout, CloseTimeout: closeTimeout,
		LivenessTimeout: liveness, OnEvent: t.event,
	}
}

// A backend is a server, in this process or in another.
type backend interface {
	address(group int) string // where new sessions go
	counts() counts
	finish() (serverResult, error) // when all clients are through
}

// A serverResult is what a server says at its end.
type serverResult struct {
	Counts  counts
	Process *judgement // nil if it is the clients' process
}

// serveOptions are what a server has to know.
type serveOptions struct {
	Key      string
	Liveness time.Duration
	Restart  time.Duration
}

// A server accepts sessions on one port for each group of suites, and replaces
// the listeners from time to time: the old ones serve the sessions that they
// have until these have ended, resumes included.
type server struct {
	o     serveOptions
	keys  keys
	tally tally

	quit     chan struct{}
	work     sync.WaitGroup // everything that the server has started
	draining context.Context
	cancel   context.CancelFunc

	mu        sync.Mutex // guards the fields below
	listeners [groups]*relink.Listener
	conns     map[*relink.Conn]bool // sessions; true once the header has come
	stopping  bool
	changed   func([groups]string) // is told the new addresses, or nil
}

func newServer(o serveOptions) (*server, error) {
	private, err := relink.ParsePrivateKey(o.Key)
	if err != nil {
		return nil, err
	}
	s := &server{o: o, keys: keys{private: private}, quit: make(chan struct{}), conns: make(map[*relink.Conn]bool)}
	s.draining, s.cancel = context.WithCancel(context.Background())
	if err := s.replace(); err != nil {
		return nil, err
	}
	if o.Restart > 0 {
		s.work.Go(s.replaceByClock)
	}
	return s, nil
}

// smallBuffers is a listener whose connections have small socket buffers.
type smallBuffers struct{ *net.TCPListener }

func (l smallBuffers) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	setBuffers(c)
	return c, nil
}

func setBuffers(c *net.TCPConn) {
	_ = c.SetReadBuffer(socketBuffer) // fails only on a closed connection
	_ = c.SetWriteBuffer(socketBuffer)
}

// replace opens new listeners and shuts the old ones down.
func (s *server) replace() error {
	var next, old [groups]*relink.Listener
	for g := range groups {
		inner, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return err
		}
		cfg := relink.ListenConfig{Config: config(&s.tally, s.o.Liveness), Suites: groupSuites(g, s.keys)}
		// A session whose client's last word of the handshake was cut off can be
		// resumed for as long as this, and here cut follows on cut.
		cfg.HandshakeTimeout = headerTimeout
		if next[g], err = relink.NewListener(smallBuffers{inner.(*net.TCPListener)}, cfg); err != nil {
			return err
		}
		s.tally.listenersStarted.Add(1)
		s.work.Go(func() { s.accept(next[g]) })
	}
	s.mu.Lock()
	old, s.listeners = s.listeners, next
	changed := s.changed
	s.mu.Unlock()
	if changed != nil {
		changed(s.addresses())
	}
	for _, l := range old {
		if l != nil {
			s.work.Go(func() { s.shutdown(l) })
		}
	}
	return nil
}

// shutdown waits until the listener's sessions have ended.
func (s *server) shutdown(l *relink.Listener) {
	if err := l.Shutdown(s.draining); err != nil {
		s.tally.fail(fmt.Errorf("a listener that was shut down still had sessions: %w", err))
		return
	}
	s.tally.listenersEnded.Add(1)
}

func (s *server) replaceByClock() {
	ticker := time.NewTicker(s.o.Restart)
	defer ticker.Stop()
	for {
		select {
		case <-s.quit:
			return
		case <-ticker.C:
		}
		if err := s.replace(); err != nil {
			s.tally.fail(fmt.Errorf("replacing the listeners: %w", err))
		}
	}
}

func (s *server) addresses() (a [groups]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for g, l := range s.listeners {
		a[g] = l.Addr().String()
	}
	return a
}

func (s *server) address(group int) string { return s.addresses()[group] }
func (s *server) counts() counts           { return s.tally.snapshot() }

func (s *server) accept(l *relink.Listener) {
	for {
		c, err := l.AcceptConn()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.tally.fail(fmt.Errorf("accepting: %w", err))
			}
			return
		}
		s.work.Go(func() { s.serve(c) })
	}
}

// serve is the application of one session.
func (s *server) serve(c *relink.Conn) {
	s.mu.Lock()
	s.conns[c] = false
	timeout := headerTimeout
	if s.stopping {
		timeout = 0
	}
	_ = c.SetReadDeadline(time.Now().Add(timeout))
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
	}()

	b := make([]byte, headerSize)
	n := 0
	var err error
	for n < len(b) && err == nil {
		var k int
		k, err = c.Read(b[n:])
		n += k
	}
	s.mu.Lock()
	s.conns[c] = n > 0
	s.mu.Unlock()
	if n == 0 {
		s.tally.orphans.Add(1)
		_ = c.Abort()
		return
	}
	var h header
	if n == len(b) {
		h, err = decodeHeader(b)
	}
	if err != nil {
		s.tally.fail(fmt.Errorf("the header of a session, of which %d bytes came: %w", n, err))
		_ = c.Abort()
		return
	}
	_ = c.SetReadDeadline(time.Time{}) // an end shows in the next Read
	s.tally.opened.Add(1)
	p := newParty(c, h, &s.tally, "")
	if err := p.finish(p.server()); err != nil {
		s.tally.fail(fmt.Errorf("server: %w", err))
		return
	}
	s.tally.ended.Add(1)
}

// lastLinger is how long the server's sessions may take to end when there are no
// clients any more.
const lastLinger = 5 * time.Second

// stop ends what is left when all clients are through, and waits until nothing
// is. A session whose header never came has lost its client in the handshake. One
// that lingers waits for an acknowledgement that a cut has destroyed. Any other
// fails, because it is aborted in the middle of something.
func (s *server) stop() {
	close(s.quit)
	s.mu.Lock()
	s.stopping = true
	for c, named := range s.conns {
		if !named {
			_ = c.SetReadDeadline(time.Now())
		}
	}
	listeners := s.listeners
	s.mu.Unlock()
	for _, l := range listeners {
		s.work.Go(func() { s.shutdown(l) })
	}
	abort := time.AfterFunc(lastLinger, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			_ = c.Abort()
		}
	})
	cancel := time.AfterFunc(lastLinger+2*grace, s.cancel)
	s.work.Wait()
	abort.Stop()
	cancel.Stop()
	s.cancel()
}

func (s *server) finish() (serverResult, error) {
	s.stop()
	settleEvents(&s.tally)
	return serverResult{Counts: s.tally.snapshot()}, nil
}

// settleEvents waits until events have told the end of every session, which come
// shortly after it.
func settleEvents(t *tally) {
	for deadline := time.Now().Add(grace); t.connOpened.Load() != t.connClosed.Load() && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
}
