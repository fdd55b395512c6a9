package conntest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/suite"
)

// FuzzPeer plays a client that has valid keys and says whatever it likes in its
// records and resumes, against a server whose application reads, writes and
// closes meanwhile. The server must give its application nothing but the
// client's stream, send nothing but its own, keep within the limits that it was
// told and has itself, and end what breaks the protocol with a typed error. With
// a client that has told no lie, everything arrives.
func FuzzPeer(f *testing.F) {
	suites := []Suite{Noise, InsecureNoise}
	for which := range uint8(len(suites)) {
		f.Add(which, []byte("\x00\x50\x02\x06\xff\x05\x60\x02\x00\x90\x06\xff"))                 // data both ways
		f.Add(which, []byte("\x05\xff\x00\xff\x09\x00\x06\xff\x05\xff\x09\x01\x02\x09\x02"))     // resumes
		f.Add(which, []byte("\x00\x20\x04\x01\x00\x06\xff\x05\x30\x07\x02"))                     // both ends
		f.Add(which, []byte("\x05\x80\x03\x05\x01\x00\x00\x00\x06\x10"))                         // acknowledges too much
		f.Add(which, []byte("\x05\x80\x03\x00\x00\x06\x01\x05\xff\x05\xff\x0b\xff"))             // and a limit of 2^62
		f.Add(which, []byte("\x05\xff\x02\x0a\x04\x20\x04\x10\x00\x06\xff"))                     // resumes below what it has
		f.Add(which, []byte("\x01\xff\x01\xff\x01\xff\x01\xff\x01\xff\x01\xff\x01\xff\x06\x10")) // beyond the limit
		f.Add(which, []byte("\x04\x10\x00\x00\x10\x05\x40\x04\x04\x00\x05\x40\x08\x00"))         // stop, and Close
		f.Add(which, []byte("\x00\x40\x04\x02\x00\x06\xff"))                                     // reset
		f.Add(which, []byte("\x04\x08\x00\x0b\x20\x0b\xf0\x0b\xf0\x09\x00\x02"))                 // pings, and none
	}
	f.Fuzz(func(t *testing.T, which uint8, ops []byte) {
		if len(ops) > 200 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			p := newFuzzedPeer(t, suites[int(which)%len(suites)], ops)
			for len(p.ops) > 0 {
				p.step()
			}
			p.finish()
		})
	})
}

// fuzzedLimit is the replay limit of FuzzPeer's server and the window of its
// client.
const fuzzedLimit = 8 << 10

// A fuzzedPeer is the client of FuzzPeer, with what it knows of both streams.
type fuzzedPeer struct {
	t      *testing.T
	ops    []byte
	net    *faultnet.Network
	l      *relink.Listener
	server *relink.Conn
	raw    *rawClient
	conn   net.Conn
	up     bool // conn can be used

	// The client's stream.
	pos, sent int64 // where the link is, and the most ever sent
	told      int64 // the server has received up to here
	limit     int64 // data may go up to here
	fin       bool
	taken     int64 // by the server's application
	settled   int64 // the same, when the server was last at rest

	// The server's stream.
	at, got int64 // where the link is, and the most ever received
	granted int64 // the greatest limit that the server was told
	written int64
	ended   bool // CloseWrite or Close

	lied bool // from here on the session may end at any time
	over bool // the client has nothing more to expect: it was told of an end
}

func newFuzzedPeer(t *testing.T, s Suite, ops []byte) *fuzzedPeer {
	p := &fuzzedPeer{t: t, ops: ops, net: faultnet.New(), limit: fuzzedLimit, granted: relink.MinReplayLimit}
	var err error
	p.l, err = relink.NewListener(p.net.Listen(), Setup{ReplayLimit: fuzzedLimit}.listener(s))
	p.must(err)
	p.conn, err = p.net.Dial(context.Background(), "tcp", "server")
	p.must(err)
	p.raw, err = openRaw(s, p.conn, fuzzedLimit)
	p.must(err)
	p.limit = max(p.raw.link.Limit, relink.MinReplayLimit)
	p.up = true
	p.record(0, p.honest())
	p.server, err = p.l.AcceptConn()
	p.must(err)
	return p
}

func (p *fuzzedPeer) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// next returns the next byte of the script, or zero at its end.
func (p *fuzzedPeer) next() byte {
	if len(p.ops) == 0 {
		return 0
	}
	b := p.ops[0]
	p.ops = p.ops[1:]
	return b
}

// size returns a length up to 4 KiB.
func (p *fuzzedPeer) size() int { n := int(p.next()); return n * n / 16 }

// lie returns a number that may be another than the true one.
func (p *fuzzedPeer) lie(truth int64) int64 {
	said := truth
	switch p.next() % 8 {
	case 3:
		said -= int64(p.next())
	case 4:
		said += int64(p.next())
	case 5:
		said = 0
	case 6:
		said = 1 << 62
	case 7:
		said = -1
	}
	p.lied = p.lied || said != truth
	return said
}

