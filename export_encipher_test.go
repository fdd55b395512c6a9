package relink

import (
	"github.com/relink-go/relink/internal/stream"
	"github.com/relink-go/relink/internal/suite"
)

// LeftOf returns how many bytes of the session's buffer are still to be
// enciphered.
func LeftOf(c *Conn) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.send.End() - c.send.Fit()
}

// CheckOf judges a peer that says it has received so much.
func CheckOf(c *Conn, received int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.checkLocked(suite.Offsets{Sent: suite.Unknown, Received: received})
}

// setSession replaces the session of a Conn in all places.
func setSession(c *Conn, s suite.Session) { c.send.Session, c.recv.Session = s, s }

// HoldEncrypt makes the session's cipher wait where the lock is not held, until
// release is called.
func HoldEncrypt(c *Conn) (release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	gate := make(chan struct{})
	setSession(c, holder{c.session(), gate})
	return func() { close(gate) }
}

type holder struct {
	suite.Session
	gate chan struct{}
}

func (h holder) Encrypt(dst, src []byte) {
	if len(src) > stream.EncryptShort {
		<-h.gate
	}
	h.Session.Encrypt(dst, src)
}

// HoldWriting makes the session as it is in the moment in which there is room
// again for a Write that waits for it, and keeps it so until release is called.
func HoldWriting(c *Conn) (release func()) {
	c.mu.Lock()
	defer c.unlock()
	c.send.BeginAppend()
	return func() {
		c.mu.Lock()
		defer c.unlock()
		c.send.EndAppend()
	}
}

// HoldDecrypt is HoldEncrypt for what has arrived.
func HoldDecrypt(c *Conn) (release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	gate := make(chan struct{})
	setSession(c, decryptHolder{c.session(), gate})
	return func() { close(gate) }
}

type decryptHolder struct {
	suite.Session
	gate chan struct{}
}

func (h decryptHolder) Decrypt(dst, src []byte) {
	if len(src) > stream.EncryptShort {
		<-h.gate
	}
	h.Session.Decrypt(dst, src)
}

// TakenAlong returns the offset of the stream up to which the sender has what it
// hands to a link, or has handed it.
func TakenAlong(c *Conn) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.send.Highest()
}

// HoldSeal makes the codec of the session's link wait before it seals data, which
// it does without the session's lock, until release is called.
func HoldSeal(c *Conn) (release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	gate := make(chan struct{})
	c.link.codec = sealHolder{c.link.codec, gate}
	return func() { close(gate) }
}

type sealHolder struct {
	suite.Codec
	gate chan struct{}
}

func (h sealHolder) Seal(dst, data []byte, k suite.Control) []byte {
	if len(data) > 0 {
		<-h.gate
	}
	return h.Codec.Seal(dst, data, k)
}
