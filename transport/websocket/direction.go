package websocket

import (
	"net"
	"os"
	"sync"
	"time"
)

// A direction is what Reads, or Writes, share: whose turn it is, and their
// deadline.
//
// A call of the library cannot be left without ending the connection. So once a
// direction has had a deadline its calls are made by a goroutine, and it is that
// which is waited for. Before, they are made directly.
type direction struct {
	turn chan struct{} // holds one token while a call has the turn

	mu     sync.Mutex // guards the rest
	passed chan struct{}
	timer  *time.Timer
	set    int    // how often the deadline was set; 0 for never
	direct bool   // a direct call is under way
	broken func() // ends the connection
}

func (d *direction) begin(broken func()) {
	d.turn = make(chan struct{}, 1)
	d.passed = make(chan struct{})
	d.broken = broken
}

// deadline returns the channel that is closed when the deadline has passed.
func (d *direction) deadline() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.passed
}

// take waits for the turn.
func (d *direction) take(closed <-chan struct{}) error {
	passed := d.deadline()
	select { // in this order, although more may be true
	case <-closed:
		return net.ErrClosed
	default:
	}
	select {
	case <-passed:
		return os.ErrDeadlineExceeded
	default:
	}
	select {
	case d.turn <- struct{}{}:
		return nil
	case <-passed:
		return os.ErrDeadlineExceeded
	case <-closed:
		return net.ErrClosed
	}
}

func (d *direction) leave() { <-d.turn }

// busy reports whether a call has the turn.
func (d *direction) busy() bool { return len(d.turn) > 0 }

// directly makes the call directly if there was never a deadline, and otherwise
// returns false. The caller has the turn.
func (d *direction) directly(call func()) bool {
	d.mu.Lock()
	if d.set > 0 {
		d.mu.Unlock()
		return false
	}
	d.direct = true
	d.mu.Unlock()
	call()
	d.mu.Lock()
	d.direct = false
	d.mu.Unlock()
	return true
}

// setDeadline sets the deadline. Zero is none.
func (d *direction) setDeadline(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t.IsZero() && d.set == 0 {
		return
	}
	d.set++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	select {
	case <-d.passed:
		d.passed = make(chan struct{})
	default:
	}
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		d.passLocked()
		return
	}
	set := d.set
	d.timer = time.AfterFunc(left, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.set == set { // else it was late, and another holds
			d.passLocked()
		}
	})
}

// passLocked is called when the deadline has passed.
func (d *direction) passLocked() {
	close(d.passed)
	if d.direct {
		go d.broken()
	}
}

// stop forgets the deadline's timer.
func (d *direction) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
