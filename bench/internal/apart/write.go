package apart

import (
	"context"
	"net"
	"sync"

	"github.com/relink-go/relink/bench/internal/process"
)

// drainBuffer is what a receiver reads into, in bytes.
const drainBuffer = 256 << 10

// Drain reads what comes, into a buffer of a size for each stream.
func (e *End) Drain(buffer int, _ *process.None) error {
	return e.onEach(func(c net.Conn, t *tally) error {
		buf := make([]byte, buffer)
		for {
			n, err := c.Read(buf)
			t.bytes.Add(int64(n))
			if err != nil {
				return err
			}
		}
	})
}

// Writing says what to write.
type Writing struct {
	Size    int // of a message, in bytes
	Writers int // goroutines on each stream
}

// Write writes messages, one after the other. Where a subject does not allow several
// goroutines in Write, a mutex is around it.
func (e *End) Write(w Writing, _ *process.None) error {
	return e.onEach(func(c net.Conn, _ *tally) error {
		if w.Writers <= 1 {
			return writeOn(c.Write, w.Size)
		}
		write := c.Write
		if !e.subject.ConcurrentWrites() {
			var mu sync.Mutex
			write = func(p []byte) (int, error) {
				mu.Lock()
				defer mu.Unlock()
				return c.Write(p)
			}
		}
		return inParallel(w.Writers, w.Writers, func(int) error { return writeOn(write, w.Size) })
	})
}

func writeOn(write func([]byte) (int, error), size int) error {
	p := make([]byte, size)
	for {
		if _, err := write(p); err != nil {
			return err
		}
	}
}

// Throughput lets goroutines of the client write messages of a size on each stream, as
// fast as they can, and one of the server read. The unit is a byte that the server's
// application has read.
func Throughput(ctx context.Context, s Setup, what Writing, w Window) (Result, error) {
	return between(ctx, s, w.Warm+w.Length, func(e *ends) (Result, error) {
		if err := e.meet(s.Conns); err != nil {
			return Result{}, err
		}
		if err := e.server.Call("End.Drain", drainBuffer, new(process.None)); err != nil {
			return Result{}, err
		}
		if err := e.client.Call("End.Write", what, new(process.None)); err != nil {
			return Result{}, err
		}
		return e.watch(w, read)
	})
}
