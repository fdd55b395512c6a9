package snet_test

import (
	"bytes"
	"testing"

	"github.com/relink-go/relink/internal/snet"
	"github.com/relink-go/relink/internal/suite"
	"github.com/relink-go/relink/internal/suite/suitetest"
)

const fuzzChallenge = 0xc0ffee

// FuzzServe gives a server arbitrary bytes while it knows one live session.
// With bit 0 of mode the request gets a valid MAC, with bit 1 its id, with bit
// 2 step 4 its valid proof. The session may change only if all three hold.
func FuzzServe(f *testing.F) {
	p := snet.New(snet.Options{})
	own, _, _ := live(p)
	valid := snet.Request(own, 1000, 1800)
	f.Add(byte(0), []byte{})
	f.Add(byte(0), snet.Hello(1234))
	f.Add(byte(0), append(snet.Hello(1234), make([]byte, 16)...))
	f.Add(byte(4), append(snet.Hello(1234), make([]byte, 16)...))
	f.Add(byte(0), valid)
	f.Add(byte(4), append(valid[:len(valid):len(valid)], make([]byte, 16)...))
	f.Add(byte(7), append(bytes.Repeat([]byte{0xff}, 41), make([]byte, 16)...))
	f.Add(byte(7), snet.Request(own, 1<<63, 1800))
	f.Add(byte(7), snet.Request(own, 1000, 0))
	f.Add(byte(0), []byte{0x52, 1, 2, 3})

	f.Fuzz(func(t *testing.T, mode byte, in []byte) {
		p := snet.Fixed(snet.Options{}, 99, testID+1, fuzzChallenge)
		if len(in) > 0 && in[0] == 0xff {
			p = snet.Fixed(snet.Options{}, 99, fuzzChallenge)
		}
		own, _, there := live(p)
		h := newHost(there)
		before := there.side
		in = bytes.Clone(in)
		proof := snet.MAC(own, challengeBytes(fuzzChallenge))
		if len(in) >= 41 && in[0] == 0xff {
			if mode&2 != 0 {
				copy(in[1:], valid[1:9])
			}
			if mode&1 != 0 {
				copy(in[25:], snet.MAC(own, in[1:25]))
			}
			if mode&4 != 0 && len(in) >= 57 {
				copy(in[41:], proof)
			}
		}

		st := &suitetest.Script{In: bytes.Clone(in)}
		if len(in) > 0 && in[0] == 0 && mode&4 != 0 {
			// The session's key is known once it is offered.
			st.Reply = func(int, []byte) []byte {
				st.In = nil
				return snet.MAC(h.offered.session, challengeBytes(fuzzChallenge))
			}
		}
		err := p.Serve(st, h)
		if err != nil && !typed(err) {
			t.Fatalf("an error that cannot be told from others: %v", err)
		}
		if len(st.Writes) > 1 || len(st.Writes) == 1 && len(st.Writes[0]) != 24 {
			t.Fatalf("wrote %x", st.Writes)
		}
		if there.side != before {
			t.Fatal("the session's counts changed")
		}
		if len(there.links) > 1 {
			proven := len(in) >= 57 && in[0] == 0xff && bytes.Equal(in[1:9], valid[1:9]) &&
				bytes.Equal(in[25:41], snet.MAC(own, in[1:25])) && bytes.Equal(in[41:57], proof)
			if err != nil || !proven {
				t.Fatalf("taken over without proof: %v", err)
			}
			if peer := there.links[1].Peer; there.side.Check(peer) != nil || peer.Sent < 0 || peer.Received < 0 {
				t.Fatalf("taken over with impossible counts: %v", peer)
			}
		}
		if h.offered != nil && h.offered.live && mode&4 == 0 {
			if len(in) < 25 || !bytes.Equal(in[9:25], snet.MAC(h.offered.session, challengeBytes(fuzzChallenge))) {
				t.Fatal("established without proof")
			}
		}
		if err == nil && len(there.links) == 1 && (h.offered == nil || !h.offered.live) {
			t.Fatal("no error, and nothing happened")
		}
	})
}

func challengeBytes(c uint64) []byte { return snet.Answer(0, 0, c)[16:] }

// FuzzClientOpen gives a client that opens a session arbitrary bytes.
func FuzzClientOpen(f *testing.F) {
	f.Add(snet.ServerHello(1234, 5678, 9))
	f.Add(snet.ServerHello(0, 0, 0))
	f.Add(snet.ServerHello(1<<64-1, 0, 0))
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, in []byte) {
		st := &suitetest.Script{In: in}
		s, l, err := snet.New(snet.Options{}).Open(st)
		switch {
		case len(st.Writes) == 0 || len(st.Writes[0]) != 9:
			t.Fatalf("wrote %x", st.Writes)
		case err != nil && (s != nil || len(st.Writes) != 1 || !typed(err)):
			t.Fatalf("wrote %x, then %v", st.Writes, err)
		case err != nil:
			return
		case l.Codec != nil || l.Peer != suite.Offsets{}:
			t.Fatalf("agreed on %v", l)
		case len(in) < 24 || len(st.Writes) != 2 || !bytes.Equal(st.Writes[1], snet.MAC(s, in[16:24])):
			t.Fatalf("wrote %x", st.Writes)
		}
		data := []byte("data")
		s.Encrypt(make([]byte, len(data)), data)
		s.Decrypt(data, data)
		if len(s.ID()) != 16 {
			t.Fatalf("id %q", s.ID())
		}
	})
}

// FuzzClientResume gives a client that resumes a session arbitrary bytes.
func FuzzClientResume(f *testing.F) {
	f.Add(make([]byte, 24))
	f.Add(snet.Answer(2000, 900, 1))
	f.Add(snet.Answer(0, 0, 1))
	f.Add(snet.Answer(1<<63, 900, 1))
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, in []byte) {
		s, c, _ := live(snet.New(snet.Options{}))
		st := &suitetest.Script{In: in}
		l, err := s.Resume(st, c)
		switch {
		case len(st.Writes) == 0 || !bytes.Equal(st.Writes[0], snet.Request(s, 1000, 1800)):
			t.Fatalf("wrote %x", st.Writes)
		case err != nil && (len(st.Writes) != 1 || !typed(err)):
			t.Fatalf("wrote %x, then %v", st.Writes, err)
		case err != nil:
			return
		case len(in) < 24 || len(st.Writes) != 2 || !bytes.Equal(st.Writes[1], snet.MAC(s, in[16:24])):
			t.Fatalf("wrote %x", st.Writes)
		case c.Check(l.Peer) != nil || l.Peer.Sent < 0 || l.Peer.Received < 0:
			t.Fatalf("goes on from %v", l.Peer)
		}
	})
}
