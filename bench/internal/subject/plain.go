package subject

import (
	"context"
	"net"
)

// plain is a TCP connection and nothing else.
type plain struct{}

func (plain) Name() string { return TCP }

func (plain) About() string {
	return "A bare TCP connection: no encryption, and it ends with the network below it."
}

func (plain) ConcurrentWrites() bool { return true }

func (plain) Listen() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

func (plain) Dial(ctx context.Context, n Network, address string) (net.Conn, error) {
	return n.DialTCP(ctx, address)
}
