package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A header opens every session, from client to server. It says what the session
// is for and how it will end.
type header struct {
	suite    int // index in choices
	load     load
	end      end
	seed     uint64 // of both streams
	up, down int64  // bytes, of a bulk transfer
	size     int    // of a message
	count    int    // of messages until a client leaves that does not say so
}

// A load is what a session does.
type load uint8

// The loads.
const (
	bulk  load = iota + 1 // a stream in each direction, both at once
	game                  // a small message many times a second, answered each time
	quiet                 // a message now and then, answered
	churn                 // a few messages, and the next session
)

func (l load) String() string {
	return [...]string{bulk: "bulk", game: "game", quiet: "quiet", churn: "churn"}[l]
}

// An end is how a session ends.
type end uint8

// The ends. The last two need a suite that can say them.
const (
	goodbye   end = iota + 1 // the client says goodbye in the stream, the server closes
	abort                    // the client aborts
	halfClose                // both sides CloseWrite, and read to io.EOF
	leave                    // the client closes behind its last message
)

func (e end) String() string {
	return [...]string{goodbye: "goodbye", abort: "abort", halfClose: "CloseWrite", leave: "close"}[e]
}

const (
	headerSize  = 40
	headerMagic = "soak"
)

func (h header) encode() []byte {
	b := append(make([]byte, 0, headerSize), headerMagic...)
	b = append(b, byte(h.load), byte(h.end), byte(h.suite), 0)
	b = binary.BigEndian.AppendUint64(b, h.seed)
	b = binary.BigEndian.AppendUint64(b, uint64(h.up))
	b = binary.BigEndian.AppendUint64(b, uint64(h.down))
	b = binary.BigEndian.AppendUint16(b, uint16(h.size))
	b = binary.BigEndian.AppendUint16(b, uint16(h.count))
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

func decodeHeader(b []byte) (header, error) {
	if crc32.ChecksumIEEE(b[:headerSize-4]) != binary.BigEndian.Uint32(b[headerSize-4:]) {
		return header{}, errors.New("the header that opens a session has arrived damaged")
	}
	h := header{
		load: load(b[4]), end: end(b[5]), suite: int(b[6]),
		seed:  binary.BigEndian.Uint64(b[8:]),
		up:    int64(binary.BigEndian.Uint64(b[16:])),
		down:  int64(binary.BigEndian.Uint64(b[24:])),
		size:  int(binary.BigEndian.Uint16(b[32:])),
		count: int(binary.BigEndian.Uint16(b[34:])),
	}
	if string(b[:4]) != headerMagic || h.load < bulk || h.load > churn || h.end < goodbye || h.end > leave || h.suite >= len(choices) {
		return header{}, errors.New("the header that opens a session is none")
	}
	return h, nil
}

// String describes the session for a message about its failure.
func (h header) String() string {
	return fmt.Sprintf("%s session %016x (%v, to end with %v)", choices[h.suite].name, h.seed, h.load, h.end)
}

// The keys of the two streams of a session.
func (h header) upKey() uint64   { return h.seed }
func (h header) downKey() uint64 { return h.seed ^ 0x5bf03635d4c2a8e1 }

// What precedes a message.
const (
	opMessage = 0x4d
	opGoodbye = 0x42
)
