package subject

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
)

// A server that ends a connection which its client takes for open has it tried
// again: whoever counts connections on both sides would wait for ever.
func TestQUICClientTriesAgain(t *testing.T) {
	t.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	credentials, err := NewCredentials()
	if err != nil {
		t.Fatal(err)
	}
	s := quicStream{credentials}
	config, err := credentials.tls(false, quicProtocol)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := quic.ListenAddr("127.0.0.1:0", config.server, s.config())
	if err != nil {
		t.Fatal(err)
	}
	l := &quicListener{inner: inner, ready: make(chan net.Conn)}
	l.ctx, l.cancel = context.WithTimeout(t.Context(), time.Minute)
	defer func() { _ = l.Close() }()
	go func() {
		if first, err := inner.Accept(l.ctx); err == nil {
			_ = first.CloseWithError(1, "no room")
		}
		l.serve()
	}()
	client, err := s.Dial(l.ctx, Loopback{}, inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
}
