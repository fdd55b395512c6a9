package relink

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/relink-go/relink/internal/socket"
)

// A source is one of a listener's inner listeners. It never changes.
type source struct {
	net.Listener
	label        string
	keepAliveSet bool // its transports come with our keep-alive
}

// AddListener makes l take transports from inner too, beside those that it has: another
// port, a Unix socket, a WebSocket. A session may come back over any of them, whichever it
// was opened over. The label names inner in [Event.Label] and [Conn.Label]; it need not be
// unique. It may be called at any time, also in place of an inner listener that has failed.
//
// An inner listener that fails for good, or is closed by its owner, is closed and left
// behind with an [EventListenerFailed]. The others go on, and so do all sessions; Accept
// returns the failure only if none is left. Close of l closes all.
//
// After Close of l it returns an error that is net.ErrClosed, and leaves inner as it is.
func (l *Listener) AddListener(inner net.Listener, label string) error {
	if isNilListener(inner) {
		return errors.New("relink: AddListener needs an inner listener")
	}
	s := &source{Listener: inner, label: label}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return l.opError(net.ErrClosed)
	}
	l.addLocked(s)
	return nil
}

// addLocked begins to accept from an inner listener.
func (l *Listener) addLocked(s *source) {
	l.sources = append(l.sources, s)
	l.failure = nil
	go l.acceptLoop(s)
}

// sourceFailed leaves an inner listener behind.
func (l *Listener) sourceFailed(s *source, err error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return // Close has closed it
	}
	for i, other := range l.sources {
		if other == s {
			l.sources = append(l.sources[:i], l.sources[i+1:]...)
			break
		}
	}
	if len(l.sources) == 0 {
		l.failure = err
		l.acceptable.Broadcast()
	}
	l.mu.Unlock()
	_ = closeRecover(s) // what it says is no news
	l.notify.post(Event{Kind: EventListenerFailed, Label: s.label, Err: err})
}

// closeSources closes the inner listeners, which Close has taken.
func closeSources(sources []*source) error {
	var errs []error
	for _, s := range sources {
		if err := closeRecover(s); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// The pauses after temporary errors of an inner listener.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// acceptLoop takes transports from an inner listener and gives each its
// handshake's goroutine.
func (l *Listener) acceptLoop(s *source) {
	pause := time.Duration(0)
	for {
		t, err := acceptRecover(s)
		if err == nil {
			pause = 0
			l.begin(contain(t), s)
			continue
		}
		if !socket.Temporary(err) {
			l.sourceFailed(s, err)
			return
		}
		pause = min(max(2*pause, minAcceptPause), maxAcceptPause)
		l.notify.post(Event{Kind: eventAcceptFailed, Label: s.label, Err: err})
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-l.quit:
			timer.Stop()
			return // an inner listener may call its end temporary, again and again
		}
	}
}

// acceptRecover keeps an inner listener's mistakes from doing harm.
func acceptRecover(inner net.Listener) (t net.Conn, err error) {
	defer func() {
		if p := recover(); p != nil {
			t, err = nil, fmt.Errorf("relink: the inner listener panicked: %v", p)
		}
	}()
	t, err = inner.Accept()
	if err == nil && isNil(t) {
		err = errors.New("relink: the inner listener returned neither a transport nor an error")
	}
	return t, err
}

// closeRecover is acceptRecover for Close.
func closeRecover(inner net.Listener) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("relink: the inner listener panicked in Close: %v", p)
		}
	}()
	return inner.Close()
}
