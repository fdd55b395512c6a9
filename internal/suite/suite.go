// Package suite is the seam between the core of relink and its wire
// protocols.
//
// A protocol (internal/snet, internal/scp, internal/noise) implements
// [Protocol], [Session] and, where its wire has records, [Codec]. The core
// implements [Stream], [Client], [Host] and [Target]. A protocol therefore
// never sees a net.Conn, starts no goroutine and reads no clock: the core owns
// transports, time limits and locks, a protocol owns bytes and keys. Whatever a
// protocol does can be driven from a test with byte slices alone.
//
// A byte that the application writes passes [Session.Encrypt] on its way into
// the replay buffer, or there, and [Codec.Seal] on its way from there to the
// transport. A protocol fills one of the two places, or both, or none.
package suite

import "io"

// Traits says what the wire of a protocol can carry.
type Traits struct {
	// Acks: the peer acknowledges what it holds, so that the replay buffer is
	// freed by acknowledgements and nothing else. Without it history gives
	// way to new data. A protocol with Acks has a [Codec].
	Acks bool

	// HalfClose: the wire carries the end of a direction, so that it arrives
	// at an exact offset and the end of a transport means nothing.
	HalfClose bool

	// Pings: the wire carries pings, so that a silent dead link is found on
	// any transport.
	Pings bool

	// Copies: Encrypt and Decrypt of its sessions do nothing but copy, which the
	// core may therefore do itself.
	Copies bool
}

// A Match is what the first bytes of a conversation tell a listener that
// serves several protocols.
type Match int

// The verdicts of [Protocol.Match].
const (
	MatchNo   Match = iota // not this protocol
	MatchMore              // could be: more bytes are needed
	MatchYes               // this protocol
)

// A Key is what a listener finds a session by. It is unique among the sessions
// of one protocol on one listener.
type Key [16]byte

// Offsets are one side's counts of application bytes over the life of a
// session.
type Offsets struct {
	// Sent is how much this side's application has written.
	Sent int64
	// Received is how much this side has received in order and will not need
	// again.
	Received int64
}

// A Configurable is a [Protocol] that depends on how it is used.
type Configurable interface {
	Protocol

	// Configure returns the protocol for a server or a client with the window,
	// which is how many bytes this side takes beyond what its application has
	// consumed; or what the protocol lacks for that side.
	Configure(server bool, window int64) (Protocol, error)
}

// A Spaced is a [Protocol] whose servers need some time between two handshakes. A client does not
// resume within so many milliseconds as MinInterval returns after a server may have
// begun to make a transport the session's, because a handshake has succeeded or has
// ended without an answer. Servers that are in use may take that long to show the
// session to the next resume as it then is, and go on from what was before until
// then. The pause is no part of the wire.
type Spaced interface {
	Protocol
	MinInterval() (milliseconds int)
}

// Unknown stands for a count that a wire does not tell.
const Unknown int64 = -1

// A Protocol is one wire protocol with its options, both sides of it. It holds
// no state of any session and is safe for concurrent use.
type Protocol interface {
	// String names the protocol, as the documentation does.
	String() string

	// Traits says what its wire can carry.
	Traits() Traits

	// Match judges the first bytes that a client has sent, at least one.
	Match(first []byte) Match

	// Open runs the client's side of the handshake of a new session.
	Open(s Stream) (Session, Link, error)

	// Serve runs the server's side of one handshake, of a new session or of a
	// resume, and ends with [Host.Establish] or [Target.TakeOver]. An error
	// means that the handshake failed and that the transport is to be closed;
	// what the wire has for a refusal has been sent by then.
	Serve(s Stream, h Host) error
}

// A Session is what one side knows of one session beyond its offsets: ids,
// secrets, the state of its ciphers. Encrypt and Decrypt are called by at most
// one goroutine each at a time; everything else may be called at any time from
// any goroutine.
type Session interface {
	// ID names the session to people and logs. It is not a secret, and does
	// not change.
	ID() string

	// Peer says how the session was opened, and does not change.
	Peer() Peer

	// Encrypt turns the next len(src) bytes of the application's stream into
	// what is sent. dst is as long as src, and may be src. A protocol without a
	// session cipher copies.
	Encrypt(dst, src []byte)

	// Decrypt is the inverse on the receiving side. dst may be src.
	Decrypt(dst, src []byte)

	// Resume runs the client's side of one attempt to resume. An error that is
	// [ErrRefused], [ErrReplayGap], [ErrCounters] or an [EndedError] is final, any other is a
	// reason to try again on another transport; after an [ErrOtherInstance] not for
	// long. Whoever answers may be a stranger: on
	// a wire without authentication only what this session's server could have said
	// is final.
	Resume(s Stream, c Client) (Link, error)
}

// An Eraser is a [Session] with secrets that are to be overwritten when they are of no more
// use: the session has ended, and nobody is to be told so under them. Erase may be called
// with any lock of the core held. What ID and Peer say stays.
type Eraser interface {
	Session
	Erase()
}

