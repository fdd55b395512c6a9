package subject

import (
	"context"
	"net"
	"sync"
)

// An upgrader is a listener whose connections are not ready when they are
// accepted: each gets a goroutine that runs its handshake, as a server does
// that does not want one slow client to hold up the rest.
type upgrader struct {
	net.Listener
	ready chan net.Conn
	quit  chan struct{}
	once  sync.Once
	wg    sync.WaitGroup
}

// newUpgrader listens for TCP and makes streams of the connections. A handshake
// that fails closes its connection and is heard of no more: its client fails too.
func newUpgrader(upgrade func(net.Conn) (net.Conn, error)) (net.Listener, error) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return upgraded(inner, upgrade), nil
}

// upgraded is newUpgrader on a listener of any kind.
func upgraded(inner net.Listener, upgrade func(net.Conn) (net.Conn, error)) net.Listener {
	u := &upgrader{Listener: inner, ready: make(chan net.Conn), quit: make(chan struct{})}
	u.wg.Go(func() {
		for {
			t, err := inner.Accept()
			if err != nil {
				return
			}
			u.wg.Go(func() {
				c, err := upgrade(t)
				if err != nil {
					_ = t.Close()
					return
				}
				select {
				case u.ready <- c:
				case <-u.quit:
					_ = c.Close()
				}
			})
		}
	})
	return u
}

// dialUpgraded is the client's side: it connects and makes a stream of the
// connection.
func dialUpgraded(ctx context.Context, n Network, address string, upgrade func(net.Conn) (net.Conn, error)) (net.Conn, error) {
	t, err := n.DialTCP(ctx, address)
	if err != nil {
		return nil, err
	}
	c, err := upgrade(t)
	if err != nil {
		_ = t.Close()
		return nil, err
	}
	return c, nil
}

func (u *upgrader) Accept() (net.Conn, error) {
	select {
	case c := <-u.ready:
		return c, nil
	case <-u.quit:
		return nil, net.ErrClosed
	}
}

// Close ends the accepting. A handshake that is under way ends by itself.
func (u *upgrader) Close() error {
	var err error
	u.once.Do(func() {
		close(u.quit)
		err = u.Listener.Close()
	})
	return err
}
