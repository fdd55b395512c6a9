package helper

import (
	"context"
	"net"
	"sync"
)

// A mixedListener accepts TCP connections and pipes of this process.
type mixedListener struct {
	net.Listener
	conns chan net.Conn
	quit  chan struct{}
	once  sync.Once
}

func newMixedListener() (*mixedListener, error) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &mixedListener{Listener: inner, conns: make(chan net.Conn), quit: make(chan struct{})}
	go func() {
		for {
			c, err := inner.Accept()
			if err != nil {
				return
			}
			if l.hand(context.Background(), c) != nil {
				_ = c.Close()
				return
			}
		}
	}()
	return l, nil
}

// connect returns the other end of a new pipe.
func (l *mixedListener) connect(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	return client, l.hand(ctx, server)
}

func (l *mixedListener) hand(ctx context.Context, c net.Conn) error {
	select {
	case l.conns <- c:
		return nil
	case <-l.quit:
		return net.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *mixedListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.quit:
		return nil, net.ErrClosed
	}
}

func (l *mixedListener) Close() error {
	l.once.Do(func() { close(l.quit) })
	return l.Listener.Close()
}
