package subject

import (
	"context"
	"crypto/cipher"
	"net"
	"sync"
)

// classic is a re-creation of the design that reconnecting streams commonly
// have: two goroutines and two buffers a connection. A reader goroutine moves what
// arrives into an inbound buffer, from which Read copies; Write copies into an
// outbound buffer, which a writer goroutine drains. What was sent stays in the
// outbound buffer as history, for a resume.
//
// It models how such a library moves bytes: the copies, the wake-ups of other
// goroutines, the gathering of small writes, and two rings that are there from
// the start. It does not model what such a library does beyond that: there is no
// resumption, no session id, no list of sessions, no deadline. It is therefore
// kinder than the real thing in everything but speed, where it is the same; it
// is written for this comparison and not taken from any library.
type classic struct {
	encrypted bool // RC4 below the buffers, as in cipherOverTCP
}

// ringSize is the size in bytes of either buffer. Libraries of this design take from
// 64 KiB to 1 MiB.
const ringSize = 64 << 10

func (s classic) Name() string {
	if s.encrypted {
		return ClassicRC
	}
	return Classic
}

func (s classic) About() string {
	if s.encrypted {
		return "The same with the key exchange and the RC4 of the subject RC4 below the buffers."
	}
	return "A re-creation, made for this comparison, of the usual design of reconnecting streams: a reader goroutine and a writer goroutine " +
		"with a ring of 64 KiB each. No encryption. It moves bytes as such a library does, and cannot resume."
}

func (classic) ConcurrentWrites() bool { return true }

func (s classic) Listen() (net.Listener, error) { return newUpgrader(s.start) }

func (s classic) Dial(ctx context.Context, n Network, address string) (net.Conn, error) {
	return dialUpgraded(ctx, n, address, s.start)
}

func (s classic) start(t net.Conn) (net.Conn, error) {
	c := &classicConn{Conn: t, in: newRing(), out: newRing()}
	if s.encrypted {
		key, err := agree(t)
		if err != nil {
			return nil, err
		}
		if c.inCipher, err = newRC4(key); err != nil {
			return nil, err
		}
		if c.outCipher, err = newRC4(key); err != nil {
			return nil, err
		}
	}
	go c.receive()
	go c.send()
	return c, nil
}

// A classicConn is one connection of the design.
type classicConn struct {
	net.Conn
	in, out             *ring
	inCipher, outCipher cipher.Stream // nil without encryption
}

// receive is the reader goroutine.
func (c *classicConn) receive() {
	buf := make([]byte, 16<<10)
	for {
		n, err := c.Conn.Read(buf)
		if c.inCipher != nil {
			c.inCipher.XORKeyStream(buf[:n], buf[:n])
		}
		if _, full := c.in.put(buf[:n]); full != nil {
			return
		}
		if err != nil {
			c.in.end(err)
			c.out.end(err)
			return
		}
	}
}

// send is the writer goroutine. What it takes stays in the ring until new data
// overwrites it, which is the history of a resume.
func (c *classicConn) send() {
	buf := make([]byte, 16<<10)
	for {
		n, err := c.out.take(buf)
		if err != nil {
			return
		}
		if c.outCipher != nil {
			c.outCipher.XORKeyStream(buf[:n], buf[:n])
		}
		if _, err := c.Conn.Write(buf[:n]); err != nil {
			c.in.end(err)
			c.out.end(err)
			return
		}
	}
}

func (c *classicConn) Read(p []byte) (int, error)  { return c.in.take(p) }
func (c *classicConn) Write(p []byte) (int, error) { return c.out.put(p) }

func (c *classicConn) Close() error {
	c.in.end(net.ErrClosed)
	c.out.end(net.ErrClosed)
	return c.Conn.Close()
}

// NetConn returns the connection below.
func (c *classicConn) NetConn() net.Conn { return c.Conn }

// A ring is a bounded queue of bytes between two goroutines.
type ring struct {
	mu      sync.Mutex // guards everything below
	changed sync.Cond
	buf     []byte
	start   int // where the oldest byte lies
	n       int // how many there are
	err     error
}

func newRing() *ring {
	r := &ring{buf: make([]byte, ringSize)}
	r.changed.L = &r.mu
	return r
}

// put waits for room until all of p is in.
func (r *ring) put(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	done := 0
	for done < len(p) {
		for r.n == len(r.buf) && r.err == nil {
			r.changed.Wait()
		}
		if r.err != nil {
			return done, r.err
		}
		at := (r.start + r.n) % len(r.buf)
		room := min(len(r.buf)-r.n, len(r.buf)-at)
		k := copy(r.buf[at:at+room], p[done:])
		r.n += k
		done += k
		r.changed.Broadcast()
	}
	return done, nil
}

// take waits for bytes and copies what is there.
func (r *ring) take(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.n == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.changed.Wait()
	}
	n := copy(p, r.buf[r.start:min(r.start+r.n, len(r.buf))])
	r.start = (r.start + n) % len(r.buf)
	r.n -= n
	r.changed.Broadcast()
	return n, nil
}

// end lets put fail, and take when it has emptied the ring. The first reason
// stays.
func (r *ring) end(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
	r.changed.Broadcast()
}
