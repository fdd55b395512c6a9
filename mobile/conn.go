package relink

import (
	"context"
	"sync/atomic"
	"time"

	core "github.com/relink-go/relink"
	"github.com/relink-go/relink/transport/race"
)

// MaxBuffer is the largest buffer of a Read or Write, in bytes.
const MaxBuffer = 16 << 20

// readChunk bounds what one Read returns, since what it returns is allocated before
// anything has come.
const readChunk = 64 << 10

// StateNone is the state of a Conn that no Dial has made. The others are "connected",
// "suspended", "resuming", "closing" and "closed".
const StateNone = "none"

// A Conn is one session, which outlives its networks. [Dial] makes one.
type Conn struct {
	session *core.Conn // nil in a Conn that the app has made itself
	ways    *race.Dialer
	events  *events

	readTimeout, writeTimeout atomic.Int64 // milliseconds, 0 for none
}

// ready returns an error for a Conn that Dial has not made: the bindings allow that.
func (c *Conn) ready(what string) error {
	if c == nil || c.session == nil {
		return argument("%s: this Conn is not from Dial", what)
	}
	return nil
}

// Read waits for data and returns it: at least one byte, at most maxBytes and at most 64 KiB.
// At the end of the stream the error's code is [CodeEnd]. One thread should read at a
// time.
func (c *Conn) Read(maxBytes int64) (data []byte, err error) {
	defer guard("Read", &err)
	if err := c.ready("Read"); err != nil {
		return nil, err
	}
	if maxBytes < 1 || maxBytes > MaxBuffer {
		return nil, argument("Read: %d is not between 1 and %d bytes", maxBytes, MaxBuffer)
	}
	if millis := c.readTimeout.Load(); millis > 0 {
		defer within(millis, c.session.SetReadDeadline)()
	}
	buffer := make([]byte, min(maxBytes, readChunk))
	n, err := c.session.Read(buffer)
	if n > 0 {
		return buffer[:n], nil // an error stays, and comes again
	}
	return nil, coded(err)
}

// Write takes all of data into the session's buffer and returns; it arrives, over this
// network or the next, unless the session ends. It waits only while the buffer is full.
// After an error with [CodeTimeout] part of it may have been taken: an app that sets a
// write timeout and goes on nevertheless uses TryWrite.
func (c *Conn) Write(data []byte) (err error) {
	defer guard("Write", &err)
	if err := c.writable("Write", data); err != nil {
		return err
	}
	if millis := c.writeTimeout.Load(); millis > 0 {
		defer within(millis, c.session.SetWriteDeadline)()
	}
	_, err = c.session.Write(data)
	return coded(err)
}

// TryWrite takes all of data or nothing, and never waits. Where there is no room now the
// error's code is [CodeNoRoom]. It is for what is soon out of date.
func (c *Conn) TryWrite(data []byte) (err error) {
	defer guard("TryWrite", &err)
	if err := c.writable("TryWrite", data); err != nil {
		return err
	}
	taken, err := c.session.TryWrite(data)
	if err != nil {
		return coded(err)
	}
	if !taken {
		return &codedError{CodeNoRoom, errNoRoom}
	}
	return nil
}

func (c *Conn) writable(what string, data []byte) error {
	if err := c.ready(what); err != nil {
		return err
	}
	if len(data) == 0 || len(data) > MaxBuffer {
		return argument("%s: the buffer is null or empty, or more than %d bytes: it has %d", what, MaxBuffer, len(data))
	}
	return nil
}

// SetReadTimeout bounds each Read that begins from now on. 0 means no bound. After an
// error with [CodeTimeout] a Read may be repeated, and nothing is lost.
func (c *Conn) SetReadTimeout(millis int64) error {
	return c.setTimeout("SetReadTimeout", millis, func() *atomic.Int64 { return &c.readTimeout })
}

// SetWriteTimeout bounds each Write that begins from now on. 0 means no bound.
func (c *Conn) SetWriteTimeout(millis int64) error {
	return c.setTimeout("SetWriteTimeout", millis, func() *atomic.Int64 { return &c.writeTimeout })
}

func (c *Conn) setTimeout(what string, millis int64, field func() *atomic.Int64) (err error) {
	defer guard(what, &err)
	if err := c.ready(what); err != nil {
		return err
	}
	if millis != 0 {
		if _, err := duration(what, millis); err != nil {
			return err
		}
	}
	field().Store(millis)
	return nil
}

// within sets a deadline and returns what takes it away again, so that a TryWrite, or a
// Read without a timeout, does not meet the deadline of an earlier call. On a session
// that has ended neither does anything, and the call says why.
func within(millis int64, set func(time.Time) error) (after func()) {
	_ = set(time.Now().Add(time.Duration(millis) * time.Millisecond))
	return func() { _ = set(time.Time{}) }
}

// CloseWrite ends this side's stream: the peer reads everything, and then the end. The
// other direction goes on. The suites "dh64rc4" and "scp" cannot do it.
func (c *Conn) CloseWrite() (err error) {
	defer guard("CloseWrite", &err)
	if err := c.ready("CloseWrite"); err != nil {
		return err
	}
	return coded(c.session.CloseWrite())
}

