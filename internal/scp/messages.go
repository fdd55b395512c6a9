package scp

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/relink-go/relink/internal/suite"
)

// The sizes of section 2 of the specification, in bytes.
const (
	headerSize = 2       // the length in front of a packet's content
	maxPacket  = 1 << 10 // the longest content
	wordSize   = 12      // a key or a code of 8 bytes in base64

	// minRequest is the shortest content of a client's packet: a new session's
	// without target and flag.
	minRequest = len("0\n") + wordSize

	// requestLines is how many lines of a request mean anything.
	requestLines = 4

	// maxFlag is the greatest flag, a set of 32 bits.
	maxFlag = math.MaxUint32

	// maxTarget is the longest target that fits into a packet together with the
	// longest flag.
	maxTarget = maxPacket - minRequest - len("\n\n4294967295")
)

// A newRequest asks for a new session.
type newRequest struct {
	key uint64 // the client's public key
	wish
}

// A wish is what a client asks of a new session beside the session itself.
// Older clients send less of it.
type wish struct {
	target    string
	flag      int64
	hasTarget bool
	hasFlag   bool // only with hasTarget
}

// A newAnswer opens a session.
type newAnswer struct {
	id  uint32 // not 0
	key uint64 // the server's public key
}

// A resumeRequest asks to go on with a session on another transport.
type resumeRequest struct {
	id       uint32 // not 0
	index    int64
	received uint32 // the client's count, mod 2^32
	mac      [8]byte
}

// A resumeAnswer is the server's verdict. The count is the server's, mod 2^32.
type resumeAnswer struct {
	received uint32
	code     int
}

// readPacket reads one packet and returns its content, which is valid until the
// next read. A length beyond the bounds is an error before anything behind it is
// read.
func readPacket(s suite.Stream, what string) ([]byte, error) {
	header, err := suite.Read(s, headerSize, what)
	if err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(header))
	if n == 0 || n > maxPacket {
		return nil, suite.Malformed("SCP packet of %d bytes", n)
	}
	content, err := s.Next(n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("relink: reading %s: %w", what, err)
	}
	return content, nil
}

// packet puts the length in front of a content that was appended to a header's
// worth of room.
func packet(b []byte) []byte {
	n := len(b) - headerSize
	if n > maxPacket {
		panic("relink: internal error: SCP packet too long")
	}
	binary.BigEndian.PutUint16(b, uint16(n))
	return b
}

// room is where the encoders begin to append.
func room() []byte { return make([]byte, headerSize, 128) }

func (m newRequest) packet() []byte {
	b := append(room(), "0\n"...)
	b = appendWord(b, little(m.key))
	if m.hasTarget {
		b = append(b, '\n')
		b = append(b, m.target...)
	}
	if m.hasFlag {
		b = append(b, '\n')
		b = strconv.AppendInt(b, m.flag, 10)
	}
	return packet(b)
}

// parseRequest decodes a client's packet: exactly one of the results is set. It
// takes what the servers in use take (section 2), so that a request has more than
// one spelling.
func parseRequest(content []byte) (*newRequest, *resumeRequest, error) {
	lines := bytes.SplitN(content, []byte{'\n'}, requestLines+1)
	lines = lines[:min(len(lines), requestLines)]
	id, ok := parseNumber(lines[0], math.MaxUint32)
	switch {
	case !ok:
		return nil, nil, suite.Malformed("SCP session id %.20q", lines[0])
	case id == 0:
		m, err := parseNewRequest(lines[1:])
		return m, nil, err
	default:
		m, err := parseResumeRequest(uint32(id), lines[1:])
		return nil, m, err
	}
}

// parseNewRequest decodes the lines behind the 0.
func parseNewRequest(lines [][]byte) (*newRequest, error) {
	if len(lines) < 1 {
		return nil, suite.Malformed("SCP request without a public key")
	}
	key, ok := parseWord(withoutReturn(lines[0]))
	if !ok {
		return nil, suite.Malformed("SCP public key %.20q", lines[0])
	}
	m := &newRequest{key: binary.LittleEndian.Uint64(key[:])}
	if len(lines) > 1 {
		target := string(withoutReturn(lines[1]))
		if !validTarget(target) {
			return nil, suite.Malformed("SCP target server %.40q", lines[1])
		}
		m.target, m.hasTarget = target, true
	}
	if len(lines) > 2 {
		line := withoutReturn(lines[2])
		if m.flag, ok = parseFlag(line); !ok && len(line) > 0 {
			return nil, suite.Malformed("SCP flag %.20q", lines[2])
		}
		m.hasFlag = ok
	}
	return m, nil
}

// withoutReturn takes the carriage return from the end of a line.
func withoutReturn(line []byte) []byte { return bytes.TrimSuffix(line, []byte{'\r'}) }

// sendableTarget reports whether every byte of the name is one of [a-zA-Z_0-9],
// which is what the protocol allows.
func sendableTarget(name string) bool {
	for _, c := range []byte(name) {
		if !isAlphanumeric(c) && c != '_' {
			return false
		}
	}
	return true
}

