package subject

import (
	"context"
	"crypto/cipher"
	"crypto/rc4"
	"encoding/binary"
	"io"
	"net"

	"github.com/relink-go/relink/dh64"
	"github.com/relink-go/relink/rc4stream"
)

// cipherOverTCP is RC4 straight over TCP: what the classic suites cost without
// resumption. The key comes from the same 64-bit Diffie-Hellman exchange, in one
// round trip.
type cipherOverTCP struct {
	standard bool // crypto/rc4 instead of this module's rc4stream
}

func (s cipherOverTCP) Name() string {
	if s.standard {
		return CryptoRC4
	}
	return RC4
}

func (s cipherOverTCP) About() string {
	if s.standard {
		return "The same with the standard library's RC4, which is slower."
	}
	return "A 64-bit Diffie-Hellman exchange, then each Write is enciphered and written to TCP by the caller: what DH64RC4 and SCP " +
		"do, without resumption. It uses this module's `rc4stream`, so that the cipher itself is the same. No goroutine, one buffer for writing."
}

func (cipherOverTCP) ConcurrentWrites() bool { return false }

func (s cipherOverTCP) Listen() (net.Listener, error) { return newUpgrader(s.secure) }

func (s cipherOverTCP) Dial(ctx context.Context, n Network, address string) (net.Conn, error) {
	return dialUpgraded(ctx, n, address, s.secure)
}

// secure agrees on a key. Both sides do the same.
func (s cipherOverTCP) secure(t net.Conn) (net.Conn, error) {
	key, err := agree(t)
	if err != nil {
		return nil, err
	}
	return s.start(t, key)
}

func (s cipherOverTCP) start(t net.Conn, key []byte) (*cipherConn, error) {
	in, err := s.newCipher(key)
	if err != nil {
		return nil, err
	}
	out, err := s.newCipher(key)
	if err != nil {
		return nil, err
	}
	return &cipherConn{Conn: t, in: in, out: out}, nil
}

// agree exchanges public keys and returns the shared secret. Neither side waits
// for the other before it sends.
func agree(t net.Conn) ([]byte, error) {
	private, err := dh64.GenerateKey()
	if err != nil {
		return nil, err
	}
	var public [8]byte
	binary.BigEndian.PutUint64(public[:], private.PublicKey())
	if _, err := t.Write(public[:]); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(t, public[:]); err != nil {
		return nil, err
	}
	secret, err := private.SharedSecret(binary.BigEndian.Uint64(public[:]))
	if err != nil {
		return nil, err
	}
	return binary.BigEndian.AppendUint64(nil, secret), nil
}

func (s cipherOverTCP) newCipher(key []byte) (cipher.Stream, error) {
	if s.standard {
		return rc4.NewCipher(key)
	}
	return newRC4(key)
}

// newRC4 keeps the state as far away from others as relink does: what lies within
// 512 bytes slows it down when another processor works with it.
func newRC4(key []byte) (cipher.Stream, error) {
	c := new(struct {
		rc4stream.Cipher
		_ [512]byte
	})
	return c, c.Init(key)
}

// A cipherConn enciphers on the caller's goroutine. One goroutine may read and
// one may write.
type cipherConn struct {
	net.Conn
	in, out cipher.Stream
	buf     []byte
}

func (c *cipherConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.in.XORKeyStream(p[:n], p[:n])
	return n, err
}

func (c *cipherConn) Write(p []byte) (int, error) {
	if len(c.buf) < len(p) {
		c.buf = make([]byte, len(p))
	}
	c.out.XORKeyStream(c.buf, p)
	return c.Conn.Write(c.buf[:len(p)])
}

// NetConn returns the connection below.
func (c *cipherConn) NetConn() net.Conn { return c.Conn }
