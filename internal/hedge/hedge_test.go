package hedge_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/hedge"
)

const every = 500 * time.Millisecond

// A path answers dials: each after the time that reply says, or never.
type path struct {
	reply func(n int) (after time.Duration, err error) // of the n-th dial, from 1; negative: never
	heeds func(n int) time.Duration                    // how long the n-th takes to return when its context has ended; nil: none
	begun time.Time

	mu      sync.Mutex
	starts  []time.Duration
	open    int
	most    int
	dropped int
}

var errRefused = errors.New("refused")

func (p *path) dial(ctx context.Context) (net.Conn, error) {
	p.mu.Lock()
	p.starts = append(p.starts, time.Since(p.begun))
	n := len(p.starts)
	p.open++
	p.most = max(p.most, p.open)
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.open--
		p.mu.Unlock()
	}()
	after, err := p.reply(n)
	var answer <-chan time.Time
	if after >= 0 {
		answer = time.After(after)
	}
	select {
	case <-answer:
		if err != nil {
			return nil, err
		}
		c, _ := net.Pipe()
		return numbered{c, n}, nil
	case <-ctx.Done():
		if p.heeds != nil {
			time.Sleep(p.heeds(n))
		}
		return nil, ctx.Err()
	}
}

type numbered struct {
	net.Conn
	n int
}

// run dials for at most 4.9 seconds, and returns which dial won and when.
func (p *path) run(t *testing.T, every time.Duration) (winner int, took time.Duration, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4900*time.Millisecond)
	defer cancel()
	p.begun = time.Now()
	c, err := hedge.Dial(ctx, every, p.dial, func(c net.Conn) {
		p.mu.Lock()
		p.dropped++
		p.mu.Unlock()
		_ = c.Close()
	})
	took = time.Since(p.begun)
	if err == nil {
		winner = c.(numbered).n
		_ = c.Close()
	}
	cancel()
	time.Sleep(time.Second)
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Zero(t, p.open, "dials under way at the end")
	require.LessOrEqual(t, p.most, 2, "dials at a time")
	return winner, took, err
}

func TestDial(t *testing.T) {
	never := time.Duration(-1)
	for _, c := range []struct {
		what   string
		reply  func(n int) (time.Duration, error)
		every  time.Duration
		winner int
		took   time.Duration
		dials  int
		err    error
	}{
		{"an answer in time", func(int) (time.Duration, error) { return 100 * time.Millisecond, nil }, every, 1, 100 * time.Millisecond, 1, nil},
		{"a failure in time", func(int) (time.Duration, error) { return 100 * time.Millisecond, errRefused }, every, 0, 100 * time.Millisecond, 1, errRefused},
		{"lost answers, until the fourth", func(n int) (time.Duration, error) {
			if n < 4 {
				return never, nil
			}
			return 100 * time.Millisecond, nil
		}, every, 4, 3*every + 100*time.Millisecond, 4, nil},
		{"a path that is slower than the next dial", func(int) (time.Duration, error) { return 1700 * time.Millisecond, nil }, every, 1, 1700 * time.Millisecond, 4, nil},
		{"nothing ever", func(int) (time.Duration, error) { return never, nil }, every, 0, 4900 * time.Millisecond, 10, context.DeadlineExceeded},
		{"the first fails late, and the second is kept", func(n int) (time.Duration, error) {
			if n == 1 {
				return 600 * time.Millisecond, errRefused
			}
			return 900 * time.Millisecond, nil
		}, every, 2, every + 900*time.Millisecond, 3, nil},
		{"the second fails, and the first goes on", func(n int) (time.Duration, error) {
			if n == 1 {
				return 1300 * time.Millisecond, nil
			}
			return 10 * time.Millisecond, errRefused
		}, every, 1, 1300 * time.Millisecond, 3, nil},
		{"not wanted", func(int) (time.Duration, error) { return never, nil }, 0, 0, 4900 * time.Millisecond, 1, context.DeadlineExceeded},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &path{reply: c.reply}
				winner, took, err := p.run(t, c.every)
				require.ErrorIs(t, err, c.err)
				require.Equal(t, c.winner, winner)
				require.Equal(t, c.took, took)
				require.Len(t, p.starts, c.dials)
			})
		})
	}
}

// Dials that take their time to return hold the next one up.
func TestSlowToReturn(t *testing.T) {
	never := func(int) (time.Duration, error) { return -1, nil }
	synctest.Test(t, func(t *testing.T) {
		p := &path{reply: never, heeds: func(int) time.Duration { return 300 * time.Millisecond }}
		_, took, err := p.run(t, every)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 5200*time.Millisecond, took)
		require.Equal(t, []time.Duration{0, every, 2*every + 300*time.Millisecond}, p.starts[:3])
	})
	synctest.Test(t, func(t *testing.T) { // the first fails while the second is given up
		p := &path{
			reply: func(n int) (time.Duration, error) {
				switch n {
				case 1:
					return 1200 * time.Millisecond, errRefused
				case 2:
					return -1, nil
				default:
					return 100 * time.Millisecond, nil
				}
			},
			heeds: func(int) time.Duration { return 400 * time.Millisecond },
		}
		winner, took, err := p.run(t, every)
		require.NoError(t, err)
		require.Equal(t, 3, winner)
		require.Equal(t, 1300*time.Millisecond, took)
	})
}

// What is connected in the same moment as another, or although it was given up, is dropped.
func TestDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &path{reply: func(n int) (time.Duration, error) { return time.Duration(3-n) * every, nil }}
		_, took, err := p.run(t, every) // both are connected after twice the time
		require.NoError(t, err)
		require.Equal(t, 2*every, took)
		require.LessOrEqual(t, p.dropped, 2)
	})
	synctest.Test(t, func(t *testing.T) {
		dropped := make(chan net.Conn, 1)
		var calls atomic.Int32
		c, err := hedge.Dial(t.Context(), every, func(context.Context) (net.Conn, error) {
			n := int(calls.Add(1))
			if n == 1 {
				time.Sleep(every + time.Second) // it does not heed its context
			}
			c, _ := net.Pipe()
			return numbered{c, n}, nil
		}, func(c net.Conn) { dropped <- c })
		require.NoError(t, err)
		require.Equal(t, 2, c.(numbered).n)
		_ = c.Close()
		require.NoError(t, (<-dropped).Close())
	})
}