// validTarget reports whether a server takes the name: there are clients that send
// names of hosts.
func validTarget(name string) bool {
	for _, c := range []byte(name) {
		if !isAlphanumeric(c) && c != '_' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

func (m newAnswer) packet() []byte {
	b := strconv.AppendUint(room(), uint64(m.id), 10)
	b = append(b, '\n')
	return packet(appendWord(b, little(m.key)))
}

// parseNewAnswer decodes the answer to a newRequest. A refusal is returned as a
// [StatusError]: it has the shape of a resumeAnswer, so that its id is 0.
func parseNewAnswer(content []byte) (newAnswer, error) {
	lines, err := split(content, 2)
	if err != nil {
		return newAnswer{}, err
	}
	if len(lines) != 2 {
		return newAnswer{}, suite.Malformed("SCP answer of one line")
	}
	id, ok := parseNumber(lines[0], math.MaxUint32)
	if !ok {
		return newAnswer{}, suite.Malformed("SCP session id %.20q", lines[0])
	}
	if id == 0 {
		if code, ok := parseCode(lines[1]); ok && code != StatusOK {
			return newAnswer{}, StatusError{Code: code}
		}
		return newAnswer{}, suite.Malformed("SCP session id 0")
	}
	key, ok := parseWord(lines[1])
	if !ok {
		return newAnswer{}, suite.Malformed("SCP public key %.20q", lines[1])
	}
	return newAnswer{id: uint32(id), key: binary.LittleEndian.Uint64(key[:])}, nil
}

// appendSigned appends the part of the request that its code covers. The
// parsers accept one spelling of these numbers only, so this is also what was
// received.
func (m resumeRequest) appendSigned(b []byte) []byte {
	b = strconv.AppendUint(b, uint64(m.id), 10)
	b = append(b, '\n')
	b = strconv.AppendInt(b, m.index, 10)
	b = append(b, '\n')
	b = strconv.AppendUint(b, uint64(m.received), 10)
	return append(b, '\n')
}

// sign returns the code that the request must carry.
func (m resumeRequest) sign(secret uint64) [8]byte {
	return mac(hash(m.appendSigned(nil)), little(secret))
}

func (m resumeRequest) packet() []byte {
	return packet(appendWord(m.appendSigned(room()), m.mac))
}

// parseResumeRequest decodes the lines behind the id.
func parseResumeRequest(id uint32, lines [][]byte) (*resumeRequest, error) {
	if len(lines) < 3 {
		return nil, suite.Malformed("SCP resume request of %d lines", 1+len(lines))
	}
	index, ok := parseNumber(lines[0], math.MaxInt64)
	if !ok {
		return nil, suite.Malformed("SCP resume index %.20q", lines[0])
	}
	received, ok := parseNumber(lines[1], math.MaxUint32)
	if !ok {
		return nil, suite.Malformed("SCP byte count %.20q", lines[1])
	}
	code, ok := parseWord(withoutReturn(lines[2]))
	if !ok {
		return nil, suite.Malformed("SCP authentication code %.20q", lines[2])
	}
	return &resumeRequest{id: id, index: index, received: uint32(received), mac: code}, nil
}

func (m resumeAnswer) packet() []byte {
	b := strconv.AppendUint(room(), uint64(m.received), 10)
	b = append(b, '\n')
	// The code alone: existing clients fail on a message behind it.
	return packet(strconv.AppendInt(b, int64(m.code), 10))
}

func parseResumeAnswer(content []byte) (resumeAnswer, error) {
	lines, err := split(content, 2)
	if err != nil {
		return resumeAnswer{}, err
	}
	if len(lines) != 2 {
		return resumeAnswer{}, suite.Malformed("SCP answer of one line")
	}
	received, ok := parseNumber(lines[0], math.MaxUint32)
	if !ok {
		return resumeAnswer{}, suite.Malformed("SCP byte count %.20q", lines[0])
	}
	code, ok := parseCode(lines[1])
	if !ok {
		return resumeAnswer{}, suite.Malformed("SCP status %.20q", lines[1])
	}
	return resumeAnswer{received: uint32(received), code: code}, nil
}

// split cuts an answer into its lines, at most limit of them, which have no
// terminator at the end and no carriage return anywhere.
func split(content []byte, limit int) ([][]byte, error) {
	if bytes.IndexByte(content, '\r') >= 0 {
		return nil, suite.Malformed("carriage return in an SCP packet")
	}
	lines := bytes.SplitN(content, []byte{'\n'}, limit+1)
	if len(lines) > limit {
		return nil, suite.Malformed("SCP packet of more than %d lines", limit)
	}
	return lines, nil
}

// parseNumber decodes the one spelling of a number from 0 to limit: decimal
// digits without a sign, a space or a leading zero.
func parseNumber(b []byte, limit int64) (int64, bool) {
	if len(b) == 0 || len(b) > 1 && b[0] == '0' {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if !isDigit(c) {
			return 0, false
		}
		d := int64(c - '0')
		if n > (limit-d)/10 {
			return 0, false
		}
		n = 10*n + d
	}
	return n, true
}

// parseFlag decodes a set of 32 bits, as an unsigned number or a signed one.
func parseFlag(b []byte) (int64, bool) {
	digits, negative := bytes.CutPrefix(b, []byte{'-'})
	if !negative {
		return parseNumber(b, maxFlag)
	}
	n, ok := parseNumber(digits, -math.MinInt32)
	return (-n) & maxFlag, ok && n > 0
}

// parseCode decodes a status line: three digits, and perhaps a space and a
// message, which nobody needs.
func parseCode(line []byte) (int, bool) {
	digits, _, _ := bytes.Cut(line, []byte{' '})
	code, ok := parseNumber(digits, 999)
	return int(code), ok && code >= 100
}

// parseWord decodes base64 of exactly 8 bytes. The length is checked first
// because the decoder skips line ends wherever they are.
func parseWord(b []byte) (word [8]byte, ok bool) {
	if len(b) != wordSize {
		return word, false
	}
	var buf [wordSize / 4 * 3]byte
	n, err := base64.StdEncoding.Strict().Decode(buf[:], b)
	if err != nil || n != len(word) {
		return word, false
	}
	copy(word[:], buf[:])
	return word, true
}

func appendWord(b []byte, word [8]byte) []byte {
	return base64.StdEncoding.AppendEncode(b, word[:])
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isAlphanumeric(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
