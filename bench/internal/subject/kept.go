package subject

import (
	"context"
	"crypto/cipher"
	"net"
	"sync"

	"github.com/relink-go/relink/replay"
)

// keptRC4 is RC4 over TCP with the least that a stream must do beside it if
// somebody is to resume it: the bytes are kept and counted, and a lock guards both
// before and after each call of the transport, because a loss, a new transport or a
// Close comes from another goroutine and at any time. It cannot be resumed.
type keptRC4 struct{ cipherOverTCP }

func (keptRC4) Name() string { return RC4Kept }

func (keptRC4) About() string {
	return "RC4 and the least that a stream must do beside it if it is to be resumed: the last 2 MiB that were sent are kept (in this module's `replay.Buffer`), as relink does by default, " +
		"both directions are counted, and a mutex guards that before and after each call of TCP. It cannot be resumed: it is what DH64RC4 and SCP are to be measured by."
}

func (s keptRC4) Listen() (net.Listener, error) { return newUpgrader(s.secure) }

func (s keptRC4) Dial(ctx context.Context, n Network, address string) (net.Conn, error) {
	return dialUpgraded(ctx, n, address, s.secure)
}

func (s keptRC4) secure(t net.Conn) (net.Conn, error) {
	key, err := agree(t)
	if err != nil {
		return nil, err
	}
	c, err := s.start(t, key)
	if err != nil {
		return nil, err
	}
	k := &keptConn{Conn: t, in: c.in, out: c.out}
	k.sent.Reset(2*keptBytes, 0)
	return k, nil
}

// keptBytes is how much of what was sent is kept, as by a session of relink with
// its default settings.
const keptBytes = replayLimit / 2

// keptShort is the most that is enciphered with the lock held, which is cheaper
// than to give it up and take it again.
const keptShort = 1 << 10

// A keptConn enciphers on the caller's goroutine. One goroutine may read and
// one may write.
type keptConn struct {
	net.Conn
	mu       sync.Mutex
	in, out  cipher.Stream
	sent     replay.Buffer // cipher text, to its end counted
	received int64
}

func (c *keptConn) Read(p []byte) (int, error) {
	c.mu.Lock() // somebody may have replaced the transport
	t := c.Conn
	c.mu.Unlock()
	n, err := t.Read(p)
	c.mu.Lock()
	c.received += int64(n)
	c.mu.Unlock()
	c.in.XORKeyStream(p[:n], p[:n])
	return n, err
}

func (c *keptConn) Write(p []byte) (int, error) {
	for n := 0; ; {
		c.mu.Lock()
		loan := c.encipherLocked(p[n:])
		t := c.Conn
		c.mu.Unlock()
		k, err := t.Write(loan.Bytes())
		c.mu.Lock()
		c.sent.Return(loan)
		if keep := c.sent.End() - keptBytes; keep > c.sent.Start() {
			c.sent.Free(keep)
		}
		c.mu.Unlock()
		if n += k; err != nil || n == len(p) {
			return n, err
		}
	}
}

// encipherLocked keeps what it enciphers of p, and lends it. The lock is released
// meanwhile if that is much.
func (c *keptConn) encipherLocked(p []byte) replay.Loan {
	if len(p) <= keptShort {
		if loan := c.sent.Extend(len(p)); len(loan.Bytes()) > 0 {
			c.out.XORKeyStream(loan.Bytes(), p)
			return loan
		}
	}
	from := c.sent.End()
	room := c.sent.Reserve(len(p))
	c.mu.Unlock()
	c.out.XORKeyStream(room, p[:len(room)])
	c.mu.Lock()
	c.sent.Commit(len(room))
	return c.sent.Lend(from, 0)
}

// Close gives what was kept back for others to use, as a session of relink does.
func (c *keptConn) Close() error {
	err := c.Conn.Close() // which ends a Write that is under way
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent.Reset(2*keptBytes, c.sent.End())
	return err
}

// NetConn returns the connection below.
func (c *keptConn) NetConn() net.Conn { return c.Conn }
