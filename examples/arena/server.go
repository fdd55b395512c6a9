package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/relink-go/relink"
)

// A server plays the world's sessions against each other.
type server struct {
	logger *slog.Logger

	mu       sync.Mutex // guards the rest
	world    *world
	sessions map[*relink.Conn]*session
	dropped  int // states that a client had no room for
}

// A session is a player and what is still to be said to it. It lives as long as the
// relink session, and so through any number of lost networks: nothing here is about
// reconnecting.
type session struct {
	conn *relink.Conn
	body *body

	// Guarded by the server's lock.

	events  [][]byte // to be written, in order
	number  int      // of the last event
	over    bool
	changed chan struct{} // holds a token when events or over have changed
}

const (
	// maxLine bounds a client's message, and joinTime the time until its first.
	maxLine  = 1 << 10
	joinTime = 10 * time.Second

	// maxEvents is how many events may wait for a client that is away, beside what is in
	// its session's buffer, before it is given up. How much a client may miss is the
	// game's to decide, and not the library's.
	maxEvents = 10_000
)

func newServer(logger *slog.Logger) *server {
	return &server{logger: logger, world: newWorld(), sessions: map[*relink.Conn]*session{}}
}

// serve takes players from the listener until it is closed.
func (s *server) serve(l *relink.Listener) error {
	for {
		conn, err := l.AcceptConn()
		if err != nil {
			return err
		}
		go func() {
			if err := s.play(conn); err != nil {
				s.logger.Info("a player is gone", "session", conn.ID(), "because", err)
			}
		}()
	}
}

// play is the life of one player.
func (s *server) play(conn *relink.Conn) error {
	defer conn.Abort() // after a Close it does nothing
	if err := conn.SetReadDeadline(time.Now().Add(joinTime)); err != nil {
		return err
	}
	lines := bufio.NewScanner(conn)
	lines.Buffer(make([]byte, 0, 256), maxLine)
	first, err := next(lines)
	if err != nil {
		return err
	}
	if first.Type != "join" {
		return fmt.Errorf("the first message is %q and not join", first.Type)
	}
	if err := conn.SetReadDeadline(time.Time{}); err != nil { // who is away is relink's to know: see heard
		return err
	}
	p := s.join(conn, first.Name)
	defer s.leave(p)
	go p.write(s)
	for {
		m, err := next(lines)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		s.mu.Lock()
		p.body.steer(m.DX, m.DY)
		s.mu.Unlock()
	}
}

// next reads the next message.
func next(lines *bufio.Scanner) (message, error) {
	if !lines.Scan() {
		if err := lines.Err(); err != nil {
			return message{}, err
		}
		return message{}, io.EOF
	}
	return parse(lines.Bytes())
}

// join puts a player into the world, and tells it of the others and the others of it.
func (s *server) join(conn *relink.Conn, name string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &session{conn: conn, body: s.world.join(name), changed: make(chan struct{}, 1)}
	p.queueLocked(message{Type: "welcome", You: p.body.number, Width: width, Height: height})
	for _, other := range s.world.players {
		if other != p.body {
			p.eventLocked(joined, other)
		}
	}
	s.sessions[conn] = p
	s.announceLocked(joined, p.body)
	return p
}

// leave takes a player out of the world.
func (s *server) leave(p *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, p.conn)
	s.world.leave(p.body)
	s.announceLocked(left, p.body)
	p.over = true
	p.wakeLocked()
}

// heard is the listener's OnEvent. A player whose network is gone is shown as away, and
// its body stands still; it is the same player when it comes back.
func (s *server) heard(e relink.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.sessions[e.Conn]
	if p == nil {
		return
	}
	if e.Kind == relink.EventSuspended && !p.body.away {
		p.body.away = true
		s.announceLocked(away, p.body)
	}
	if e.Kind == relink.EventResumed && p.body.away { // a new network may come before the old one was seen to be gone
		p.body.away = false
		s.announceLocked(back, p.body)
	}
}

// run moves the world on, tick by tick, until done is closed.
func (s *server) run(done <-chan struct{}) {
	ticks := time.NewTicker(time.Second / ticksPerSecond)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			s.tick()
		case <-done:
			return
		}
	}
}

// tick is one step, and its broadcast. No client holds it up: TryWrite never waits, and
// what it does not take is old in a twentieth of a second anyway.
func (s *server) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.world.step() {
		s.announceLocked(coin, b)
	}
	state := s.world.state().line()
	for _, p := range s.sessions {
		if p.body.away {
			continue // it would only have more to catch up with
		}
		if took, err := p.conn.TryWrite(state); err == nil && !took {
			s.dropped++
		}
	}
}

// announceLocked tells all players of an event.
func (s *server) announceLocked(kind string, about *body) {
	for _, p := range s.sessions {
		p.eventLocked(kind, about)
	}
}

// eventLocked tells a player of an event.
func (p *session) eventLocked(kind string, about *body) {
	p.number++
	m := message{Type: "event", Number: p.number, Kind: kind, Player: about.number, Score: about.score}
	if kind == joined {
		m.Name = about.name
	}
	p.queueLocked(m)
}

func (p *session) queueLocked(m message) {
	if len(p.events) == maxEvents {
		_ = p.conn.Abort() // its Read ends, and so does play
		return
	}
	p.events = append(p.events, m.line())
	p.wakeLocked()
}

func (p *session) wakeLocked() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// write writes what is queued. Write may wait, for a client that is away and has no room
// left in its session: that is why it has a goroutine of its own.
func (p *session) write(s *server) {
	for range p.changed {
		s.mu.Lock()
		events, over := p.events, p.over
		p.events = nil
		s.mu.Unlock()
		for _, line := range events {
			if _, err := p.conn.Write(line); err != nil {
				return // play hears of it, too
			}
		}
		if over {
			return
		}
	}
}
