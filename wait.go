package relink

import (
	"sync"
	"time"

	"github.com/relink-go/relink/internal/clock"
)

// A waitQueue is a condition that goroutines wait for until a deadline which
// they share. Its methods need the lock of the condition held. A nil waitQueue
// is one at which nobody has waited yet: most sessions never need theirs.
type waitQueue struct {
	cond  sync.Cond
	n     int // goroutines that wait
	timer *time.Timer
	seen  progress // when those who wait for delivery were last woken
}

// waitLocked settles the session and waits at one of its queues, which the first makes.
// It returns after a wake, or once the deadline has passed; the caller looks for
// itself.
func (c *Conn) waitLocked(q **waitQueue, deadline clock.Time) {
	if *q == nil {
		*q = new(waitQueue)
		(*q).cond.L = &c.mu
	}
	(*q).n++ // what the session does by itself depends on who waits
	if c.settleLocked(); !c.s.done {
		c.s.fastRead, c.s.fastWrite = false, false // until whoever holds a role has seen to it that this one is woken
		(*q).wait(deadline)
	}
	if (*q).n--; (*q).n == 0 && (*q).timer != nil {
		(*q).timer.Stop()
	}
}

func (q *waitQueue) wait(deadline clock.Time) {
	if deadline != clock.None {
		d := deadline.Until()
		if q.timer == nil {
			q.timer = time.AfterFunc(d, q.expire)
		} else {
			q.timer.Reset(d)
		}
	}
	q.cond.Wait()
}

func (q *waitQueue) expire() {
	q.cond.L.Lock()
	q.cond.Broadcast()
	q.cond.L.Unlock()
}

// waited reports whether anybody waits.
func (q *waitQueue) waited() bool { return q != nil && q.n > 0 }

// wake lets all that wait look again.
func (q *waitQueue) wake() {
	if q.waited() {
		q.cond.Broadcast()
	}
}
