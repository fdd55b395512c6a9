package subject

import (
	"context"
	"io"
	"net"

	"github.com/hashicorp/yamux"
)

// muxed is one stream of a yamux session over a TCP connection of its own: what
// is often built by those who want flow control and keep-alive above TCP.
type muxed struct{}

func (muxed) Name() string { return Yamux }

func (muxed) About() string {
	return "One stream of a hashicorp/yamux session, one session a TCP connection: framing, flow control with a window of 256 KiB and keep-alive, " +
		"and no encryption. Ends with its TCP connection. Three goroutines a connection and side."
}

func (muxed) ConcurrentWrites() bool { return true }

func muxConfig() *yamux.Config {
	c := yamux.DefaultConfig()
	c.LogOutput = io.Discard
	return c
}

func (muxed) Listen() (net.Listener, error) {
	return newUpgrader(func(t net.Conn) (net.Conn, error) {
		s, err := yamux.Server(t, muxConfig())
		if err != nil {
			return nil, err
		}
		stream, err := s.AcceptStream()
		if err != nil {
			_ = s.Close()
			return nil, err
		}
		return &muxStream{stream, s, t}, nil
	})
}

func (muxed) Dial(ctx context.Context, n Network, address string) (net.Conn, error) {
	t, err := n.DialTCP(ctx, address)
	if err != nil {
		return nil, err
	}
	s, err := yamux.Client(t, muxConfig())
	if err != nil {
		_ = t.Close()
		return nil, err
	}
	stream, err := s.OpenStream()
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return &muxStream{stream, s, t}, nil
}

// A muxStream ends its session with itself.
type muxStream struct {
	*yamux.Stream
	session   *yamux.Session
	transport net.Conn
}

// NetConn returns the connection below.
func (s *muxStream) NetConn() net.Conn { return s.transport }

// Close ends the session, and the stream with it.
func (s *muxStream) Close() error { return s.session.Close() }
