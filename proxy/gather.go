package proxy

import (
	"errors"
	"net"
	"sync"
)

// Gather returns a listener that takes the connections of all of these, so that one
// [relink.Listener] has them, and a session may move from one to another. Its Addr
// is that of the first. An error of any of them is one of Accept, which goes on
// unless the error is net.ErrClosed. Close closes all. It panics without a listener.
func Gather(listeners ...net.Listener) net.Listener {
	if len(listeners) == 1 {
		return listeners[0]
	}
	g := &gathered{all: listeners, addr: listeners[0].Addr(), accepted: make(chan accepted), closed: make(chan struct{})}
	for _, l := range listeners {
		g.acceptors.Go(func() { g.accept(l) })
	}
	return g
}

type accepted struct {
	conn net.Conn
	err  error
}

type gathered struct {
	all       []net.Listener
	addr      net.Addr
	accepted  chan accepted
	closed    chan struct{}
	once      sync.Once
	acceptors sync.WaitGroup
}

func (g *gathered) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		select {
		case g.accepted <- accepted{c, err}:
		case <-g.closed:
			if c != nil {
				_ = c.Close()
			}
			return
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

func (g *gathered) Accept() (net.Conn, error) {
	select {
	case a := <-g.accepted:
		return a.conn, a.err
	case <-g.closed:
		return nil, &net.OpError{Op: "accept", Net: g.addr.Network(), Addr: g.addr, Err: net.ErrClosed}
	}
}

func (g *gathered) Addr() net.Addr { return g.addr }

func (g *gathered) Close() error {
	var errs []error
	g.once.Do(func() {
		close(g.closed)
		for _, l := range g.all {
			errs = append(errs, l.Close())
		}
		g.acceptors.Wait()
	})
	return errors.Join(errs...)
}
