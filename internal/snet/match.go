package snet

import "github.com/relink-go/relink/internal/suite"

// Match tells an snet client from the clients of the other protocols (Telling
// it from other protocols). A resume is known by its first byte. The first
// byte of a new session may also be the high byte of the length of an SCP
// packet, so the nine bytes that an snet client sends before it waits are
// compared with what an SCP client sends. That is judged alike whether the
// bytes come one by one or all at once.
//
// No SCP client is ever taken for an snet client. A random public key looks
// like an SCP packet once in 70 million.
func (p *Protocol) Match(first []byte) suite.Match {
	switch {
	case first[0] == typeResume:
		return suite.MatchYes
	case first[0] != typeNew:
		return suite.MatchNo
	}
	first = first[:min(len(first), clientHelloSize)]
	switch {
	case !beginsSCP(first):
		return suite.MatchYes
	case len(first) < clientHelloSize:
		return suite.MatchMore
	}
	return suite.MatchNo
}

// minSCP is the length of the shortest content of an SCP client's packet: "0",
// a newline, and a public key in base64.
const minSCP = 14

// beginsSCP reports whether b, whose first byte is zero and which has at most
// clientHelloSize bytes, can be the beginning of what an SCP client sends: two
// bytes of length, then for a new session "0\n" and base64, for a resume three
// lines with a number each, of which the first is not zero, and base64.
func beginsSCP(b []byte) bool {
	lines := 0
	for i, c := range b {
		var ok bool
		switch {
		case i == 0:
			ok = true
		case i == 1:
			ok = c >= minSCP
		case i == 2:
			ok = isDigit(c)
		case i == 3 && b[2] == '0':
			ok = c == '\n'
		case b[2] == '0' || lines == 3:
			ok = isBase64(c)
		case c == '\n':
			ok = true
			lines++
		default:
			ok = isDigit(c)
		}
		if !ok {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isBase64(c byte) bool {
	return isDigit(c) || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || c == '+' || c == '/'
}
