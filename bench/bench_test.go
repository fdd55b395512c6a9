package main

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/bench/internal/experiment"
	"github.com/relink-go/relink/bench/internal/subject"
)

// The same work over the same subjects as ordinary benchmarks. Compare with
// benchstat -col /subject.

// subjects calls f for each.
func subjects(b *testing.B, all func(subject.Credentials) []subject.Subject, f func(b *testing.B, s subject.Subject)) {
	b.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	c, err := subject.NewCredentials()
	require.NoError(b, err)
	for _, s := range all(c) {
		b.Run("subject="+s.Name(), func(b *testing.B) { f(b, s) })
	}
}

func open(b *testing.B, s subject.Subject) *subject.Pair {
	b.Helper()
	p, err := subject.Open(b.Context(), s, subject.Loopback{})
	require.NoError(b, err)
	b.Cleanup(p.Close)
	return p
}

func BenchmarkThroughput(b *testing.B) {
	for _, writers := range []int{1, 16} {
		for _, size := range []int{64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10} {
			b.Run(fmt.Sprintf("writers=%d/size=%d", writers, size), func(b *testing.B) {
				subjects(b, subject.ForData, func(b *testing.B, s subject.Subject) {
					p := open(b, s)
					var lock sync.Locker
					if writers > 1 && !s.ConcurrentWrites() {
						lock = new(sync.Mutex)
					}
					b.SetBytes(int64(size))
					b.ReportAllocs()
					b.ResetTimer()
					require.NoError(b, experiment.WriteBatch(p.Client, p.Server, size, b.N, writers, lock))
				})
			})
		}
	}
}

func BenchmarkEcho(b *testing.B) {
	for _, size := range []int{16, 128, 4 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			subjects(b, subject.ForData, func(b *testing.B, s subject.Subject) {
				p := open(b, s)
				go experiment.Echo(p.Server, size)
				b.ReportAllocs()
				b.ResetTimer()
				require.NoError(b, experiment.RoundTrips(p.Client, size, b.N, nil))
			})
		})
	}
}

func BenchmarkNewSession(b *testing.B) {
	subjects(b, subject.All, func(b *testing.B, s subject.Subject) {
		l, err := s.Listen()
		require.NoError(b, err)
		defer l.Close()
		b.ReportAllocs()
		b.ResetTimer()
		for range b.N {
			client, server, err := subject.Connect(b.Context(), s, subject.Loopback{}, l)
			require.NoError(b, err)
			subject.Abort(client)
			subject.Abort(server)
		}
	})
}

func BenchmarkResume(b *testing.B) {
	resumables := func(c subject.Credentials) []subject.Subject {
		var all []subject.Subject
		for _, s := range subject.Resumables(c) {
			all = append(all, s)
		}
		return all
	}
	subjects(b, resumables, func(b *testing.B, s subject.Subject) {
		const size = 16
		p := open(b, s)
		go experiment.Echo(p.Server, size)
		client, ok := p.Client.(interface{ NetworkChanged() })
		require.True(b, ok)
		b.ReportAllocs()
		b.ResetTimer()
		for range b.N {
			client.NetworkChanged()
			require.NoError(b, experiment.RoundTrips(p.Client, size, 1, nil))
		}
	})
}