// honest is the acknowledgement of a client that keeps to the protocol.
func (p *fuzzedPeer) honest() suite.Control {
	return suite.Control{Ack: true, Received: p.got, Consumed: p.got, Limit: p.got + fuzzedLimit}
}

// record sends a record with the next n bytes of the stream.
func (p *fuzzedPeer) record(n int, k suite.Control) {
	if !p.up {
		return
	}
	n = min(n, p.raw.link.Codec.MaxData())
	if p.pos+int64(n) > 1<<19 { // beyond the test's streams
		n = 0
	}
	end := p.pos + int64(n)
	p.lied = p.lied || n > 0 && p.fin || end > p.limit || k.Fin && end < p.sent
	if k.Ack {
		p.granted = max(p.granted, k.Limit)
	}
	p.fin = p.fin || k.Fin
	_ = p.conn.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	_, err := p.conn.Write(p.raw.link.Codec.Seal(nil, streamOf(clientSalt, p.pos, n), k))
	p.pos, p.up = end, err == nil
	p.sent = max(p.sent, end)
}

// step does what the next bytes of the script say.
func (p *fuzzedPeer) step() {
	switch op := p.next() % 12; op {
	case 0, 1:
		p.record(p.size(), suite.Control{})
	case 2:
		p.record(0, p.honest())
	case 3:
		k := suite.Control{Ack: true, Received: p.lie(p.got), Consumed: p.lie(p.got), Limit: p.lie(p.got + fuzzedLimit)}
		k.FinReceived = p.next()%4 == 1
		p.lied = p.lied || k.FinReceived
		p.record(0, k)
	case 4:
		b := p.next()
		k := suite.Control{Fin: b&1 != 0, Stop: b&4 != 0, Ping: b&8 != 0, Pong: b&16 != 0}
		if b&2 != 0 {
			k.Reset = suite.ResetCode(b >> 4)
		}
		p.over = p.over || k.Stop || k.Reset != 0
		p.lied = p.lied || k.Reset != 0
		p.record(p.size(), k)
	case 5:
		p.write(p.size())
	case 6:
		p.read(p.size())
	case 7:
		_ = p.server.CloseWrite()
		p.ended = true
	case 8:
		if p.next()%2 == 0 {
			_ = p.server.Close()
			p.ended, p.over = true, true
		}
	case 9:
		p.net.Last().Cut([]faultnet.Kind{faultnet.Reset, faultnet.End, faultnet.BlackHole}[p.next()%3])
		p.resume(false)
	case 10:
		p.resume(true)
	case 11:
		time.Sleep(time.Duration(p.next()) * 100 * time.Millisecond)
	}
	p.settle()
	const chunks = 64 << 10 // the buffers hold whole pieces of memory
	if m := p.server.Stats().Memory; m > 2*(fuzzedLimit+chunks) {
		p.t.Fatalf("the server holds %d bytes", m)
	}
	if p.server.State() == relink.StateClosed {
		p.over = true
	}
}

// write is the server's application.
func (p *fuzzedPeer) write(n int) {
	_ = p.server.SetWriteDeadline(time.Now().Add(time.Millisecond))
	k, err := p.server.Write(streamOf(serverSalt, p.written, n))
	p.written += int64(k)
	p.judge(err)
}

// read is the server's application, too.
func (p *fuzzedPeer) read(n int) {
	_ = p.server.SetReadDeadline(time.Now().Add(time.Millisecond))
	b := make([]byte, n)
	k, err := p.server.Read(b)
	if !belongs(b[:k], clientSalt, p.taken) {
		p.t.Fatalf("the server read %d bytes at offset %d that nobody has sent", k, p.taken)
	}
	p.taken += int64(k)
	if p.taken > p.sent {
		p.t.Fatalf("the server read %d bytes of %d sent", p.taken, p.sent)
	}
	if errors.Is(err, io.EOF) && (!p.fin || p.taken != p.sent) && !p.lied {
		p.t.Fatalf("the stream ended at offset %d of %d", p.taken, p.sent)
	}
	p.judge(err)
}

// judge requires that an error of the server's application is one that it may
// see.
func (p *fuzzedPeer) judge(err error) {
	p.t.Helper()
	if err == nil || p.ended {
		return
	}
	requireTypedEnd(p.t, err)
}

// settle waits until the server has nothing to do, and takes what it has sent.
func (p *fuzzedPeer) settle() {
	synctest.Wait()
	p.receive()
	p.settled = p.taken
}

