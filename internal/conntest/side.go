package conntest

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
)

// A Side is one end of a session and its place in the two streams, whose bytes
// depend on their offsets, so that one that is lost, repeated or moved shows.
type Side struct {
	*relink.Conn

	t              testing.TB
	name           string
	salt, peerSalt byte
	sent, got      int64
	Events         EventLog
}

// The salts of the two streams.
const clientSalt, serverSalt = 0x5a, 0xa5

// tapes are the beginnings of the two streams, by salt.
var tapes = sync.OnceValue(func() map[byte][]byte {
	m := make(map[byte][]byte)
	for _, salt := range []byte{clientSalt, serverSalt} {
		b := make([]byte, 1<<20)
		for i := range b {
			x := (uint64(i) + 1) * 0x9e3779b97f4a7c15
			b[i] = byte(x>>56) ^ byte(x>>31) ^ salt
		}
		m[salt] = b
	}
	return m
})

// streamOf returns n bytes of a stream from the offset on.
func streamOf(salt byte, off int64, n int) []byte { return tapes()[salt][off : off+int64(n)] }

// Send writes the next n bytes of this side's stream.
func (e *Side) Send(n int) {
	e.t.Helper()
	k, err := e.Write(streamOf(e.salt, e.sent, n))
	e.sent += int64(k)
	require.NoError(e.t, err, "%s: Write at offset %d", e.name, e.sent)
}

// writing is write in a goroutine of its own, as unbuffered paths need it. The
// channel is closed at the end, also after a failure.
func (e *Side) writing(n int) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.Send(n)
	}()
	return done
}

// reading is read in a goroutine of its own.
func (e *Side) reading(n int) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.Receive(n)
	}()
	return done
}

// fill writes until the deadline stops it, and returns how much was taken.
func (e *Side) fill(within time.Duration) int64 {
	e.t.Helper()
	start := e.sent
	require.NoError(e.t, e.SetWriteDeadline(time.Now().Add(within)))
	for {
		k, err := e.Write(streamOf(e.salt, e.sent, 4096))
		e.sent += int64(k)
		if err != nil {
			require.ErrorIs(e.t, err, os.ErrDeadlineExceeded, "%s", e.name)
			require.NoError(e.t, e.SetWriteDeadline(time.Time{}))
			return e.sent - start
		}
	}
}

// Receive reads the next n bytes of the peer's stream.
func (e *Side) Receive(n int) {
	e.t.Helper()
	b := make([]byte, n)
	k, err := io.ReadFull(e.Conn, b)
	e.check(b[:k])
	require.NoError(e.t, err, "%s: Read at offset %d", e.name, e.got)
}

// readAll reads to the end of the stream and returns how it ended.
func (e *Side) readAll() error {
	e.t.Helper()
	b := make([]byte, 512)
	for {
		n, err := e.Read(b)
		e.check(b[:n])
		if err != nil {
			return err
		}
	}
}

// check requires that b is what the peer's stream has next.
func (e *Side) check(b []byte) {
	e.t.Helper()
	want := streamOf(e.peerSalt, e.got, len(b))
	if !bytes.Equal(b, want) {
		i := 0
		for b[i] == want[i] {
			i++
		}
		is := "what belongs nowhere nearby"
		if at := bytes.Index(streamOf(e.peerSalt, 0, 1<<20), b[i:min(i+16, len(b))]); at >= 0 {
			is = fmt.Sprintf("what belongs at offset %d", at)
		}
		require.FailNow(e.t, "the stream differs", "%s: at offset %d, byte %d of %d of this Read, is %s", e.name, e.got+int64(i), i, len(b), is)
	}
	e.got += int64(len(b))
}

// awaitDone requires that the session ends.
func (e *Side) awaitDone() {
	e.t.Helper()
	timer := time.NewTimer(time.Minute)
	defer timer.Stop()
	select {
	case <-e.Done():
	case <-timer.C:
		require.FailNow(e.t, "the session does not end", "%s: %v", e.name, e.Conn)
	}
}

// An EventLog collects events.
type EventLog struct {
	mu     sync.Mutex
	events []relink.Event
}

func (l *EventLog) add(e relink.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

// All returns the events so far, of those kinds if any are given. It waits for
// what is being delivered.
func (l *EventLog) All(kinds ...relink.EventKind) []relink.Event {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []relink.Event
	for _, e := range l.events {
		for _, k := range kinds {
			if e.Kind == k {
				found = append(found, e)
			}
		}
		if len(kinds) == 0 {
			found = append(found, e)
		}
	}
	return found
}

// kinds returns the kinds of the events so far.
func (l *EventLog) kinds() []relink.EventKind {
	var kinds []relink.EventKind
	for _, e := range l.All() {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// errors returns what the events so far have as reasons.
func (l *EventLog) errors() []error {
	var errs []error
	for _, e := range l.All() {
		errs = append(errs, e.Err)
	}
	return errs
}