// A Peer is how a session was opened: what its two sides have proven or claimed,
// and what the client has asked for. A key that is zero was not used.
type Peer struct {
	Suite        string // what [Protocol.String] returns
	ServerKey    [32]byte
	ClientKey    [32]byte // proven when the session is established, and claimed before
	PresharedKey [32]byte // that the client was invited with
	Target       string   // what the client would like to reach
	Hybrid       bool     // post-quantum secrecy
	Version      int      // of the protocol

	// ChannelBinding is the same on both sides of a session, and of this session
	// alone; or zero if the protocol has none.
	ChannelBinding [32]byte
}

// A Stream is a transport during a handshake. It buffers: what has arrived
// beyond the handshake becomes the first input of the link.
type Stream interface {
	io.Writer

	// Next returns the next n bytes, waiting for them. The slice is valid
	// until the next call. n is at most [MaxMessage]. The error is
	// io.ErrUnexpectedEOF where the transport ends within the n bytes and
	// io.EOF where it ends before them.
	Next(n int) ([]byte, error)
}

// MaxMessage bounds what a protocol may ask of [Stream.Next] in one call.
const MaxMessage = 20 << 10

// A Link is what a handshake has agreed for one transport.
type Link struct {
	// Codec frames the data of this transport. Nil means that the wire carries
	// the contents of the replay buffer and nothing else.
	Codec Codec

	// Peer holds the peer's counts as the handshake told them: this side sends
	// from Peer.Received on, and the peer replays up to Peer.Sent. Zero for a
	// new session.
	Peer Offsets

	// Limit, if not zero, is the offset that data of this side must not pass,
	// as the handshake of a new session told it.
	Limit int64

	// Early is data of the server that came with its answer to a resume. The
	// client takes it before the link begins.
	Early Early

	// First is the record that convinced a server, where the protocol has the
	// client confirm a handshake with its first record. The zero Record
	// otherwise.
	First Record
}

// Early is data that came ahead of a link's first record.
type Early struct {
	Offset int64
	Data   []byte
}

// Client is the client's core as a protocol sees it during a resume.
type Client interface {
	// Offsets returns the counts to tell the server. The old transport is
	// detached by now, so that they stand still.
	Offsets() Offsets

	// Check says whether the stream can go on from the server's counts:
	// [ErrReplayGap] or [ErrCounters] if not.
	Check(peer Offsets) error

	// Pending copies data into p that the server is not known to have, and
	// returns its offset and length.
	Pending(p []byte) (offset int64, n int)
}

// Host is the listener as a protocol sees it during one handshake.
type Host interface {
	// MayOpen returns nil, or why the listener takes no new session at the moment. A
	// protocol asks before it does what is costly, so that a flood of clients
	// that are refused anyway costs little; Offer and Establish decide.
	MayOpen() error

	// Authorize asks the application whether the client may open a session. The
	// error is [ErrDenied] if not, and another one if it could not be asked.
	Authorize(p Peer) error

	// Offer registers a session whose handshake is not yet complete, under
	// the key by which a resume may find it, and ties it to this handshake. It
	// returns [ErrKeyTaken] when the key is in use, and another error when the
	// listener takes no new sessions.
	Offer(s Session, k Key) error

	// Establish hands the session of [Host.Offer] to the application with the
	// handshake's transport as its first link.
	Establish(l Link) error

	// Find returns the session that is registered under the key.
	Find(k Key) (Target, bool)

	// PassOn is called for a resume, or a question about a session, that nobody here can
	// answer, before a refusal is sent. If somebody else takes the conversation over,
	// with all that the client has said since the last Write, it returns [ErrPassedOn],
	// which Serve returns without touching the stream again. Otherwise nil.
	PassOn() error
}

// A Claim is a view of a session at one moment, taken for a resume that is not
// yet proven. Taking one changes nothing.
type Claim struct {
	Offsets
	// Epoch is the number of links that the session has had.
	Epoch int64
}

// A Target is a live session on the server, as a resume sees it.
type Target interface {
	// Session returns what the protocol gave to [Host.Offer].
	Session() Session

	// Claim takes the view that the answer to the client tells.
	Claim() Claim

	// Check says whether the stream can go on from the client's counts:
	// [ErrReplayGap] or [ErrCounters] if not, [ErrFinished] if the session
	// has been closed here and the client has everything, [EndedError] if it
	// has ended and the listener remembers how.
	Check(peer Offsets) error

	// Authorize asks the application again, with the address of this handshake's
	// transport. If the error is [ErrDenied], the session is ended. Another one
	// means that it could not be asked.
	Authorize(p Peer) error

	// Early takes data that came ahead of the proof. What was received before,
	// what leaves a gap, and what there is no room for is dropped, which is no
	// loss.
	Early(offset int64, data []byte)

	// Pending copies data into p that is to be sent from the offset on, and
	// returns how much.
	Pending(offset int64, p []byte) int

	// SetKeys replaces the keys under which the session is found.
	SetKeys(keys ...Key) error

	// TakeOver makes the handshake's transport the session's link, in place of
	// the one it has. The claim is the one that the client was told. It
	// returns [ErrSuperseded] when another resume has won meanwhile, and what
	// Check returns when the stream can no longer go on.
	TakeOver(c Claim, l Link) error
}
