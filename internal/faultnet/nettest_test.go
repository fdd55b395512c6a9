package faultnet_test

import (
	"context"
	"net"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/relink-go/relink/internal/faultnet"
)

// TestConn holds the conns to net.Conn's contract.
func TestConn(t *testing.T) {
	for name, o := range map[string]faultnet.Options{
		"buffered":    {},
		"small":       {Buffer: 1000, Segment: 700},
		"unbuffered":  {Buffer: -1},
		"delayed":     {Delay: 100 * time.Microsecond},
		"eofWithData": {EOFWithData: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				c1, c2, _ = faultnet.Pair(o)
				return c1, c2, func() { closeAll(c1, c2) }, nil
			})
		})
	}
	t.Run("dialled", func(t *testing.T) {
		t.Parallel()
		nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
			n := faultnet.New()
			l := n.Listen()
			if c1, err = n.Dial(context.Background(), "tcp", "example:1"); err != nil {
				return nil, nil, nil, err
			}
			c2, err = l.Accept()
			return c1, c2, func() { closeAll(c1, c2) }, err
		})
	})
}

func closeAll(conns ...net.Conn) {
	for _, c := range conns {
		_ = c.Close()
	}
}
