package wan

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// A tcpRelay takes connections for one server. All of them share the path.
type tcpRelay struct {
	target   string
	listener net.Listener
	up, down line
	quit     chan struct{}
	wg       sync.WaitGroup

	mu     sync.Mutex // guards everything below
	closed bool
	legs   map[net.Conn]struct{}
}

func newTCPRelay(p Params, target string) (*tcpRelay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &tcpRelay{target: target, listener: l, quit: make(chan struct{}), legs: make(map[net.Conn]struct{})}
	r.up.params, r.down.params = p, p
	r.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.wg.Go(func() { r.relay(c) })
		}
	})
	return r, nil
}

// relay carries one connection until both directions have ended.
func (r *tcpRelay) relay(client net.Conn) {
	server, err := net.Dial("tcp", r.target)
	if err != nil {
		reset(client)
		return
	}
	if !r.hold(client, server) {
		return
	}
	defer r.drop(client, server)
	var both sync.WaitGroup
	both.Go(func() { r.direction(&r.up, client, server) })
	both.Go(func() { r.direction(&r.down, server, client) })
	both.Wait()
}

// hold remembers the legs, so that Close reaches them.
func (r *tcpRelay) hold(legs ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range legs {
		if r.closed {
			_ = c.Close()
			continue
		}
		r.legs[c] = struct{}{}
	}
	return !r.closed
}

func (r *tcpRelay) drop(legs ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range legs {
		delete(r.legs, c)
		_ = c.Close()
	}
}

// direction moves bytes one way, in packets. A clean end arrives after the data
// before it, as data does; an error resets both legs at once, which is sooner
// than on a real path by half a round trip.
func (r *tcpRelay) direction(l *line, from, to net.Conn) {
	parcels := make(chan parcel, underWay)
	var deliverer sync.WaitGroup
	deliverer.Go(func() { r.deliver(parcels, from, to) })
	defer deliverer.Wait()
	defer close(parcels)
	for {
		// One packet's worth is read at a time, and the next only when it has its
		// place on the line, so that the sender is held back by its own kernel.
		buf := make([]byte, tcpData)
		n, err := from.Read(buf)
		if n > 0 {
			arrives, ok := r.admit(l, n+tcpHeaders)
			if !ok {
				return
			}
			parcels <- parcel{arrives, buf[:n]}
		}
		if errors.Is(err, io.EOF) {
			arrives, ok := r.admit(l, tcpHeaders)
			if ok {
				parcels <- parcel{arrives: arrives}
			}
			return
		}
		if err != nil {
			reset(from)
			reset(to)
			return
		}
	}
}

// admit waits for room.
func (r *tcpRelay) admit(l *line, n int) (arrives time.Time, ok bool) {
	for {
		now := time.Now()
		arrives, wait := l.admit(n, now)
		if wait == 0 {
			return arrives, true
		}
		if !until(now.Add(wait), r.quit) {
			return time.Time{}, false
		}
	}
}

// deliver writes each parcel when it has arrived. It always empties the channel.
func (r *tcpRelay) deliver(parcels <-chan parcel, from, to net.Conn) {
	broken := false
	for p := range parcels {
		if broken || !until(p.arrives, r.quit) {
			continue
		}
		if p.data == nil {
			if w, ok := to.(interface{ CloseWrite() error }); ok {
				_ = w.CloseWrite()
			}
			continue
		}
		if _, err := to.Write(p.data); err != nil {
			reset(from)
			broken = true
		}
	}
}

// Close ends the relay and its connections, and returns when its goroutines have
// ended.
func (r *tcpRelay) Close() error {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		close(r.quit)
	}
	for c := range r.legs {
		_ = c.Close()
	}
	r.mu.Unlock()
	err := r.listener.Close()
	r.wg.Wait()
	return err
}

// reset closes a connection so that its peer sees an error.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}
