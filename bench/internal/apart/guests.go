package apart

import (
	"net"
	"sync"

	"github.com/relink-go/relink/bench/internal/process"
	"github.com/relink-go/relink/bench/internal/subject"
)

// guests are the streams of a server that come and go.
type guests struct {
	mu    sync.Mutex // guards conns
	conns map[net.Conn]struct{}
}

func (g *guests) add(c net.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.conns == nil {
		g.conns = make(map[net.Conn]struct{})
	}
	g.conns[c] = struct{}{}
}

func (g *guests) remove(c net.Conn) {
	g.mu.Lock()
	delete(g.conns, c)
	g.mu.Unlock()
	subject.Abort(c)
}

// abort ends all that are there.
func (g *guests) abort() {
	g.mu.Lock()
	conns := g.conns
	g.conns = nil
	g.mu.Unlock()
	for c := range conns {
		subject.Abort(c)
	}
}

// Serve accepts streams from now on, and returns messages of a size on each until it
// ends.
func (e *End) Serve(size int, _ *process.None) error {
	go func() {
		for {
			c, err := e.listener.Accept()
			if err != nil {
				e.failed.set(err)
				return
			}
			e.guests.add(c)
			go func() {
				_ = echo(c, size) // its end is the client's doing
				e.guests.remove(c)
			}()
		}
	}()
	return nil
}

// Forget ends all streams.
func (e *End) Forget(_ process.None, _ *process.None) error {
	for _, c := range e.conns {
		subject.Abort(c)
	}
	e.conns = nil
	e.guests.abort()
	return e.failed.get()
}
