package relink

import (
	"net"
	"net/netip"
	"time"

	"github.com/relink-go/relink/internal/clock"
)

// An origin is what counts as one client: an IPv4 address, or the 64 bits of an
// IPv6 address that a network gives to one customer. The zero origin is not
// counted: what comes over loopback or no IP at all is from a proxy, a tunnel or a
// test, and from any number of clients.
type origin = netip.Prefix

// originOf returns the origin of a transport from its peer's address, whose type may
// be anybody's.
func originOf(remote net.Addr) (from origin) {
	defer func() {
		if recover() != nil {
			from = origin{}
		}
	}()
	if remote == nil {
		return origin{}
	}
	ap, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return origin{}
	}
	a := ap.Addr().Unmap().WithZone("")
	if a.IsLoopback() || a.IsUnspecified() {
		return origin{}
	}
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return origin{}
	}
	return p
}

// origins count the handshakes under way by where they come from. They are guarded
// by the listener's lock.
type origins struct {
	most  int // of one; 0 is no bound
	count map[origin]int
}

// rateBurst is for how long the handshakes of an address may have been saved up.
const rateBurst = 4 * time.Second

// rates are a token bucket for each origin: when it will be full again. They belong to the
// listener's lock.
type rates struct {
	every time.Duration // for one handshake
	full  map[origin]clock.Time
}

// take takes a token, if there is one. Buckets that are full are not kept: each call clears
// away two that it comes across, so that there are about as many as have something to be
// remembered.
func (r *rates) take(from origin) bool {
	if !from.IsValid() {
		return true
	}
	if r.full == nil {
		r.full = make(map[origin]clock.Time)
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
	if next = next.Add(r.every); next > at.Add(max(rateBurst, r.every)) {
		return false
	}
	r.full[from] = next
	return true
}

// mayEnter reports whether the origin's share leaves room for one more.
func (o *origins) mayEnter(from origin) bool {
	return o.most == 0 || !from.IsValid() || o.count[from] < o.most
}

func (o *origins) enter(from origin) {
	if !from.IsValid() {
		return
	}
	if o.count == nil {
		o.count = make(map[origin]int)
	}
	o.count[from]++
}

func (o *origins) leave(from origin) {
	if !from.IsValid() {
		return
	}
	if o.count[from]--; o.count[from] == 0 {
		delete(o.count, from)
	}
	if len(o.count) == 0 {
		o.count = nil // one that was long keeps its room
	}
}
