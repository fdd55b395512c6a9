package websocket_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/transport/transporttest"
	"github.com/relink-go/relink/transport/websocket"
)

// BenchmarkRatio reports how long a session over WebSocket takes relative to the
// library's own connection.
func BenchmarkRatio(b *testing.B) {
	for _, k := range places[1:] {
		for _, s := range []suite{noise, classic} {
			for _, w := range transporttest.Works {
				b.Run(fmt.Sprintf("%s/%v/%s/size=%d", k.name, s, w.Name, w.Size), func(b *testing.B) {
					p := k.open(b, websocket.Config{})
					ws, err := p.other(b)
					require.NoError(b, err)
					accepted, err := p.l.Accept()
					require.NoError(b, err)
					c0 := coder.NetConn(context.Background(), ws, coder.MessageBinary)
					s0 := accepted.(*websocket.Conn).Library()
					c1, s1, stop := p.session(b, s, relink.Config{}, nil)
					defer stop()
					transporttest.Ratio(b, transporttest.Ends{Client: c0, Server: s0}, transporttest.Ends{Client: c1, Server: s1}, w.Run(b))
				})
			}
		}
	}
}

// BenchmarkIdle reports the memory of an idle connection of the library's own, with a
// Read that waits at each end, and what a session takes beyond that. Only a first
// round is exact: -benchtime 1x.
func BenchmarkIdle(b *testing.B) {
	const n = 300
	p := openHandler(b, websocket.Config{Backlog: n})
	var bare, session float64
	for b.Loop() {
		var conns []net.Conn
		bare = held(b, n, func() {
			ws, err := p.other(b)
			require.NoError(b, err)
			accepted, err := p.l.Accept()
			require.NoError(b, err)
			conns = append(conns, coder.NetConn(context.Background(), ws, coder.MessageBinary), accepted.(*websocket.Conn).Library())
			wait(conns[len(conns)-2:])
		})
		for _, c := range conns {
			go c.Close()
		}
		l, err := relink.NewListener(p.l, relink.ListenConfig{Suites: []relink.ServerSuite{noise.server}})
		require.NoError(b, err)
		d := relink.Dialer{Suite: noise.client, DialTransport: p.dialer.DialTransport}
		conns = nil
		session = held(b, n, func() {
			c, err := d.DialContext(context.Background(), "", "")
			require.NoError(b, err)
			s, err := l.Accept()
			require.NoError(b, err)
			conns = append(conns, c, s)
			wait(conns[len(conns)-2:])
		})
		for _, c := range conns {
			_ = c.(*relink.Conn).Abort()
		}
		_ = l.Close()
		p = openHandler(b, websocket.Config{Backlog: n})
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(bare, "library-B/end")
	b.ReportMetric(session-bare, "beyond-B/end")
}

// wait leaves a Read waiting at each end.
func wait(conns []net.Conn) {
	for _, c := range conns {
		go func() { _, _ = c.Read(make([]byte, 1)) }()
	}
}

// held returns the bytes of heap and stacks for each end of n connections.
func held(b *testing.B, n int, open func()) float64 {
	b.Helper()
	measure := func() float64 {
		time.Sleep(100 * time.Millisecond) // what ends in the background is not to be counted; figures need no certainty
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc + m.StackInuse)
	}
	before := measure()
	for range n {
		open()
	}
	return (measure() - before) / float64(2*n)
}
