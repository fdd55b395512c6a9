package conntest

import (
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rc4"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
	_ "unsafe" // for go:linkname

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/transport/transporttest"
	"github.com/relink-go/relink/rc4stream"
)

// BenchmarkRatio reports how long relink takes relative to its rival: the same
// cipher over TCP without resumption.
func BenchmarkRatio(b *testing.B) {
	for _, work := range []struct {
		name  string
		batch int
		run   func(b *testing.B, e transporttest.Ends, size, batch int)
		sizes []int
	}{
		{"echo", 300, transporttest.Echo, []int{16, 128, 4 << 10}},
		{"write", 32 << 20, transporttest.Bulk, []int{64, 256, 1 << 10, 16 << 10, 64 << 10}},
	} {
		for _, size := range work.sizes {
			for _, im := range implementations {
				if im.rival == "" {
					continue
				}
				b.Run(fmt.Sprintf("%s/size=%d/%s-vs-%s", work.name, size, im.name, im.rival), func(b *testing.B) {
					c0, s0 := implementationNamed(im.rival).open(b)
					c1, s1 := im.open(b)
					defer func() { _, _, _, _ = c0.Close(), s0.Close(), c1.Close(), s1.Close() }()
					batch := work.batch
					if work.name == "write" {
						batch = max(1, min(batch/size, 20000))
					}
					transporttest.Ratio(b, transporttest.Ends{Client: c0, Server: s0}, transporttest.Ends{Client: c1, Server: s1}, func(e transporttest.Ends) { work.run(b, e, size, batch) })
				})
			}
		}
	}
}

// The benchmarks run relink beside the same cipher straight over the same kind
// of connection, so that ratios within one run mean something on a noisy
// machine. Compare medians of several counts, for instance with benchstat
// -col /impl.

// A rivalConn is RC4 straight over TCP: what the classic suites cost without
// resumption.
type rivalConn struct {
	net.Conn
	in, out cipher.Stream
	buf     []byte
}

func (c *rivalConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.in.XORKeyStream(p[:n], p[:n])
	return n, err
}

func (c *rivalConn) Write(p []byte) (int, error) {
	if len(c.buf) < len(p) {
		c.buf = make([]byte, len(p))
	}
	c.out.XORKeyStream(c.buf, p)
	return c.Conn.Write(c.buf[:len(p)])
}

// rivalPair takes RC4 from the library, or from the standard library, which
// is slower.
func rivalPair(standard bool) func(t testing.TB) (client, server net.Conn) {
	newCipher := func(t testing.TB) cipher.Stream {
		key := []byte("relink")
		if standard {
			c, err := rc4.NewCipher(key)
			require.NoError(t, err)
			return c
		}
		// As far apart as relink's own: see docs/performance.md.
		c := new(struct {
			rc4stream.Cipher
			_ [512]byte
		})
		require.NoError(t, c.Init(key))
		return c
	}
	return func(t testing.TB) (net.Conn, net.Conn) {
		c, s := tcpPair(t)
		return &rivalConn{Conn: c, in: newCipher(t), out: newCipher(t)}, &rivalConn{Conn: s, in: newCipher(t), out: newCipher(t)}
	}
}

// An implementation opens a pair of connected streams.
type implementation struct {
	name  string
	rival string // what it is measured against: the same cipher without resumption
	open  func(t testing.TB) (client, server net.Conn)
}

func tcpPair(t testing.TB) (client, server net.Conn) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	client, err = net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	server, err = l.Accept()
	require.NoError(t, err)
	return client, server
}

func relinkPair(s Suite) func(t testing.TB) (client, server net.Conn) {
	return func(t testing.TB) (net.Conn, net.Conn) {
		c, sc, l := Pair(t, s, TransportKinds[0], Setup{})
		t.Cleanup(func() { _ = l.Close() })
		return c, sc
	}
}

// tlsSuites is the order of preference of crypto/tls, which no configuration
// changes.
//
//go:linkname tlsSuites crypto/tls.defaultCipherSuitesTLS13
var tlsSuites []uint16

// tlsPair returns pairs of TLS 1.3 with the cipher suite and an ECDSA
// certificate. By itself crypto/tls chooses AES-128-GCM, whose rounds are 10; the
// AES-256-GCM of the suite Noise has 14.
func tlsPair(suite uint16) func(t testing.TB) (client, server net.Conn) {
	return func(t testing.TB) (net.Conn, net.Conn) {
		before := tlsSuites
		tlsSuites = []uint16{suite}
		defer func() { tlsSuites = before }()
		return openTLS(t, suite)
	}
}

func openTLS(t testing.TB, suite uint16) (client, server net.Conn) {
	c, s := tcpPair(t)
	client = tls.Client(c, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13})
	server = tls.Server(s, &tls.Config{Certificates: []tls.Certificate{certificate()}, MinVersion: tls.VersionTLS13})
	go func() { _ = server.(*tls.Conn).Handshake() }()
	require.NoError(t, client.(*tls.Conn).Handshake())
	require.NoError(t, server.(*tls.Conn).Handshake())
	require.Equal(t, suite, client.(*tls.Conn).ConnectionState().CipherSuite)
	return client, server
}

