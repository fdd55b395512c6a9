package relink

import (
	"sync/atomic"

	"github.com/relink-go/relink/internal/clock"
	"github.com/relink-go/relink/internal/stream"
)

// The sessions of a listener share a budget of bytes (docs/adr/0063). Each direction of
// a session has a little in any case, and asks the budget when its buffer is to
// double. Between two doublings the buffer's own limit is all that is looked at.

const (
	// firstBuffer is what each direction has in any case, in bytes, or ReplayLimit if that
	// is less. On a wire without acknowledgements half of what is sent is history, and it is
	// twice as much, so that history is never less than firstBuffer.
	firstBuffer = stream.FirstWindow

	// sessionCost and handshakeCost are what a session, and a transport before it belongs to
	// one, are charged beside buffers.
	sessionCost   = 4 << 10
	handshakeCost = 20 << 10

	// sealedCost is what a session is charged while its transport takes sealed records.
	sealedCost = 64 << 10

	// grantsEnd is the part of the budget, in sixteenths, that is left for what sessions have
	// in any case.
	grantsEnd = 1

	// historiesEvery is how often at most all sessions are gone through for their histories.
	historiesEvery = 10 * tickEvery
)

// A budget is what the sessions of a listener may hold, and do hold, in bytes. What it does for a
// session takes that session's lock. A nil budget, which is that of a client, has no bounds.
type budget struct {
	most          int64 // ListenConfig.MaxMemory; constant, like the next
	mostSuspended int64
	totals        *totals
	relieve       func() // has suspended sessions end until the rest have enough

	held      atomic.Int64 // by sessions
	charged   atomic.Int64 // to sessions, for what they hold or were granted, and to handshakes
	suspended atomic.Int64 // by sessions without a transport
	promised  atomic.Int64 // to peers, which was told to them and cannot be taken back

	short     atomic.Int64 // how much somebody has asked for in vain
	relieving atomic.Bool  // the goroutine is there that does something about it
	histories atomic.Int64 // when all sessions were gone through last, as a clock.Time
}

// A charge is what of a session is in the budget, in bytes.
type charge struct{ held, granted, suspended, promised uint32 }

// full reports whether no new session is to come in.
func (b *budget) full() bool { return b.held.Load() >= b.most }

// ask charges n bytes more, if there are as many to be granted.
func (b *budget) ask(n int64) bool {
	if b.charged.Add(n) <= b.most-b.most/16*grantsEnd {
		return true
	}
	b.charged.Add(-n)
	return false
}

// ample reports whether there is so much left that a session may have again what it was
// denied.
func (b *budget) ample() bool { return b.charged.Load() <= b.most-b.most/4 }

// excess reports whether suspended sessions are to end.
func (b *budget) excess() bool {
	short := b.short.Load()
	return b.suspended.Load() > b.mostSuspended || short > 0 && b.charged.Load()+short > b.most-b.most/16*grantsEnd
}

// memory is what the session's buffers take, in bytes.
func (s *session) memory() int {
	n := s.send.Buffer.Memory() + s.recv.Memory()
	if l := s.link; l != nil && l.framing != nil {
		if size := int(l.inputSize.Load()); size > minInput {
			n += size
		}
		if l.writing && l.writingTicks > 0 { // it is not done at once
			n += sealedCost
		}
	}
	return n
}

// withChunks is what n bytes take in chunks, which are not all full.
func withChunks(n int) int { return n + n/4 }

