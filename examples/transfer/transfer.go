package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relink-go/relink"
)

// config is what both halves set.
func (o options) config() relink.Config {
	return relink.Config{
		ReplayLimit: o.suite.ReplayLimit(),
		// A black hole is found after this time, plus what the kernel takes to
		// notice that it has to send again. It is as short as can be, so that
		// nobody has to wait for a demonstration; on a mobile network it would
		// give up on transports that only pause.
		LivenessTimeout: relink.MinLivenessTimeout,
		Logger:          o.logger,
	}
}

// transfer runs both halves with the saboteur between them, or one half, and
// reports.
func transfer(ctx context.Context, o options, out io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var halves sync.WaitGroup
	half := func(run func() error) {
		halves.Go(func() {
			if err := run(); err != nil {
				cancel(err) // the first error counts, and ends the other half
			}
		})
	}
	var sending, receiving end
	watched := &receiving
	var s *saboteur

	address := o.connect
	if address == "" {
		inner, at, err := o.transport.listen(cmp.Or(o.listen, "127.0.0.1:0"))
		if err != nil {
			return fmt.Errorf("%w: -listen takes a free address of this machine, such as :7000", err)
		}
		l, err := relink.NewListener(inner, relink.ListenConfig{Config: o.config(), Suites: []relink.ServerSuite{o.server}})
		if err != nil {
			return err
		}
		defer l.Close()
		address = at
		half(func() error { return receiving.receive(ctx, l) })
	}
	if o.listen != "" {
		fmt.Fprintf(out, "waiting at %s with %s; the other half needs %s\n", address, o.suite, o.needs)
	} else {
		src, err := o.open()
		if err != nil {
			return err
		}
		defer src.Close()
		if o.connect != "" {
			watched = &sending
		}
		d := relink.Dialer{Config: o.config(), Suite: o.client}
		var below below
		if o.plan.cuts > 0 {
			if s, err = newSaboteur(address, o.transport, o.plan, src.size); err != nil {
				return err
			}
			defer s.Close()
			address = s.Addr()
			below, watched.step = s.below, s.reached
		}
		d.DialTransport = o.transport.dial(below)
		fmt.Fprintf(out, "sending %s, %s, with %s over %s\n", src.name, formatSize(src.size), o.suite, o.transport.name)
		half(func() error { return sending.send(ctx, &d, address, src) })
	}

	stop := showProgress(out, watched, s)
	halves.Wait()
	stop()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	err := report(out, s, &sending, &receiving)
	if o.listen != "" {
		receiving.linger(ctx) // the sender may have to come back for the answer
	}
	sending.linger(ctx)
	return err
}

// The application's protocol, which knows nothing of cuts:
//
//	sender   → receiver: size of the data (8 bytes, big-endian), data, its SHA-256
//	receiver → sender:   SHA-256 of what has arrived
//
// The size is there because the classic suites cannot say where a stream ends,
// and the answer because on these no Write or Close can say that its bytes have
// arrived.
type digest [sha256.Size]byte

// An end is one half of a transfer.
type end struct {
	step func(moved int64) // told of the progress, if not nil

	// To be watched meanwhile.
	conn        atomic.Pointer[relink.Conn]
	size, moved atomic.Int64

	// When it is over.
	sent, received digest
	stats          relink.Stats
	took, pause    time.Duration // in all, and the longest time without progress
}

// send dials the address and sends the data.
func (e *end) send(ctx context.Context, d *relink.Dialer, address string, src *source) error {
	conn, err := d.DialConn(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("%w: is the other half there, with -listen, the same -suite and the key that belongs to this -server-key?", err)
	}
	defer e.begin(ctx, conn)()
	if _, err := conn.Write(binary.BigEndian.AppendUint64(nil, uint64(src.size))); err != nil {
		return err
	}
	if e.sent, err = e.copy(conn, src, src.size); err != nil {
		return fmt.Errorf("sending %s: %w", src.name, err)
	}
	if _, err := conn.Write(e.sent[:]); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, e.received[:]); err != nil {
		return fmt.Errorf("waiting for the receiver's SHA-256: %w", err)
	}
	return e.finish(conn)
}

// receive accepts one connection and takes the data.
func (e *end) receive(ctx context.Context, l *relink.Listener) error {
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	conn, err := l.AcceptConn()
	if err != nil {
		return err
	}
	defer e.begin(ctx, conn)()
	var header [8]byte
	if _, err := io.ReadFull(conn, header[:]); err != nil {
		return fmt.Errorf("waiting for the size: %w", err)
	}
	size := int64(binary.BigEndian.Uint64(header[:]))
	if size < 0 {
		return errors.New("the sender is not a transfer: it announces a negative size")
	}
	if e.received, err = e.copy(io.Discard, conn, size); err != nil {
		return fmt.Errorf("receiving: %w", err)
	}
	if _, err := io.ReadFull(conn, e.sent[:]); err != nil {
		return fmt.Errorf("waiting for the sender's SHA-256: %w", err)
	}
	if _, err := conn.Write(e.received[:]); err != nil {
		return err
	}
	return e.finish(conn)
}

// begin lets ctx end the connection, until the function that it returns is
// called.
func (e *end) begin(ctx context.Context, conn *relink.Conn) (stop func() bool) {
	e.conn.Store(conn)
	return context.AfterFunc(ctx, func() { _ = conn.Abort() })
}

// copy copies the data and returns its digest.
func (e *end) copy(dst io.Writer, src io.Reader, size int64) (sum digest, err error) {
	e.size.Store(size)
	hash := sha256.New()
	buf := make([]byte, 64<<10)
	start := time.Now()
	last := start
	for moved := int64(0); moved < size; {
		n, err := src.Read(buf[:min(size-moved, int64(len(buf)))])
		hash.Write(buf[:n])
		if _, err := dst.Write(buf[:n]); err != nil {
			return sum, err
		}
		if moved += int64(n); err != nil && moved < size {
			return sum, fmt.Errorf("after %d of %d bytes: %w", moved, size, err)
		}
		now := time.Now()
		e.pause, last = max(e.pause, now.Sub(last)), now
		e.moved.Store(moved)
		if e.step != nil {
			e.step(moved)
		}
	}
	e.took = time.Since(start)
	return digest(hash.Sum(nil)), nil
}

// finish closes the connection, which lives on in the background while there is
// something to deliver.
func (e *end) finish(conn *relink.Conn) error {
	e.stats = conn.Stats()
	return conn.Close()
}

// linger waits until the connection has ended: until the peer is known to have
// everything, or CloseTimeout has passed.
func (e *end) linger(ctx context.Context) {
	if conn := e.conn.Load(); conn != nil {
		select {
		case <-conn.Done():
		case <-ctx.Done():
			_ = conn.Abort()
		}
	}
}
