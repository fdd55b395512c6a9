package apart

import (
	"context"
	"net"

	"github.com/relink-go/relink/bench/internal/process"
)

// drainBuffer is what a receiver reads into.
const drainBuffer = 256 << 10

// Drain reads what comes.
func (e *End) Drain(_ process.None, _ *process.None) error {
	return e.onEach(func(c net.Conn, t *tally) error {
		buf := make([]byte, drainBuffer)
		for {
			n, err := c.Read(buf)
			t.bytes.Add(int64(n))
			if err != nil {
				return err
			}
		}
	})
}

// Write writes messages of a size, one after the other, on each stream.
func (e *End) Write(size int, _ *process.None) error {
	return e.onEach(func(c net.Conn, _ *tally) error {
		p := make([]byte, size)
		for {
			if _, err := c.Write(p); err != nil {
				return err
			}
		}
	})
}

// Throughput lets one goroutine of the client write messages of a size on each
// stream, as fast as it can, and one of the server read. The unit is a byte that the
// server's application has read.
func Throughput(ctx context.Context, s Setup, size int, w Window) (Result, error) {
	return between(ctx, s, w, func(e *ends) (Result, error) {
		if err := e.server.Call("End.Drain", process.None{}, new(process.None)); err != nil {
			return Result{}, err
		}
		if err := e.client.Call("End.Write", size, new(process.None)); err != nil {
			return Result{}, err
		}
		server, client, err := e.watch(w)
		if err != nil {
			return Result{}, err
		}
		return result(server.Bytes, server.Elapsed, server, client)
	})
}