// account brings the budget up to date with a session, under whose lock it is called.
func (b *budget) account(s *session) {
	if b == nil {
		return
	}
	var next charge
	var memory uint32 // what an ended session has left is not counted
	if !s.done {
		memory = uint32((s.memory() + MinReplayLimit - 1) / MinReplayLimit)
		next.held = memory*MinReplayLimit + sessionCost
		if promised := s.recv.Promised(); promised > firstBuffer {
			next.promised = uint32(withChunks(promised))
		}
		if limit := s.send.Buffer.Limit(); limit > s.send.Buffer.First(s.send.Traits.Acks) {
			next.granted = uint32(withChunks(limit))
		}
		next.granted = max(next.held, next.granted+next.promised)
		if s.link == nil && !s.provisional {
			next.suspended = next.held
		}
	}
	if r := &s.reported; memory != r.memory {
		b.totals.memory.Add((int64(memory) - int64(r.memory)) * MinReplayLimit)
		r.memory = memory
	}
	if now := &s.reported.charge; *now != next {
		move(&b.held, now.held, next.held)
		move(&b.charged, now.granted, next.granted)
		move(&b.promised, now.promised, next.promised)
		move(&b.suspended, now.suspended, next.suspended)
		*now = next
		if b.excess() {
			b.relieve()
		}
	}
	s.frugal = !s.send.Traits.Acks && b.full()
}

func move(sum *atomic.Int64, from, to uint32) {
	if from != to {
		sum.Add(int64(to) - int64(from))
	}
}

// request asks for what lets a buffer of size bytes hold n more. Where they are not to be had,
// suspended sessions end, so that they may be the next time.
func (b *budget) request(s *session, size, n int) bool {
	if n = withChunks(n); size <= 2*firstBuffer {
		n += withChunks(size) // which it has had in any case
	}
	if s.link == nil && b.suspended.Load()+int64(n) > b.mostSuspended {
		return false
	}
	if !b.ask(int64(n)) {
		b.short.Store(int64(n))
		b.relieve()
		return false
	}
	s.reported.charge.granted += uint32(n)
	return true
}

// grow makes room for n bytes to be written, if the buffer is smaller than it may
// become. Where the budget has nothing left, history gives way on a wire without
// acknowledgements, which it reports; on one with them whoever writes waits for those.
func (b *budget) grow(s *session, n int) (cut bool) {
	for b != nil && !s.done {
		limit, most := s.send.Buffer.Limit(), s.send.Buffer.Most()
		if limit >= most || limit-s.send.Buffer.Held() >= n {
			break
		}
		step := min(max(limit, MinReplayLimit), most-limit)
		if !b.request(s, limit, step) {
			return b.cutHistory(s, limit)
		}
		s.send.Buffer.SetLimit(limit + step)
		b.account(s)
	}
	return false
}

// cutHistory has history give way at half of the limit, on a wire that has it, and reports
// whether it has not done so already.
func (b *budget) cutHistory(s *session, limit int) bool {
	if s.send.Traits.Acks || s.link == nil {
		return false
	}
	again := s.send.Buffer.KeepsLess()
	s.send.KeepLess(limit)
	b.account(s)
	if again || !s.send.Buffer.KeepsLess() {
		return false
	}
	b.totals.histories.Add(1)
	return true
}

// room is how much a Write takes now without waiting.
func (b *budget) room(s *session) int {
	limit, most := s.send.Buffer.Limit(), s.send.Buffer.Most()
	if b == nil || limit >= most {
		return s.send.Room()
	}
	for ; limit < most; most = max(limit, most/2) { // as grow would end
		extra := int64(withChunks(most))
		if b.charged.Load()+extra <= b.most-b.most/16*grantsEnd && (s.link != nil || b.suspended.Load()+extra <= b.mostSuspended) {
			break
		}
	}
	return s.send.RoomWithin(most)
}

// growWindow lets the peer send more at a time, if it is held up and there is a part of
// the budget left.
func (b *budget) growWindow(s *session) {
	if b == nil || !s.recv.Cramped() {
		return
	}
	window := s.recv.Window()
	step := min(max(window, MinReplayLimit), s.recv.MostWindow()-window)
	if b.promised.Load()+int64(step) <= b.most/2 && b.request(s, window, step) {
		s.recv.SetWindow(window + step)
		b.account(s)
	}
}

