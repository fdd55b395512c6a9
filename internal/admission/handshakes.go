package admission

import (
	"container/list"
	"time"

	"github.com/relink-go/relink/internal/clock"
)

// A Stage says what a transport has shown of itself during its handshake. Those
// with the lower one give way first.
type Stage int

// The stages.
const (
	Silent Stage = iota // nothing has arrived
	Heard               // something has, which anybody can send
	Proven              // a resume that knows its session's secret
	stages
)

// patience is how long a handshake is left alone, however many wait for its place.
// It is what an honest client needs until its first bytes are here, and the next.
const patience = time.Second

// A Place is that of a handshake among those under way.
type Place[H any] struct {
	of    H
	stage Stage
	elem  *list.Element
	began clock.Time
}

// patience returns how long the handshake is to be left alone.
func (p *Place[H]) patience() time.Duration { return p.began.Add(patience).Until() }

// Handshakes are those under way, by their Stage. The zero Handshakes has none.
type Handshakes[H any] struct {
	waiting [stages]list.List // of *Place, the oldest first
}

// Len returns how many there are.
func (a *Handshakes[H]) Len() int { return a.Unproven() + a.waiting[Proven].Len() }

// Unproven returns how many have not proven anything.
func (a *Handshakes[H]) Unproven() int { return a.waiting[Silent].Len() + a.waiting[Heard].Len() }

// All returns all of them.
func (a *Handshakes[H]) All() []H {
	var all []H
	for i := range a.waiting {
		for e := a.waiting[i].Front(); e != nil; e = e.Next() {
			all = append(all, e.Value.(*Place[H]).of)
		}
	}
	return all
}

// Enter takes a handshake in that begins now.
func (a *Handshakes[H]) Enter(of H, p *Place[H]) {
	*p = Place[H]{of: of, began: clock.Now()}
	a.add(p)
}

func (a *Handshakes[H]) add(p *Place[H]) { p.elem = a.waiting[p.stage].PushBack(p) }

// Leave takes one out.
func (a *Handshakes[H]) Leave(p *Place[H]) { a.waiting[p.stage].Remove(p.elem) }

// Advance notes what a handshake has shown, if that is more than before. Of those that have proven
// something there are at most so many: where there were as many already, it returns the oldest, which
// gives way.
func (a *Handshakes[H]) Advance(p *Place[H], to Stage, most int) (oldest H, advanced, givesWay bool) {
	if to <= p.stage {
		return oldest, false, false
	}
	a.Leave(p)
	p.stage = to
	if to == Proven && a.waiting[Proven].Len() >= most {
		oldest, givesWay = a.oldest(Proven).of, true
	}
	a.add(p)
	return oldest, true, givesWay
}

// Next returns the one that gives way next to a newcomer, which has shown nothing,
// and in how long: the oldest of the silent, if it has been there for long enough.
// Otherwise it is the oldest of those that were heard where these hold more than half
// of the room, lest they stop everybody for as long as they like. Nobody
// who has proven something gives way. There is one: the caller knows.
func (a *Handshakes[H]) Next() (H, time.Duration) {
	quiet, talking := a.oldest(Silent), a.oldest(Heard)
	switch {
	case talking == nil, quiet != nil && (quiet.patience() <= 0 || a.waiting[Silent].Len() >= a.waiting[Heard].Len()):
		return quiet.of, quiet.patience()
	default:
		return talking.of, talking.patience()
	}
}

func (a *Handshakes[H]) oldest(s Stage) *Place[H] {
	if e := a.waiting[s].Front(); e != nil {
		return e.Value.(*Place[H])
	}
	return nil
}
