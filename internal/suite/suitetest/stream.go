// Package suitetest has the streams that the tests of protocols run handshakes on:
// one whose input is known beforehand, and the two ends of a wire. What Next has
// returned is spoiled as soon as it is no longer valid.
package suitetest

import (
	"bytes"
	"io"
	"slices"
	"sync"

	"github.com/relink-go/relink/internal/suite"
)

// A Script is a [suite.Stream] whose input is known beforehand.
type Script struct {
	In     []byte   // what was not taken
	Writes [][]byte // what was sent, by message
	Asked  int      // how many bytes Next was asked for

	// WriteErr, if not nil, is what Write returns.
	WriteErr error
	// Reply, if not nil, is called with each message and adds to the input.
	Reply func(message int, b []byte) []byte

	last []byte
}

// Sent returns all that was sent.
func (s *Script) Sent() []byte { return bytes.Join(s.Writes, nil) }

// Next implements [suite.Stream].
func (s *Script) Next(n int) ([]byte, error) {
	s.Asked += n
	b, rest, err := next(&s.last, s.In, n)
	s.In = rest
	return b, err
}

// Write implements [suite.Stream].
func (s *Script) Write(p []byte) (int, error) {
	if s.WriteErr != nil {
		return 0, s.WriteErr
	}
	s.Writes = append(s.Writes, slices.Clone(p))
	if s.Reply != nil {
		s.In = append(s.In, s.Reply(len(s.Writes)-1, p)...)
	}
	return len(p), nil
}

// next takes n bytes from the input, which has no more to come.
func next(last *[]byte, in []byte, n int) (b, rest []byte, err error) {
	if n < 0 || n > suite.MaxMessage {
		panic("Next out of bounds")
	}
	for i := range *last {
		(*last)[i] = 0xa5
	}
	switch {
	case len(in) >= n:
		*last = slices.Clone(in[:n])
		return *last, in[n:], nil
	case len(in) == 0:
		return nil, in, io.EOF
	default:
		return nil, in, io.ErrUnexpectedEOF
	}
}

// A direction carries the bytes of a wire one way.
type direction struct {
	mu     sync.Mutex // guards the fields below
	arrive *sync.Cond
	buf    []byte
	closed bool
}

func newDirection() *direction {
	d := new(direction)
	d.arrive = sync.NewCond(&d.mu)
	return d
}

// An End is one end of a wire.
type End struct {
	Writes [][]byte // what was sent, by message

	// Mangle, if not nil, changes the messages that this end sends. It says
	// whether the wire still carries anything after the message.
	Mangle func(message int, b []byte) (changed []byte, open bool)

	in, out *direction
	last    []byte
}

// NewWire returns the two ends of a wire, which holds what was not read yet.
func NewWire() (client, server *End) {
	a, b := newDirection(), newDirection()
	return &End{in: a, out: b}, &End{in: b, out: a}
}

// Close ends what this end sends.
func (e *End) Close() {
	e.out.mu.Lock()
	defer e.out.mu.Unlock()
	e.out.closed = true
	e.out.arrive.Broadcast()
}

// Sent returns all that was sent.
func (e *End) Sent() []byte { return bytes.Join(e.Writes, nil) }

// Next implements [suite.Stream].
func (e *End) Next(n int) ([]byte, error) {
	d := e.in
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.buf) < n && !d.closed {
		d.arrive.Wait()
	}
	b, rest, err := next(&e.last, d.buf, n)
	d.buf = rest
	return b, err
}

// Write implements [suite.Stream].
func (e *End) Write(p []byte) (int, error) {
	b, open := slices.Clone(p), true
	if e.Mangle != nil {
		b, open = e.Mangle(len(e.Writes), b)
	}
	e.Writes = append(e.Writes, b)
	d := e.out
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.buf = append(d.buf, b...)
	}
	d.closed = d.closed || !open
	d.arrive.Broadcast()
	return len(p), nil
}

// Run runs both sides of a handshake. A side that returns closes its direction.
func Run(client, server *End, c, s func(suite.Stream) error) (clientErr, serverErr error) {
	done := make(chan error)
	go func() {
		err := s(server)
		server.Close()
		done <- err
	}()
	clientErr = c(client)
	client.Close()
	return clientErr, <-done
}
