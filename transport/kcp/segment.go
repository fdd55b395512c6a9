package kcp

import "encoding/binary"

// A datagram of KCP is segments one after another, each with a header of 24 bytes,
// little-endian:
//
//	 0      4     5     6     8     12    16    20    24
//	+------+-----+-----+-----+-----+-----+-----+-----+------+
//	| conv | cmd | frg | wnd | ts  | sn  | una | len | data |
//	+------+-----+-----+-----+-----+-----+-----+-----+------+
//
// With forward error correction a datagram with data has eight more bytes before
// that, in which a kind stands where cmd and frg would. One with parity can be read
// by nobody alone.
const (
	segmentHeader = 24
	shardHeader   = 8

	cmdPush = 81 // data
	cmdAsk  = 83 // what is your window?
	cmdTell = 84 // this is my window

	shardData   = 0xf1
	shardParity = 0xf2
)

// A segment is a header.
type segment struct {
	conv   uint32
	cmd    byte
	window uint16
	sn     uint32 // of this segment
	una    uint32 // all before it have arrived
	length uint32
}

// segments calls f with the segments of a datagram, as far as they are whole.
func segments(b []byte, f func(s segment)) {
	if len(b) >= shardHeader && binary.LittleEndian.Uint16(b[4:]) == shardData {
		b = b[shardHeader:]
	}
	for len(b) >= segmentHeader {
		s := segment{
			conv:   binary.LittleEndian.Uint32(b),
			cmd:    b[4],
			window: binary.LittleEndian.Uint16(b[6:]),
			sn:     binary.LittleEndian.Uint32(b[12:]),
			una:    binary.LittleEndian.Uint32(b[16:]),
			length: binary.LittleEndian.Uint32(b[20:]),
		}
		if s.cmd < cmdPush || s.cmd > cmdTell || int64(s.length) > int64(len(b)-segmentHeader) {
			return
		}
		f(s)
		b = b[segmentHeader+int(s.length):]
	}
}

// isParity reports whether a datagram is there to restore others.
func isParity(b []byte) bool {
	return len(b) >= shardHeader && binary.LittleEndian.Uint16(b[4:]) == shardParity
}

// opens returns the conversation that a datagram begins with its first data.
func opens(b []byte) (conv uint32, ok bool) {
	segments(b, func(s segment) {
		if s.cmd == cmdPush && s.sn == 0 {
			conv, ok = s.conv, true
		}
	})
	return conv, ok
}

// ask returns the datagram that asks a peer for its window, which it answers.
func ask(conv, una uint32, window uint16) []byte {
	b := make([]byte, segmentHeader)
	binary.LittleEndian.PutUint32(b, conv)
	b[4] = cmdAsk
	binary.LittleEndian.PutUint16(b[6:], window)
	binary.LittleEndian.PutUint32(b[16:], una)
	return b
}
