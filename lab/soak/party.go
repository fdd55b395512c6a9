package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"github.com/relink-go/relink"
)

const (
	// The time limits are long, because a machine that does much else at the
	// same time is no fault of the library's. stuckAfter is how long a session
	// may make no progress at all.
	stuckAfter    = 4 * time.Minute
	resumeTimeout = 3 * time.Minute // of both sides
	closeTimeout  = 2 * time.Minute
	grace         = 20 * time.Second
)

// A party is one side of a session together with the application that uses it.
// One goroutine reads and one writes.
type party struct {
	c        *relink.Conn
	address  string // of the server, on the client's side
	h        header
	t        *tally
	in       verifier
	outKey   uint64
	began    time.Time
	out      int64 // offset of the stream that this side writes
	reading  mischief
	writing  mischief
	watchdog *time.Timer
	stuck    atomic.Pointer[string] // the session's state when it was found to be
	buf      []byte                 // the writer's
}

// newParty returns the client's side of a session with the server at an address,
// or the server's if there is none.
func newParty(c *relink.Conn, h header, t *tally, address string) *party {
	p := &party{c: c, address: address, h: h, t: t, in: verifier{key: h.downKey()}, outKey: h.upKey(), began: time.Now()}
	which := uint64(1)
	if address == "" {
		p.in.key, p.outKey, which = p.outKey, p.in.key, 2
	}
	p.reading = mischief{rnd: rand.New(rand.NewPCG(h.seed, which)), set: c.SetReadDeadline}
	p.writing = mischief{rnd: rand.New(rand.NewPCG(h.seed, which+2)), set: c.SetWriteDeadline}
	p.watchdog = time.AfterFunc(stuckAfter, func() {
		state := fmt.Sprintf("%v, %+v", c, c.Stats())
		p.stuck.Store(&state)
		_ = c.Abort()
	})
	return p
}

// mischief is what an application does to itself: it sets deadlines that pass.
type mischief struct {
	rnd   *rand.Rand
	set   func(time.Time) error
	isSet bool
}

// deadline sets one now and then, in the past or soon, and clears the last one.
func (m *mischief) deadline() {
	switch m.rnd.IntN(24) {
	case 0:
		_ = m.set(time.Now().Add(time.Duration(m.rnd.IntN(4)-1) * time.Millisecond)) // an end shows in the call that follows
		m.isSet = true
	default:
		m.clear()
	}
}

func (m *mischief) clear() {
	if m.isSet {
		_ = m.set(time.Time{})
		m.isSet = false
	}
}

// read reads once, whatever deadlines pass meanwhile.
func (p *party) read(b []byte) (int, error) {
	for {
		p.reading.deadline()
		n, err := p.c.Read(b)
		if n > 0 {
			p.watchdog.Reset(stuckAfter)
			return n, nil
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, err
		}
		p.t.deadlines.Add(1)
		p.reading.clear()
	}
}

// receive reads and verifies n bytes of the peer's stream. A reader pauses now
// and then, sometimes for longer than a silent link may last.
func (p *party) receive(n int64) error {
	buf := make([]byte, max(1+p.reading.rnd.IntN(64<<10), int(n/1000)))
	for n > 0 {
		k, err := p.read(buf[:min(int64(len(buf)), n)])
		if err != nil {
			return fmt.Errorf("reading at offset %d: %w", p.in.offset, err)
		}
		if err := p.in.check(buf[:k]); err != nil {
			return err
		}
		p.t.verified(k)
		n -= int64(k)
		switch p.reading.rnd.IntN(2000) {
		case 0:
			time.Sleep(time.Duration(p.reading.rnd.IntN(3000)) * time.Millisecond)
		case 1, 2, 3, 4, 5:
			time.Sleep(time.Duration(p.reading.rnd.IntN(300)) * time.Millisecond)
		}
	}
	return nil
}

// writeFull writes b, whatever deadlines pass meanwhile.
func (p *party) writeFull(b []byte) error {
	for len(b) > 0 {
		p.writing.deadline()
		n, err := p.c.Write(b)
		if n > 0 {
			p.watchdog.Reset(stuckAfter)
		}
		b = b[n:]
		if errors.Is(err, os.ErrDeadlineExceeded) {
			p.t.deadlines.Add(1)
			p.writing.clear()
		} else if err != nil {
			return err
		} else if len(b) > 0 {
			return fmt.Errorf("a Write returned %d bytes short and no error", len(b))
		}
	}
	return nil
}

