package experiment

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// drainBuffer is what a receiver reads into.
const drainBuffer = 256 << 10

// Drain reads n bytes.
func Drain(c net.Conn, n int) error {
	buf := make([]byte, min(n, drainBuffer))
	for n > 0 {
		k, err := c.Read(buf[:min(n, len(buf))])
		n -= k
		if err != nil {
			return err
		}
	}
	return nil
}

// WriteBatch sends messages of a size one way and returns when the last has been
// read. The writers share one connection; lock, if not nil, is around each Write.
func WriteBatch(from, to net.Conn, size, messages, writers int, lock sync.Locker) error {
	drained := make(chan error, 1)
	go func() { drained <- Drain(to, size*messages) }()
	var others sync.WaitGroup
	errs := make([]error, writers)
	for w := 1; w < writers; w++ {
		others.Go(func() { errs[w] = writeSome(from, size, share(messages, writers, w), lock) })
	}
	errs[0] = writeSome(from, size, share(messages, writers, 0), lock) // one writer needs no other goroutine
	others.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("write: %w", err) // the receiver would wait for ever
	}
	return <-drained
}

// share is how many of n fall to the i-th of several.
func share(n, of, i int) int { return (n + of - 1 - i) / of }

func writeSome(c net.Conn, size, messages int, lock sync.Locker) error {
	p := make([]byte, size)
	for range messages {
		if lock != nil {
			lock.Lock()
		}
		_, err := c.Write(p)
		if lock != nil {
			lock.Unlock()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Echo returns what it reads, until the connection ends.
func Echo(c net.Conn, size int) {
	buf := make([]byte, size)
	for {
		if _, err := io.ReadFull(c, buf); err != nil {
			return
		}
		if _, err := c.Write(buf); err != nil {
			return
		}
	}
}

// RoundTrips sends messages to an [Echo] of the same size, one at a time, and
// appends how many nanoseconds each took to times, unless that is nil.
func RoundTrips(c net.Conn, size, messages int, times *[]float64) error {
	return (&circle{conns: []net.Conn{c}}).roundTrips(size, messages, times)
}

// A circle of connections takes turns, message by message.
type circle struct {
	conns []net.Conn
	next  int
	took  []float64 // of a turn; used again, because memory that is new costs a page fault each 512 messages

	// Of those that openCircle opened.

	servers  []net.Conn
	listener net.Listener
}

// roundTrips is [RoundTrips] where each message takes the next connection.
func (r *circle) roundTrips(size, messages int, times *[]float64) error {
	p := make([]byte, size)
	if times != nil && cap(r.took) < messages {
		r.took = make([]float64, 0, messages)
	}
	took := r.took[:0]
	last := time.Now()
	for range messages {
		c := r.conns[r.next]
		if r.next++; r.next == len(r.conns) {
			r.next = 0
		}
		if _, err := c.Write(p); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, p); err != nil {
			return err
		}
		if times != nil {
			now := time.Now()
			took = append(took, float64(now.Sub(last)))
			last = now
		}
	}
	if times != nil {
		*times = append(*times, took...)
	}
	return nil
}
