package admission

import (
	"time"

	"github.com/relink-go/relink/internal/clock"
)

// rateBurst is for how long the handshakes of an address may have been saved up.
const rateBurst = 4 * time.Second

// Rates are a token bucket for each Origin: when it will be full again.
type Rates struct {
	Every time.Duration // for one handshake
	full  map[Origin]clock.Time
}

// Take takes a token, if there is one. Buckets that are full are not kept: each call clears
// away two that it comes across, so that there are about as many as have something to be
// remembered.
func (r *Rates) Take(from Origin) bool {
	if !from.IsValid() {
		return true
	}
	if r.full == nil {
		r.full = make(map[Origin]clock.Time)
	}
	at := clock.Now()
	looked := 0
	for o, full := range r.full {
		if full <= at {
			delete(r.full, o)
		}
		if looked++; looked == 2 {
			break
		}
	}
	next, kept := r.full[from]
	if !kept || next < at {
		next = at
	}
	if next = next.Add(r.Every); next > at.Add(max(rateBurst, r.Every)) {
		return false
	}
	r.full[from] = next
	return true
}