// readAhead bounds what is held, on a wire without a window, for an application that
// is not reading.
func (s *session) readAhead() int {
	if s.frugal {
		return min(s.recv.Limit(), firstBuffer)
	}
	return s.recv.Limit()
}

// tick gives back what is not used, and takes again what is to be had. It reports whether
// history has given way.
func (b *budget) tick(s *session) (cut bool) {
	if b == nil {
		return false
	}
	if s.send.Buffer.Spare(s.send.Traits.Acks) {
		limit := s.send.Buffer.First(s.send.Traits.Acks)
		for limit < 2*s.send.Buffer.Held() {
			limit *= 2
		}
		s.send.Buffer.SetLimit(limit)
	}
	if s.wantsRoom { // what it was denied may be there now
		cut = b.grow(s, 1)
	}
	if s.send.Buffer.KeepsLess() && b.ample() {
		s.send.Buffer.KeepAll()
		s.writers.wake() // who waits for history to give way asks for room once more
	}
	if s.recv.Window() > firstBuffer && b.promised.Load() > b.most/2-b.most/8 {
		s.recv.SetWindow(max(firstBuffer, s.recv.Window()/2)) // as the application takes what it promised
	}
	b.account(s)
	return cut
}

// sharedBudget is that of the listener's sessions. A nil Listener is that of a client.
func (l *Listener) sharedBudget() *budget {
	if l == nil {
		return nil
	}
	return &l.budget
}

// grow makes room for n bytes to be written, if the budget of the session has it.
func (l *Listener) grow(c *Conn, n int) {
	if l.sharedBudget().grow(&c.s, n) {
		c.notify.historyCut(c)
	}
}

// historyCut tells that a session keeps less history than it was to.
func (n *notifier) historyCut(c *Conn) {
	n.post(Event{Kind: EventHistoryCut, Conn: c, Remote: c.RemoteAddr(), Err: ErrMemory})
}

// relieve sees to it that suspended sessions end until the rest have enough.
func (l *Listener) relieve() {
	if l.budget.relieving.CompareAndSwap(false, true) {
		go l.relief()
	}
}

// relief is the goroutine of relieve: a session's lock is not taken inside another's.
func (l *Listener) relief() {
	b := &l.budget
	for c, unused := l.nextReclaimed(); c != nil; c, unused = l.nextReclaimed() {
		c.mu.Lock()
		switch {
		case c.s.link != nil || c.s.done: // it was resumed meanwhile
		case unused:
			l.totals.reclaimedUnused.Add(1)
			c.expireLocked(ErrReclaimedUnused)
		default:
			l.totals.reclaimedLongest.Add(1)
			c.expireLocked(ErrReclaimedLongest)
		}
		c.unlock()
	}
	if last := clock.Time(b.histories.Load()); b.short.Load() > 0 && l.set.histories && (last == 0 || last.Since() >= historiesEvery) {
		b.histories.Store(int64(clock.Now()))
		for c := range l.Sessions() {
			c.mu.Lock()
			if !c.s.done && c.s.send.Buffer.Limit() > c.s.send.Buffer.First(c.s.send.Traits.Acks) && b.cutHistory(&c.s, c.s.send.Buffer.First(c.s.send.Traits.Acks)) {
				c.notify.historyCut(c)
			}
			c.unlock()
			if !b.excess() {
				break
			}
		}
	}
	b.short.Store(0)
	b.relieving.Store(false)
	if b.excess() && l.reclaimable() {
		l.relieve() // somebody came too late to be seen
	}
}

func (l *Listener) reclaimable() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, _, ok := l.roster.Reclaimable()
	return ok
}

// nextReclaimed takes the next suspended session that is to end off the list: one that was
// never resumed and has carried little, and if there is none, the longest suspended.
func (l *Listener) nextReclaimed() (c *Conn, unused bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.budget.excess() {
		return nil, false
	}
	c, unused, ok := l.roster.Reclaimable()
	if !ok {
		return nil, false
	}
	l.unscheduleLocked(c)
	return c, unused
}