// send writes n bytes of this side's stream, in pieces of any size.
func (p *party) send(n int64) error {
	// Pieces of any size, but not so many that the pauses take minutes.
	buf := make([]byte, max(1+p.writing.rnd.IntN(64<<10), int(n/1000)))
	for n > 0 {
		b := buf[:min(n, int64(1+p.writing.rnd.IntN(len(buf))))]
		fill(b, p.outKey, p.out)
		if err := p.writeFull(b); err != nil {
			return fmt.Errorf("writing at offset %d: %w", p.out, err)
		}
		p.out += int64(len(b))
		n -= int64(len(b))
		// Bulk, but not all that the machine has: others are to be served too.
		time.Sleep(time.Duration(p.writing.rnd.IntN(8)) * time.Millisecond)
	}
	return nil
}

// message writes one message, and readMessage reads one and returns its op.
func (p *party) message(op byte) error {
	if p.buf == nil {
		p.buf = make([]byte, 1+p.h.size)
	}
	p.buf[0] = op
	fill(p.buf[1:], p.outKey, p.out)
	p.out += int64(p.h.size)
	return p.writeFull(p.buf)
}

func (p *party) readMessage(buf []byte) (byte, error) {
	for done := 0; done < len(buf); {
		n, err := p.read(buf[done:])
		if err != nil {
			if done > 0 && errors.Is(err, io.EOF) {
				return 0, fmt.Errorf("the stream ends in the middle of a message: %w", io.ErrUnexpectedEOF)
			}
			return 0, err
		}
		// What has come is looked at now: behind a byte that is lost there may
		// come nothing more.
		if done == 0 && buf[0] != opMessage && buf[0] != opGoodbye {
			return 0, p.in.explain(p.in.offset-1, buf[:n]) // as if it were a byte of the stream
		}
		if err := p.in.check(buf[max(1, done) : done+n]); err != nil {
			return 0, err
		}
		done += n
	}
	p.t.verified(p.h.size)
	return buf[0], nil
}

// both runs a bulk transfer: it sends and receives at once.
func (p *party) both(send, receive int64) error {
	sent := make(chan error, 1)
	go func() {
		err := p.send(send)
		if err == nil && p.h.end == halfClose {
			err = p.c.CloseWrite()
		}
		if err != nil {
			_ = p.c.SetReadDeadline(time.Time{})
		}
		sent <- err
	}()
	err := p.receive(receive)
	if err == nil && p.h.end == halfClose {
		err = p.expectEOF()
	}
	if err != nil {
		_ = p.c.Abort() // so that the writer returns as well
	}
	if werr := <-sent; err == nil {
		err = werr
	}
	return err
}

// expectEOF reads the end of the peer's stream, which must be here, and must be
// what the peer meant.
func (p *party) expectEOF() error {
	n, err := p.read(make([]byte, 1))
	switch {
	case n > 0:
		return &mismatch{p.in.offset, misplaced, int64(n)}
	case err == io.EOF: //nolint:errorlint // Read returns it bare, by contract
		return nil
	default:
		return fmt.Errorf("in place of io.EOF: %w", err)
	}
}

// finish closes the connection and waits until nothing of it is left. It turns
// the outcome of a session into words.
func (p *party) finish(err error) error {
	_ = p.c.Close() // also after an Abort, which makes it an error
	select {
	case <-p.c.Done():
	case <-time.After(closeTimeout + grace):
		if err == nil {
			err = fmt.Errorf("still there %v after Close, in state %v", closeTimeout+grace, p.c.State())
		}
		_ = p.c.Abort()
	}
	p.watchdog.Stop()
	state := p.stuck.Load()
	switch {
	case state != nil:
		err = fmt.Errorf("no progress for %v: %s; then %w", stuckAfter, *state, err)
	case err == nil && p.c.State() != relink.StateClosed:
		err = fmt.Errorf("after Done in state %v", p.c.State())
	case err == nil && !p.emptied():
		err = fmt.Errorf("after Done with %d bytes of buffer", p.c.Stats().Memory)
	}
	if err != nil {
		err = fmt.Errorf("%v, %v old: %w", p.h, time.Since(p.began).Round(time.Millisecond), err)
	}
	return err
}

// emptied waits until the session holds no buffers. A goroutine that was in the
// transport's Write when the session ended gives its own back a moment later.
func (p *party) emptied() bool {
	for deadline := time.Now().Add(grace); p.c.Stats().Memory > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}
