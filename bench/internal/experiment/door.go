package experiment

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/relink-go/relink/bench/internal/subject"
)

// A door is a server with a goroutine that accepts, where several clients may come
// at once and each finds its other side.
type door struct {
	subject  subject.Subject
	listener net.Listener

	mu       sync.Mutex // guards everything below
	changed  sync.Cond
	accepted map[string]net.Conn // by the client's port
	closed   bool
}

func openDoor(s subject.Subject) (*door, error) {
	l, err := s.Listen()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name(), err)
	}
	d := &door{subject: s, listener: l, accepted: make(map[string]net.Conn)}
	d.changed.L = &d.mu
	go func() {
		for {
			c, err := l.Accept()
			d.mu.Lock()
			if err != nil || d.closed {
				d.closed = true
				d.changed.Broadcast()
				d.mu.Unlock()
				if err == nil {
					subject.Abort(c)
				}
				return
			}
			d.accepted[port(c.RemoteAddr())] = c
			d.changed.Broadcast()
			d.mu.Unlock()
		}
	}()
	return d, nil
}

func port(a net.Addr) string {
	_, p, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return p
}

func (d *door) close() {
	_ = d.listener.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for _, c := range d.accepted {
		subject.Abort(c)
	}
}

// errClosedDoor is what a client finds whose server has ended.
var errClosedDoor = errors.New("the server has ended")

// enter dials once and waits for the other side. Through a network with a relay
// the server sees other ports; there only one client may come at a time.
func (d *door) enter(ctx context.Context, n subject.Network) (client, server net.Conn, err error) {
	client, err = d.subject.Dial(ctx, n, d.listener.Addr().String())
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", d.subject.Name(), err)
	}
	_, direct := n.(subject.Loopback)
	mine := port(client.LocalAddr())
	d.mu.Lock()
	defer d.mu.Unlock()
	for !d.closed {
		for p, server := range d.accepted {
			if p == mine || !direct {
				delete(d.accepted, p)
				return client, server, nil
			}
		}
		d.changed.Wait()
	}
	subject.Abort(client)
	return nil, nil, errClosedDoor
}
