package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/relink-go/relink"
)

// plan decides what a session is for.
func plan(rnd *rand.Rand, c choice) header {
	h := header{suite: index(c.name), seed: rnd.Uint64(), end: goodbye}
	switch k := rnd.IntN(20); {
	case k < 5:
		h.load = bulk
		h.up, h.down = rnd.Int64N(1<<(10+rnd.IntN(13))), rnd.Int64N(1<<(10+rnd.IntN(13)))
		if c.acks && rnd.IntN(2) == 0 {
			h.end = halfClose
		}
	case k < 11:
		h.load, h.size, h.count = game, 16+rnd.IntN(400), 20+rnd.IntN(300)
		if c.acks && rnd.IntN(2) == 0 {
			h.end = halfClose
		}
	case k < 13:
		h.load, h.size, h.count = quiet, 16+rnd.IntN(1000), 1+rnd.IntN(6)
	default:
		h.load, h.size, h.count = churn, 1+rnd.IntN(8000), 1+rnd.IntN(3)
		h.end = []end{goodbye, abort}[rnd.IntN(2)]
		if c.acks {
			h.end = []end{goodbye, abort, halfClose, leave}[rnd.IntN(4)]
		}
	}
	return h
}

// client is the application on the client's side of a session. It makes an end
// soon once windDown is closed.
func (p *party) client(windDown <-chan struct{}) error {
	if err := p.writeFull(p.h.encode()); err != nil {
		return fmt.Errorf("writing the header: %w", err)
	}
	if p.h.load == bulk {
		if err := p.both(p.h.up, p.h.down); err != nil || p.h.end == halfClose {
			return err
		}
		if err := p.writeFull([]byte{opGoodbye}); err != nil {
			return fmt.Errorf("saying goodbye: %w", err)
		}
		return p.expectClosed()
	}
	if err := p.converse(windDown); err != nil {
		return err
	}
	switch p.h.end {
	case abort:
		_ = p.c.Abort()
		return nil
	case leave:
		return nil // finish closes
	case halfClose:
		if err := p.c.CloseWrite(); err != nil {
			return fmt.Errorf("ending the stream: %w", err)
		}
		return p.expectEOF()
	default:
		if err := p.message(opGoodbye); err != nil {
			return fmt.Errorf("saying goodbye: %w", err)
		}
		return p.expectClosed()
	}
}

// converse sends messages and reads the answers.
func (p *party) converse(windDown <-chan struct{}) error {
	answer := make([]byte, 1+p.h.size)
	for i := range p.h.count {
		began := time.Now()
		if err := p.message(opMessage); err != nil {
			return fmt.Errorf("writing message %d: %w", i, err)
		}
		if p.h.end == leave && i == p.h.count-1 {
			return nil
		}
		if _, err := p.readMessage(answer); err != nil {
			return fmt.Errorf("reading the answer to message %d: %w", i, err)
		}
		p.t.echo.add(time.Since(began))
		if over, err := p.pause(windDown); err != nil {
			return err
		} else if over && p.h.load != churn {
			return nil
		}
	}
	return nil
}

// pause waits between two messages, in a Read or away from it, and reports
// whether it is time to end.
func (p *party) pause(windDown <-chan struct{}) (over bool, err error) {
	var d time.Duration
	switch p.h.load {
	case game:
		d = 50 * time.Millisecond
	case quiet:
		d = time.Duration(500+p.writing.rnd.IntN(6000)) * time.Millisecond
	case bulk, churn:
		return false, nil
	}
	if p.h.load == quiet && p.writing.rnd.IntN(2) == 0 {
		for until := time.Now().Add(d); time.Now().Before(until); {
			select {
			case <-windDown:
				return true, nil
			default:
			}
			_ = p.c.SetReadDeadline(time.Now().Add(min(time.Second, time.Until(until))))
			p.reading.isSet = true
			if n, err := p.c.Read(make([]byte, 1)); n > 0 {
				return false, &mismatch{p.in.offset, misplaced, 1}
			} else if !errors.Is(err, os.ErrDeadlineExceeded) {
				return false, fmt.Errorf("waiting in a Read: %w", err)
			}
		}
		p.reading.clear()
		return false, nil
	}
	select {
	case <-windDown:
		return true, nil
	case <-time.After(d):
		return false, nil
	}
}

// expectClosed reads until the server has closed. Everything has arrived before,
// and been verified. On the classic wires a reset at that moment cannot be told
// from the loss of the session: the server may know it no more, or be gone,
// because a listener ends with its last session.
func (p *party) expectClosed() error {
	acks := choices[p.h.suite].acks
	p.reading.clear()
	b := make([]byte, 1)
	var n int
	var err error
	for {
		if !acks {
			_ = p.c.SetReadDeadline(time.Now().Add(lookAgain)) // an end shows in the Read
		}
		n, err = p.c.Read(b)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if state := p.c.State(); (state == relink.StateSuspended || state == relink.StateResuming) && p.serverGone() {
			_ = p.c.Abort()
			return nil
		}
	}
	switch {
	case n > 0:
		return &mismatch{p.in.offset, misplaced, int64(n)}
	case err == io.EOF: //nolint:errorlint // Read returns it bare, by contract
		return nil
	case !acks && errors.Is(err, relink.ErrSessionLost):
		return nil
	default:
		return fmt.Errorf("in place of the server's end: %w", err)
	}
}

// lookAgain is how often a client that has said goodbye looks whether its server
// is there.
const lookAgain = time.Second

// serverGone reports whether nobody listens where the session was opened.
func (p *party) serverGone() bool {
	t, err := net.Dial("tcp4", p.address)
	if err == nil {
		_ = t.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// server is the application on the server's side of a session.
func (p *party) server() error {
	if p.h.load == bulk {
		if err := p.both(p.h.down, p.h.up); err != nil || p.h.end == halfClose {
			return err
		}
		b := make([]byte, 1)
		if _, err := p.read(b); err != nil {
			return fmt.Errorf("reading the goodbye: %w", err)
		}
		if b[0] != opGoodbye {
			return &mismatch{p.in.offset, misplaced, 1}
		}
		return nil // finish closes
	}
	message := make([]byte, 1+p.h.size)
	for n := 0; ; n++ {
		if p.h.end == abort && n == p.h.count {
			return p.expectAbort()
		}
		op, err := p.readMessage(message)
		switch {
		case err == io.EOF && p.h.end == halfClose: //nolint:errorlint // bare, by contract
			if err := p.c.CloseWrite(); err != nil {
				return fmt.Errorf("ending the stream: %w", err)
			}
			return nil
		case err == io.EOF && p.h.end == leave && n == p.h.count: //nolint:errorlint // bare, by contract
			return nil
		case err != nil:
			return fmt.Errorf("reading message %d: %w", n, err)
		case op == opGoodbye:
			return nil
		}
		if err := p.message(opMessage); err != nil && (p.h.end != leave || n < p.h.count-1) {
			return fmt.Errorf("answering message %d: %w", n, err)
		}
	}
}

// expectAbort requires that nothing more comes than an end. That the client has
// aborted is news which no wire repeats if a cut destroys it; then the server
// gives up, but not before the client has surely had its last answer.
func (p *party) expectAbort() error {
	_ = p.c.SetReadDeadline(time.Now().Add(closeTimeout))
	n, err := p.c.Read(make([]byte, 1))
	if n > 0 {
		return &mismatch{p.in.offset, misplaced, int64(n)}
	}
	if err == io.EOF && choices[p.h.suite].acks { //nolint:errorlint // bare, by contract
		return errors.New("an abort reads as the end of the stream")
	}
	_ = p.c.Abort()
	return nil
}