// receive takes what the server has sent. An acknowledgement was chosen some time
// before it was sent, but after the server was last at rest.
func (p *fuzzedPeer) receive() {
	for p.up {
		_ = p.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		r, err := p.raw.receive()
		if err != nil {
			p.up = isTimeout(err)
			return
		}
		end := p.at + int64(len(r.Data))
		switch {
		case !belongs(r.Data, serverSalt, p.at):
			p.t.Fatalf("%d bytes at offset %d are not the server's", len(r.Data), p.at)
		case end > p.granted || end > p.written:
			p.t.Fatalf("the server sends up to %d; the limit is %d, and %d bytes were written", end, p.granted, p.written)
		case r.Fin && (!p.ended || end != p.written):
			p.t.Fatalf("the server ends its stream at %d of %d", end, p.written)
		case r.Reset != 0 && !p.lied && !p.over:
			p.t.Fatalf("the server resets with the code %d", r.Reset)
		case r.Ack && (r.Received > p.sent || r.Consumed > r.Received || r.Received < p.settled || r.FinReceived && !p.fin):
			p.t.Fatalf("the server acknowledges %+v; %d bytes were sent, %d taken", r.Control, p.sent, p.taken)
		}
		p.at, p.got = end, max(p.got, end)
		p.over = p.over || r.Reset != 0 || r.Stop
		if r.Ack {
			p.told, p.limit = max(p.told, r.Received), max(p.limit, r.Limit)
		}
	}
}

// belongs reports whether data is what a stream has at the offset, which may be
// a lie.
func belongs(data []byte, salt byte, off int64) bool {
	return len(data) == 0 || off >= 0 && off < 1<<19 && bytes.Equal(data, streamOf(salt, off, len(data)))
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error) //nolint:errorlint // it comes straight from the transport
	return ok && ne.Timeout()
}

// resume resumes on a new transport, with lies or without.
func (p *fuzzedPeer) resume(lies bool) {
	conn, err := p.net.Dial(context.Background(), "tcp", "server")
	p.must(err)
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	claim := fuzzedClaim{p: p, counts: suite.Offsets{Sent: p.sent, Received: p.got}, start: p.told, length: int(p.sent - p.told)}
	if lies {
		claim.counts.Received = p.lie(p.got)
		if claim.start = p.told + int64(p.next()); claim.start > p.sent { // of the stream, but with a gap
			claim.start = p.sent
		}
		claim.length = p.size()
	}
	err = p.raw.resume(conn, claim)
	if err != nil {
		_ = conn.Close()
		p.lied = p.lied || lies
		if !p.lied && !p.over && p.server.State() != relink.StateClosed {
			p.t.Fatalf("an honest resume failed: %v", err)
		}
		p.up = p.up && lies
		return
	}
	_ = p.conn.Close()
	p.conn, p.up = conn, true
	p.pos, p.told = p.raw.link.Peer.Received, max(p.told, p.raw.link.Peer.Received)
	if p.pos > p.sent {
		p.t.Fatalf("the server has received %d bytes of %d", p.pos, p.sent)
	}
	early := p.raw.link.Early
	if !belongs(early.Data, serverSalt, early.Offset) {
		p.t.Fatalf("%d early bytes at offset %d are not the server's", len(early.Data), early.Offset)
	}
	if !lies {
		p.got = max(p.got, early.Offset+int64(len(early.Data)))
	}
	first := p.honest()
	if lies {
		first.Received = p.lie(p.got)
	}
	p.at = first.Received
	p.lied = p.lied || p.at < p.got
	p.got = max(p.got, p.at)
	p.record(0, first)
}

// A fuzzedClaim is the core of the client.
type fuzzedClaim struct {
	p      *fuzzedPeer
	counts suite.Offsets
	start  int64
	length int
}

func (c fuzzedClaim) Offsets() suite.Offsets { return c.counts }

func (c fuzzedClaim) Check(suite.Offsets) error { return nil }

func (c fuzzedClaim) Pending(b []byte) (int64, int) {
	n := copy(b, streamOf(clientSalt, c.start, min(c.length, 1<<15)))
	if c.p.fin {
		n = int(min(int64(n), c.p.sent-c.start))
	}
	c.p.lied = c.p.lied || c.start+int64(n) > c.p.limit
	c.p.sent = max(c.p.sent, c.start+int64(n))
	return c.start, n
}

// finish lets an honest client bring everything to its end.
func (p *fuzzedPeer) finish() {
	if !p.lied && !p.over {
		p.resume(false)
		for p.got < p.written && p.up {
			before := p.got
			synctest.Wait()
			p.receive()
			p.record(0, p.honest())
			if p.got == before && !p.over {
				synctest.Wait()
				p.receive()
				if p.got == before {
					p.t.Fatalf("%d bytes of %d arrive", p.got, p.written)
				}
			}
		}
		for p.pos < p.sent && p.up {
			p.record(int(p.sent-p.pos), suite.Control{})
		}
		for p.taken < p.sent && p.up {
			before := p.taken
			p.read(1 << 12)
			p.settle()
			if p.taken == before {
				p.t.Fatalf("the server reads %d bytes of %d", p.taken, p.sent)
			}
		}
	}
	_ = p.server.Abort()
	_ = p.l.Close()
	_ = p.conn.Close()
	for _, path := range p.net.Paths() {
		path.Cut(faultnet.ResetNow)
	}
	requireNothingLeft(p.t)
}
