package abuse

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
)

const (
	messageSize = 64
	echoEvery   = 20 * time.Millisecond
)

// A victim is a session that has nothing to do with an attack. It sends a
// message every echoEvery and waits for the echo.
type victim struct {
	a       *arena
	suite   suiteOf
	c       *relink.Conn
	quit    chan struct{}
	done    sync.WaitGroup
	failure error // why it stopped early; read after done

	mu      sync.Mutex // guards the two below
	since   time.Time  // when the present phase has begun
	echoes  []time.Duration
	counted int // messages in all
}

// newVictim opens the session and starts to echo.
func (a *arena) newVictim(s suiteOf, i int) *victim {
	a.t.Helper()
	v := &victim{a: a, suite: s, quit: make(chan struct{})}
	v.c = a.open(s)
	v.done.Go(func() { v.failure = v.echo(time.Duration(i) * echoEvery / 50) })
	return v
}

// open opens a session and logs in.
func (a *arena) open(s suiteOf) *relink.Conn {
	a.t.Helper()
	c, err := a.tryOpen(s)
	require.NoError(a.t, err)
	return c
}

func (a *arena) tryOpen(s suiteOf) (*relink.Conn, error) {
	d := relink.Dialer{Suite: s.client(a.public), Config: relink.Config{ReplayLimit: 64 << 10, HandshakeTimeout: 10 * time.Second}}
	c, err := d.DialConn(context.Background(), "tcp4", a.address(s.port))
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(c, password); err != nil {
		_ = c.Abort()
		return nil, err
	}
	return c, nil
}

// echo sends and compares. Each message has its time; one that is late because
// the one before was held up counts as late, so that a stall is as heavy in the
// figures as it is long.
func (v *victim) echo(offset time.Duration) error {
	sent, got := make([]byte, messageSize), make([]byte, messageSize)
	due := time.Now().Add(offset)
	for n := uint64(0); ; n++ {
		select {
		case <-v.quit:
			return nil
		case <-time.After(time.Until(due)):
		}
		v.mu.Lock()
		if due.Before(v.since) {
			due = v.since
		}
		v.mu.Unlock()
		for i := 0; i < messageSize; i += 8 {
			binary.BigEndian.PutUint64(sent[i:], (n+1)*0x9e3779b97f4a7c15+uint64(i))
		}
		if _, err := v.c.Write(sent); err != nil {
			return err
		}
		if _, err := io.ReadFull(v.c, got); err != nil {
			return err
		}
		if !bytes.Equal(sent, got) {
			return errNotExact
		}
		v.mu.Lock()
		if !due.Before(v.since) {
			v.echoes = append(v.echoes, time.Since(due))
		}
		v.counted++
		v.mu.Unlock()
		due = due.Add(echoEvery)
	}
}

// stop ends the session and requires that it has been exact and undisturbed.
func (v *victim) stop() {
	t := v.a.t
	t.Helper()
	close(v.quit)
	v.done.Wait()
	require.NoError(t, v.failure, "%s, after %d messages", v.suite.name, v.counted)
	require.Positive(t, v.counted)
	require.Zero(t, v.c.Stats().Resumes, "%s: a session was made to resume", v.suite.name)
	_ = v.c.Abort() // a server of the classic suites would wait for a client that has closed
}

// Figures are those of one phase.
type figures struct {
	p50, p99, longest time.Duration
	n                 int
}

// measure lets the victims echo for a while and returns how long the echoes
// took, over all of them.
func (a *arena) measure(d time.Duration) figures {
	begin := time.Now()
	for _, v := range a.victims {
		v.mu.Lock()
		v.since, v.echoes = begin, v.echoes[:0]
		v.mu.Unlock()
	}
	time.Sleep(d)
	var all []time.Duration
	for _, v := range a.victims {
		v.mu.Lock()
		all = append(all, v.echoes...)
		if len(v.echoes) == 0 { // held up for all of the time, and longer
			all = append(all, time.Since(begin))
		}
		v.mu.Unlock()
	}
	slices.Sort(all)
	return figures{all[len(all)/2], all[len(all)*99/100], all[len(all)-1], len(all)}
}