// certificate is made once.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

var implementations = []implementation{
	{"tcp", "", tcpPair},
	{"rc4", "", rivalPair(false)},
	{"crypto-rc4", "rc4", rivalPair(true)},
	{"tls", "", tlsPair(tls.TLS_AES_256_GCM_SHA384)},
	{"tls-aes128", "tls", tlsPair(tls.TLS_AES_128_GCM_SHA256)},
	{"relink-dh64rc4", "rc4", relinkPair(DH64RC4)},
	{"relink-scp", "rc4", relinkPair(SCP)},
	{"relink-noise", "tls", relinkPair(Noise)},
}

func implementationNamed(name string) implementation {
	return implementations[slices.IndexFunc(implementations, func(im implementation) bool { return im.name == name })]
}

func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{64, 256, 1 << 10, 16 << 10, 64 << 10} {
		for _, im := range implementations {
			b.Run(fmt.Sprintf("size=%d/impl=%s", size, im.name), func(b *testing.B) {
				c, s := im.open(b)
				done := make(chan struct{})
				go func() {
					defer close(done)
					buf := make([]byte, 256<<10)
					for left := size * b.N; left > 0; {
						n, err := s.Read(buf)
						if err != nil {
							return
						}
						left -= n
					}
				}()
				p := make([]byte, size)
				_, _ = rand.Read(p)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					if _, err := c.Write(p); err != nil {
						b.Fatal(err)
					}
				}
				<-done
				b.StopTimer()
				_, _ = c.Close(), s.Close()
			})
		}
	}
}

func BenchmarkEcho(b *testing.B) {
	for _, size := range []int{16, 128, 4 << 10} {
		for _, im := range implementations {
			b.Run(fmt.Sprintf("size=%d/impl=%s", size, im.name), func(b *testing.B) {
				c, s := im.open(b)
				go func() {
					buf := make([]byte, size)
					for {
						if _, err := io.ReadFull(s, buf); err != nil {
							return
						}
						if _, err := s.Write(buf); err != nil {
							return
						}
					}
				}()
				p := make([]byte, size)
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					if _, err := c.Write(p); err != nil {
						b.Fatal(err)
					}
					if _, err := io.ReadFull(c, p); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				_, _ = c.Close(), s.Close()
			})
		}
	}
}

func BenchmarkNewSession(b *testing.B) {
	b.Run("impl=tcp", func(b *testing.B) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(b, err)
		defer l.Close()
		for range b.N {
			c, err := net.Dial("tcp", l.Addr().String())
			require.NoError(b, err)
			s, err := l.Accept()
			require.NoError(b, err)
			_, _ = c.Close(), s.Close()
		}
	})
	for _, s := range Suites {
		b.Run("impl=relink-"+s.String(), func(b *testing.B) {
			l, err := relink.Listen("tcp", "127.0.0.1:0", s)
			require.NoError(b, err)
			defer l.Close()
			for range b.N {
				c, err := relink.Dial("tcp", l.Addr().String(), s)
				require.NoError(b, err)
				sc, err := l.AcceptConn()
				require.NoError(b, err)
				_, _ = c.Abort(), sc.Abort()
			}
		})
	}
}

// BenchmarkIdleSession reports the heap that an idle session takes on the
// server beyond its transport. The clients are bare transports on which a
// session was opened and nothing of it kept.
func BenchmarkIdleSession(b *testing.B) {
	const sessions = 1000
	for _, s := range Suites {
		b.Run("impl=relink-"+s.String(), func(b *testing.B) {
			var taken []float64
			for b.Loop() {
				bare := heapOf(sessions, func() [2]net.Conn {
					c, s := tcpPair(b)
					waitInRead(s)
					return [2]net.Conn{c, s}
				})
				l, err := relink.Listen("tcp", "127.0.0.1:0", s)
				require.NoError(b, err)
				full := heapOf(sessions, func() [2]net.Conn {
					c, err := net.Dial("tcp", l.Addr().String())
					require.NoError(b, err)
					require.NoError(b, openOn(s, c))
					sc, err := l.AcceptConn()
					require.NoError(b, err)
					waitInRead(sc)
					return [2]net.Conn{c, sc}
				})
				taken = append(taken, float64(full-bare)/sessions)
				_ = l.Close()
			}
			slices.Sort(taken)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(taken[len(taken)/2], "B/session")
		})
	}
}

func waitInRead(c net.Conn) {
	go func() {
		var p [1]byte
		_, _ = c.Read(p[:])
	}()
}

func heapOf(n int, open func() [2]net.Conn) int64 {
	measure := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := measure()
	pairs := make([][2]net.Conn, 0, n)
	for range n {
		pairs = append(pairs, open())
	}
	time.Sleep(300 * time.Millisecond) // the sweeper's attention to new sessions passes
	used := measure() - before
	for _, p := range pairs {
		_, _ = p[0].Close(), p[1].Close()
	}
	return used
}
