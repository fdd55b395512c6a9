package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/relink-go/relink"
)

// A statusLine shows on a terminal, in one line, what became of the sessions.
type statusLine struct {
	w    io.Writer
	stop chan struct{}
	done chan struct{}

	mu        sync.Mutex // guards what follows, and w
	open      int
	suspended map[*relink.Conn]time.Time // since when
	last      string                     // what happened last
}

func newStatusLine(w io.Writer) *statusLine {
	s := &statusLine{w: w, stop: make(chan struct{}), done: make(chan struct{}), suspended: make(map[*relink.Conn]time.Time)}
	go s.tick()
	return s
}

// event is told what happens to sessions.
func (s *statusLine) event(e relink.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e.Kind {
	case relink.EventOpened:
		s.open++
		s.last = "connected"
	case relink.EventSuspended:
		s.suspended[e.Conn] = e.Time
	case relink.EventResumed:
		delete(s.suspended, e.Conn)
		s.last = fmt.Sprintf("resumed after %.1f s, %s sent again", e.Gap.Seconds(), size(e.Replayed))
	case relink.EventClosed:
		delete(s.suspended, e.Conn)
		s.open--
		s.last = "ended"
		if e.Err != nil {
			s.last = "lost: " + e.Err.Error()
		}
	default:
		return
	}
	s.drawLocked(time.Now())
}

// tick counts the seconds of a suspension.
func (s *statusLine) tick() {
	defer close(s.done)
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case now := <-t.C:
			s.mu.Lock()
			if len(s.suspended) > 0 {
				s.drawLocked(now)
			}
			s.mu.Unlock()
		}
	}
}

func (s *statusLine) drawLocked(now time.Time) {
	fmt.Fprintf(s.w, "\r\x1b[Krelink: %s", s.textLocked(now))
}

func (s *statusLine) textLocked(now time.Time) string {
	text := s.last
	var since time.Time // the longest
	for _, t := range s.suspended {
		if since.IsZero() || t.Before(since) {
			since = t
		}
	}
	if !since.IsZero() {
		text = fmt.Sprintf("suspended for %.0f s", now.Sub(since).Seconds())
	}
	if s.open > 1 {
		text = fmt.Sprintf("%d sessions, %d suspended; %s", s.open, len(s.suspended), text)
	}
	return text
}

func (s *statusLine) close() {
	close(s.stop)
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != "" {
		fmt.Fprintln(s.w)
	}
}

// size is a number of bytes for people.
func size(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d bytes", n)
	case n < 1000*1000:
		return fmt.Sprintf("%d KB", n/1000)
	default:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
}
