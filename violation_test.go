package relink_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/suite"
)

// What the protocol forbids ends the session of the two, with a typed error on
// both sides, and nobody else's.
func TestViolations(t *testing.T) {
	const window = 8 << 10
	for name, misdeed := range map[string]func(data []byte, k suite.Control) ([]byte, suite.Control){
		"acknowledges too much": func(data []byte, k suite.Control) ([]byte, suite.Control) {
			k.Ack, k.Received = true, 1<<40
			return data, k
		},
		"acknowledges a negative count": func(data []byte, k suite.Control) ([]byte, suite.Control) {
			k.Ack, k.Received = true, -1
			return data, k
		},
		"consumes more than it received": func(data []byte, k suite.Control) ([]byte, suite.Control) {
			k.Ack, k.Received, k.Consumed = true, 0, 1
			return data, k
		},
		"acknowledges an end that was not sent": func(data []byte, k suite.Control) ([]byte, suite.Control) {
			k.Ack, k.FinReceived = true, true
			return data, k
		},
		"passes the limit": func(_ []byte, k suite.Control) ([]byte, suite.Control) {
			return make([]byte, window+1), k
		},
		"ends and goes on": func(_ []byte, k suite.Control) ([]byte, suite.Control) {
			k.Fin = true
			return []byte("more"), k
		},
	} {
		for _, byClient := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/client=%v", name, byClient), func(t *testing.T) {
				inRecordBubble(t, func(t *testing.T, p *records, s testSuite) {
					// Two records leave before the first is answered.
					r := newRig(t, s, withLimit(window), withPath(faultnet.Options{Delay: 10 * time.Millisecond}))
					other, otherServer := r.open()
					from, to := r.client, r.server
					if !byClient {
						from, to = to, from
					}
					r.exchange(100)
					time.Sleep(time.Second)
					tamper := func(id string, client bool, data []byte, k suite.Control) ([]byte, suite.Control) {
						if id == r.client.ID() && client == byClient && k.Reset == 0 {
							return misdeed(data, k)
						}
						return data, k
					}
					p.tamper.Store(&tamper)
					go func() {
						for range 3 {
							_, _ = from.Write([]byte("x"))
							_, _ = from.Write([]byte("y"))
							time.Sleep(time.Second)
						}
					}()
					if _, err := io.Copy(io.Discard, to); err != nil { // nil at the end that comes too early
						require.ErrorIs(t, err, relink.ErrProtocol)
					}
					time.Sleep(10 * time.Second)
					_, err := to.Write([]byte("x"))
					require.ErrorIs(t, err, relink.ErrProtocol)
					_, err = io.Copy(io.Discard, from)
					if !errors.Is(err, relink.ErrProtocol) { // it may object to the answer to what it never said
						require.ErrorIs(t, err, relink.ErrSessionLost)
					}
					requireExchange(t, other, otherServer, 100)
					_, _ = other.Abort(), otherServer.Abort()
					r.stop()
				})
			})
		}
	}
}

// A flipConn damages one byte of what it reads.
type flipConn struct {
	net.Conn
	at  int64
	pos int64
}

func (c *flipConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if i := c.at - c.pos; i >= 0 && i < int64(n) {
		p[i] ^= 0x10
	}
	c.pos += int64(n)
	return n, err
}

// Damage of any byte ends the link at most, and never the session.
func TestDamageEndsTheLinkOnly(t *testing.T) {
	for step := int64(0); step < 3000; step += 17 {
		inAckBubble(t, func(t *testing.T, s testSuite) {
			at := lengthsOf(s).answer + step*strideOf(s)
			if at >= 3000 {
				return
			}
			damaged := false
			r := newRig(t, s, func(r *rig, _ *relink.ListenConfig) {
				r.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := r.net.Dial(ctx, network, address)
					if damaged || err != nil {
						return c, err
					}
					damaged = true
					return &flipConn{Conn: c, at: at}, nil
				}
			})
			requireWrite(t, r.server, rigData(5000))
			requireRead(t, r.client, rigData(5000))
			require.EqualValues(t, 1, r.client.Stats().Resumes, "damage at byte %d", at)
			r.exchange(1000)
			r.finish()
		})
	}
}

// A record that is intact and says what is forbidden ends the session.
func TestMalformedRecordEndsTheSession(t *testing.T) {
	inRecordBubble(t, func(t *testing.T, p *records, s testSuite) {
		r := newRig(t, s)
		p.malform.Store(true)
		_, _ = r.client.Write([]byte("x"))
		_, err := r.server.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrProtocol)
		r.stop()
	})
}
