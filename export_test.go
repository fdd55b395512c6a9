package relink

import (
	"net"
	"time"
	"unsafe"

	"github.com/relink-go/relink/internal/roster"
	"github.com/relink-go/relink/internal/suite"
)

// Resolved returns the settings with their defaults filled in.
func (lc ListenConfig) Resolved() (ListenConfig, error) {
	s, err := lc.resolve()
	if err != nil {
		return ListenConfig{}, err
	}
	return ListenConfig{
		Config: s.Config, Suites: lc.Suites, MaxSessions: s.MaxSessions, MaxHandshakes: s.MaxHandshakes, MaxHandshakesPerAddress: s.MaxHandshakesPerAddress,
		HandshakeRatePerAddress: s.HandshakeRatePerAddress, MaxMemory: s.MaxMemory, MaxSuspendedMemory: s.MaxSuspendedMemory,
	}, nil
}

// Resolved returns the settings with their defaults filled in.
func (d Dialer) Resolved() (Dialer, error) {
	s, err := d.resolve()
	if err != nil {
		return Dialer{}, err
	}
	return Dialer{Config: s.Config, Suite: d.Suite, AttemptTimeout: s.AttemptTimeout, MinBackoff: s.MinBackoff, MaxBackoff: s.MaxBackoff}, nil
}

// AckWaits says whether an acknowledgement waits for a goroutine to send it.
func AckWaits(c *Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.s.ackWaits()
}

// TakeFromOlderLink has the session take a record's control from a link that is not its own
// any more, as a Read does which was under way there when a resume took over.
func TakeFromOlderLink(c *Conn, k suite.Control) error {
	c.mu.Lock()
	defer c.unlock()
	_, err := c.s.takeRecord(&link{framing: new(framing)}, suite.Record{Control: k}, nil)
	return err
}

// HoldFlusher makes goroutines that are to be the session's flusher wait before they
// begin, until release is called.
func HoldFlusher(c *Conn) (release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	gate := make(chan struct{})
	c.flusher = func() {
		<-gate
		c.flush()
	}
	return func() { close(gate) }
}

// LeftOf returns how many bytes of the session's buffer are still to be
// enciphered.
func LeftOf(c *Conn) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.s.send.End() - c.s.send.Fit()
}

// CheckOf judges a peer that says it has received so much.
func CheckOf(c *Conn, received int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.s.check(suite.Offsets{Sent: suite.Unknown, Received: received})
}

// HoldWriting makes the session as it is in the moment in which there is room
// again for a Write that waits for it, and keeps it so until release is called.
func HoldWriting(c *Conn) (release func()) {
	c.mu.Lock()
	defer c.unlock()
	c.s.send.BeginAppend()
	return func() {
		c.mu.Lock()
		defer c.unlock()
		c.s.send.EndAppend()
	}
}

// TakenAlong returns the offset of the stream up to which the sender has what it
// hands to a link, or has handed it.
func TakenAlong(c *Conn) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.s.send.Highest()
}

// SizeOfConn is what a Conn takes, without what it refers to.
const SizeOfConn = unsafe.Sizeof(Conn{})

// SetCounters moves an idle session to these offsets of its two streams, as if
// so much had been exchanged. The two sides must be moved alike.
func (c *Conn) SetCounters(sent, received int64) {
	c.mu.Lock()
	defer c.unlock()
	c.s.send.Init(c.s.send.Session, c.s.send.Traits, c.set.ReplayLimit, sent)
	c.s.recv.Init(c.s.send.Session, c.s.send.Traits, c.set.ReplayLimit, received)
	if c.s.link != nil {
		c.s.send.Attach(sent, 0, false)
		c.s.recv.Attach(received, received)
	}
}

// The bounds that tests go to.
const (
	MaxQueuedEvents   = maxQueuedEvents
	MaxQueuedRefusals = maxQueuedRefusals
	UnacceptedBound   = unacceptedBound
	LittleCarried     = littleCarried
)

// HandshakeBuffers returns the bytes that the buffers of the handshakes under way
// take. All of them have to be waiting for their clients.
func HandshakeBuffers(l *Listener) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.handshakes.All() {
		n += cap(h.stream.buf)
	}
	return n
}

// MaxTombstones is the most ended sessions that a listener remembers.
const MaxTombstones = roster.MaxTombstones

// AddEndedSessions makes the listener remember n sessions that never were.
func AddEndedSessions(l *Listener, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range n {
		key := roster.Key{Key: suite.Key{0xff, byte(i), byte(i >> 8)}}
		l.ended.Add(nil, nil, []roster.Key{key}, l.set.ResumeTimeout, &l.mu)
	}
}

// Remembered returns how many ended sessions the listener remembers.
func Remembered(l *Listener) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended.Len()
}

// Origins returns of how many origins the listener counts handshakes.
func Origins(l *Listener) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.origins.Len()
}

// NextLook says whether a silence has lasted for a time-out, and when to look
// again.
func NextLook(silence, timeout time.Duration) (pause time.Duration, due bool) {
	return nextLook(silence, timeout)
}

// TickEvery is the time between ticks.
const TickEvery = tickEvery

// RoundTrip returns the smoothed round trip and its variation, as the link knows them.
func RoundTrip(c *Conn) (smoothed, variation time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.s.link.trips.Smoothed(), c.s.link.trips.Variation()
}

// KeysOf returns how many keys sessions have in the listener's table, provisional
// ones included.
func KeysOf(l *Listener) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.roster.Keys()
}

// Ticking reports whether anything looks after the session.
func Ticking(c *Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.s.ticking
}

// WatchedBy returns how many sessions the listener ticks for.
func WatchedBy(l *Listener) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.watch)
}

// A Presented is a resume that a client has run on a transport without making
// it the link of its session.
type Presented struct {
	Transport net.Conn
	Err       error // of the handshake

	c    *Conn
	s    *handshakeStream
	link suite.Link
}

// PresentResume runs the client's side of a resume on a transport, as a client
// does that has gone mad and redials on many transports at once.
func PresentResume(c *Conn, t net.Conn) *Presented {
	p := &Presented{Transport: t, c: c, s: newStream(t)}
	p.link, p.Err = c.s.send.Session.Resume(p.s, clientView{c})
	return p
}

// Adopt makes the transport the link of the client's session, which must have
// none.
func (p *Presented) Adopt() {
	p.c.mu.Lock()
	defer p.c.unlock()
	p.c.attachLocked(p.s, p.c.s.recv.Received(), p.link)
}

// SayFirst sends a record with the control as the first of the resumed link.
func (p *Presented) SayFirst(k suite.Control) {
	_, p.Err = p.Transport.Write(p.link.Codec.Seal(nil, nil, k))
}

// KernelProbes makes a session take its link for one that the kernel's keep-alive looks
// after.
func KernelProbes(c *Conn) {
	c.mu.Lock()
	defer c.unlock()
	c.s.link.probe.tcp = new(net.TCPConn)
}

// Contradictions returns what a client's session says of itself: as it is, and with each of
// the things that it keeps in disagreement with its state. Nobody may be reading or writing.
func Contradictions(c *Conn) (said []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.s
	said = append(said, s.Contradiction())
	s.fastWrite, s.fastRead, s.closed = true, false, true
	said = append(said, s.Contradiction())
	s.fastWrite, s.fastRead = false, true
	said = append(said, s.Contradiction())
	s.fastRead, s.closed, s.ticking, s.backgroundRead = false, false, false, false
	return append(said, s.Contradiction())
}
