package wan

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// A Network is a path of its own from clients to each server. It implements
// [github.com/relink-go/relink/bench/internal/subject.Network]. All methods may
// be called from any goroutine.
type Network struct {
	params Params

	mu      sync.Mutex // guards everything below
	closed  bool
	streams map[string]*tcpRelay
	packets map[string]*udpRelay
}

// New returns a network whose paths have these parameters.
func New(p Params) *Network {
	return &Network{params: p, streams: make(map[string]*tcpRelay), packets: make(map[string]*udpRelay)}
}

// Name says what the path is.
func (n *Network) Name() string {
	return fmt.Sprintf("%v, %d Mbit/s", n.params.RoundTrip, n.params.Rate/1_000_000)
}

// DialTCP opens a connection through the relay. The kernel's handshake with the
// relay takes no time, so that the round trip of a real one is waited for here.
func (n *Network) DialTCP(ctx context.Context, address string) (net.Conn, error) {
	r, err := open(n, n.streams, address, newTCPRelay)
	if err != nil {
		return nil, err
	}
	if err := sleep(ctx, n.params.RoundTrip); err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", r.listener.Addr().String())
}

// PacketAddress returns the relay's address for datagrams.
func (n *Network) PacketAddress(address string) (string, error) {
	r, err := open(n, n.packets, address, newUDPRelay)
	if err != nil {
		return "", err
	}
	return r.socket.LocalAddr().String(), nil
}

// open returns the relay to the address, which it makes if there is none.
func open[R io.Closer](n *Network, relays map[string]R, address string, start func(Params, string) (R, error)) (R, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r, ok := relays[address]; ok {
		return r, nil
	}
	var none R
	if n.closed {
		return none, net.ErrClosed
	}
	r, err := start(n.params, address)
	if err != nil {
		return none, err
	}
	relays[address] = r
	return r, nil
}

// Close ends all relays and what goes through them.
func (n *Network) Close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	for _, r := range n.streams {
		_ = r.Close()
	}
	for _, r := range n.packets {
		_ = r.Close()
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
