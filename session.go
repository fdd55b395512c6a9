package relink

import (
	"time"

	"github.com/relink-go/relink/internal/clock"
	"github.com/relink-go/relink/internal/headway"
	"github.com/relink-go/relink/internal/stream"
	"github.com/relink-go/relink/internal/suite"
)

// A session is all that the lock of a Conn guards of the stream, of who uses it and of
// its life. Its methods change it and answer what follows from it, and do nothing
// else: they give up no lock, wait for nobody, start no goroutine and end no session.
// What they find out they return, for the Conn to act on. So a call of one is a step
// within which nothing else happens, and only what ends in Locked can be more.
type session struct {
	// The stream and its link.

	send stream.Send
	recv stream.Receive
	link *link // nil while there is none

	// Who uses it. Each role belongs to one goroutine at a time.

	burst         burstDetector // Writes without a Read between
	readers       *waitQueue    // Reads that wait for data or for the role
	writers       *waitQueue    // Writes that wait for room or for their turn
	ackers        *waitQueue    // WaitAcked and Flush
	readDeadline  clock.Time
	writeDeadline clock.Time

	receiver       role // an application's Read, or the standby goroutine
	sender         role // a Write, or the flusher goroutine
	backgroundRead bool // the application has been away: a standby reads
	readSinceTick  bool // a Read has held the receiver role
	ticking        bool // ticks look at it: see Conn.tick
	wantsRoom      bool // a Write waits for it
	fastRead       bool // nothing is out of the ordinary: see fastpath.go
	fastWrite      bool
	pongDue        bool
	pingDue        bool

	// Its life.

	client      bool         // constant
	closed      bool         // Close or Abort was called
	done        bool         // nothing is left but what Read may still take
	leaving     bool         // client: over, and the server is to learn it
	provisional bool         // server: the handshake is not complete
	unaccepted  bool         // server: the application does not have it yet
	slowNetwork bool         // the last link carried too little
	frugal      bool         // server: it is to read no more ahead than it must
	earlyGiven  bool         // early data was given since the last link
	epoch       uint32       // links so far
	opened      clock.Coarse // constant once it is
	active      clock.Coarse // when the application was last seen to have read or written
	reported    reported     // what was known then; of a server, what is in the listener's totals
	lost        loss         // how the last link ended
	ended       *ending      // nil until somebody asks, or there is something to say
}

// A role is held by nobody, by a goroutine of the application, or by one of
// ours.
type role uint8

const (
	roleFree role = iota
	roleInline
	roleBackground
)

// A loss says how a link ended.
type loss struct {
	at    clock.Time
	err   error
	link  *link // what somebody is still reading of it counts; or nil
	clean bool  // by the end of the transport's stream, not by an error
	short bool  // before all had arrived that the peer had said it would replay
}

// expires returns when a session may be without a transport no longer.
func (o loss) expires(timeout time.Duration) clock.Time { return o.at.Add(min(timeout, 1<<61)) }

// init makes an empty session.
func (s *session) init(of suite.Session, traits suite.Traits, limit int) {
	s.send.Init(of, traits, limit, 0)
	s.recv.Init(of, traits, limit, 0)
}

// detach leaves the session without a link.
func (s *session) detach() {
	s.link = nil
	s.send.Detach()
}

// An ending is that of a session which is about to end, or has; and what few sessions have
// before.
type ending struct {
	done  chan struct{} // made by Done
	err   error
	timer *time.Timer // bounds the time after Close

	resumeTimeout time.Duration // if not that of the settings
	longestGap    time.Duration // without a link, before a resume
	headway       headway.Record
	value         any // of the application's
}

// resumeTimeoutOr is how long the session may be without a transport, which is usual unless
// it was told otherwise.
func (e *ending) resumeTimeoutOr(usual time.Duration) time.Duration {
	if e != nil && e.resumeTimeout != 0 {
		return e.resumeTimeout
	}
	return usual
}

// piece is how much a transport is handed at once on a wire that carries the stream alone.
func (e *ending) piece() int {
	if e == nil {
		return batchSize
	}
	return e.headway.Piece(batchSize)
}

// ending returns it, and makes it where there is none.
func (s *session) ending() *ending {
	if s.ended == nil {
		s.ended = new(ending)
	}
	return s.ended
}
