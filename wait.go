package relink

import (
	"sync"
	"time"
)

// A waitQueue is a condition that goroutines wait for until a deadline which
// they share. Its methods need the lock of the condition held.
type waitQueue struct {
	cond  sync.Cond
	n     int // goroutines that wait
	timer *time.Timer
}

// wait returns after a wake, or once the deadline has passed; the caller looks
// for itself. The zero time is no deadline.
func (q *waitQueue) wait(deadline time.Time) {
	q.n++
	if !deadline.IsZero() {
		d := time.Until(deadline)
		if q.timer == nil {
			q.timer = time.AfterFunc(d, q.expire)
		} else {
			q.timer.Reset(d)
		}
	}
	q.cond.Wait()
	q.n--
	if q.n == 0 && q.timer != nil {
		q.timer.Stop()
	}
}

func (q *waitQueue) expire() {
	q.cond.L.Lock()
	q.cond.Broadcast()
	q.cond.L.Unlock()
}

// wake lets all that wait look again. Nobody waits at a nil queue.
func (q *waitQueue) wake() {
	if q != nil && q.n > 0 {
		q.cond.Broadcast()
	}
}

// expired reports whether a deadline has passed.
func expired(deadline time.Time) bool {
	return !deadline.IsZero() && time.Until(deadline) <= 0
}
