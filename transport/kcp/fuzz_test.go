package kcp

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
)

// FuzzDatagram gives a socket and a track what a stranger may send. Nothing of it
// is a connection without its first data, and no number leads out of the datagram.
func FuzzDatagram(f *testing.F) {
	question := ask(7, 1, 2)
	first := append(ask(7, 0, 9), "data"...)
	first[4], first[20] = cmdPush, 4
	for _, b := range [][]byte{{}, question, first, append(bytes.Clone(first), question...), first[:20], append([]byte{1, 0, 0, 0, shardData, 0, 6, 0}, first...), {1, 0, 0, 0, shardParity, 0, 6, 0}} {
		f.Add(b)
	}
	from := net.UDPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:7"))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		w := newServerSocket(nil)
		conv, begins := opens(b)
		if w.takes(b, from) != begins || len(w.peers) > 1 || (len(w.peers) == 1) != begins {
			t.Fatalf("%d peers, begins: %v", len(w.peers), begins)
		}
		tr := newTrack(conv)
		tr.sent(b)
		tr.received(b)
		if tr.bytes > int64(len(b)) {
			t.Fatalf("%d bytes sent in %d", tr.bytes, len(b))
		}
		_ = tr.question(1)
		if !bytes.Equal(b, before) {
			t.Fatal("the datagram was changed")
		}
	})
}
