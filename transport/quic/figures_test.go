package quic_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/transport/transporttest"
	"github.com/relink-go/relink/transport/quic"
)

// BenchmarkRatio reports how long a session over QUIC takes relative to a bare
// stream.
func BenchmarkRatio(b *testing.B) {
	for _, s := range []suite{noise, classic} {
		for _, w := range transporttest.Works {
			b.Run(fmt.Sprintf("%v/%s/size=%d", s, w.Name, w.Size), func(b *testing.B) {
				c0, s0 := open(b, quic.Config{}, nil).pair(b)
				c1, s1, stop := open(b, quic.Config{}, nil).session(b, s, relink.Config{})
				defer stop()
				transporttest.Ratio(b, transporttest.Ends{Client: c0, Server: s0}, transporttest.Ends{Client: c1, Server: s1}, w.Run(b))
			})
		}
	}
}

// BenchmarkDial compares a stream on a kept connection with one on a new one.
func BenchmarkDial(b *testing.B) {
	for _, kept := range []bool{true, false} {
		b.Run(fmt.Sprintf("kept=%v", kept), func(b *testing.B) {
			p := open(b, quic.Config{}, quic.Patient())
			for b.Loop() {
				c, s, err := p.connect()
				require.NoError(b, err)
				abort(c, s)
				if !kept {
					p.dialer.CloseIdleConnections()
				}
			}
		})
	}
}