// Close ends the session and returns at once. What was written is delivered in the
// background until CloseTimeout has passed. Reads and Writes that wait return.
func (c *Conn) Close() (err error) {
	defer guard("Close", &err)
	if err := c.ready("Close"); err != nil {
		return err
	}
	return coded(c.session.Close())
}

// CloseWait is Close, and waits until everything is delivered, for as long as millis
// says. Otherwise the error's code is [CodeUndelivered], or that of the session's end.
func (c *Conn) CloseWait(millis int64) (err error) {
	defer guard("CloseWait", &err)
	if err := c.ready("CloseWait"); err != nil {
		return err
	}
	d, err := duration("CloseWait", millis)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return coded(c.session.CloseContext(ctx))
}

// Flush waits until the peer's side has everything that was written, for as long as
// millis says: before the app goes to the background, for instance.
func (c *Conn) Flush(millis int64) (err error) {
	defer guard("Flush", &err)
	if err := c.ready("Flush"); err != nil {
		return err
	}
	d, err := duration("Flush", millis)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return coded(c.session.Flush(ctx))
}

// Abort ends the session at once and gives up what is not delivered.
func (c *Conn) Abort() (err error) {
	defer guard("Abort", &err)
	if err := c.ready("Abort"); err != nil {
		return err
	}
	return coded(c.session.Abort())
}

// NetworkChanged says that the device has another network, or has woken. The session
// takes a new transport now instead of finding out by itself, and tries the ways to the
// server anew. It returns at once, and does no harm if nothing has changed.
func (c *Conn) NetworkChanged() (err error) {
	defer guard("NetworkChanged", &err)
	if err := c.ready("NetworkChanged"); err != nil {
		return err
	}
	c.ways.NetworkChanged()
	c.session.NetworkChanged()
	return nil
}

// SetVigilance changes what [Config.SetVigilance] has set, for this session and at once, as
// when the app moves to the background. It returns at once. On a session that has ended it does
// nothing.
func (c *Conn) SetVigilance(name string) (err error) {
	defer guard("SetVigilance", &err)
	if err := c.ready("SetVigilance"); err != nil {
		return err
	}
	v, err := vigilanceOf("SetVigilance", name)
	if err != nil {
		return err
	}
	return coded(c.session.SetVigilance(v))
}

// SetListener sets who is told of events, of those too that came before: up to 256 wait.
func (c *Conn) SetListener(listener EventListener) (err error) {
	defer guard("SetListener", &err)
	if err := c.ready("SetListener"); err != nil {
		return err
	}
	if isNil(listener) {
		return argument("SetListener: the listener is null; call ClearListener")
	}
	c.events.set(listener)
	return nil
}

// ClearListener ends the delivery of events. A call that is under way may still be.
func (c *Conn) ClearListener() (err error) {
	defer guard("ClearListener", &err)
	if err := c.ready("ClearListener"); err != nil {
		return err
	}
	c.events.set(nil)
	return nil
}

// State returns the condition of the session: see [StateNone].
func (c *Conn) State() string {
	defer guardQuiet("State")
	if c.ready("State") != nil {
		return StateNone
	}
	return c.session.State().String()
}

// SessionID names the session, here and in the server's log.
func (c *Conn) SessionID() string {
	defer guardQuiet("SessionID")
	if c.ready("SessionID") != nil {
		return ""
	}
	return c.session.ID()
}

// RemoteAddress returns the server's address on the newest transport.
func (c *Conn) RemoteAddress() string {
	defer guardQuiet("RemoteAddress")
	if c.ready("RemoteAddress") != nil {
		return ""
	}
	return c.session.RemoteAddr().String()
}

// Room returns how many bytes a Write would take now without waiting.
func (c *Conn) Room() int64 {
	defer guardQuiet("Room")
	if c.ready("Room") != nil {
		return 0
	}
	return int64(c.session.Room())
}

// Stats returns the counts at this moment.
func (c *Conn) Stats() *Stats {
	defer guardQuiet("Stats")
	if c.ready("Stats") != nil {
		return &Stats{}
	}
	s := c.session.Stats()
	return &Stats{
		BytesRead:        s.BytesRead,
		BytesWritten:     s.BytesWritten,
		BytesPending:     s.BytesPending,
		Resumes:          s.Resumes,
		Replayed:         s.Replayed,
		LongestGapMillis: s.LongestGap.Milliseconds(),
		Memory:           s.Memory,
		ListenerErrors:   c.events.listenerErrors(),
	}
}

// Stats are the counts of one session since it was opened.
type Stats struct {
	BytesRead        int64 // taken by the app
	BytesWritten     int64 // taken from it
	BytesPending     int64 // of these, not yet handed to a network
	Resumes          int64 // how often the session went on over a new transport
	Replayed         int64 // bytes sent again
	LongestGapMillis int64 // the longest time without a network that ended in a resume
	Memory           int64 // bytes of buffers held now
	ListenerErrors   int64 // calls of the listener that threw
}
