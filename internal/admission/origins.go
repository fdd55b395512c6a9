// Package admission has the accounts by which a listener decides whose transport it takes: how many
// handshakes of an address are under way, how many it may begin in a second, and which of all give
// way to others.
package admission

import (
	"net"
	"net/netip"
)

// An Origin is what counts as one client: an IPv4 address, or the 64 bits of an
// IPv6 address that a network gives to one customer. The zero Origin is not
// counted: what comes over loopback or no IP at all is from a proxy, a tunnel or a
// test, and from any number of clients.
type Origin = netip.Prefix

// OriginOf returns the Origin of a transport from its peer's address, whose type may
// be anybody's.
func OriginOf(remote net.Addr) (from Origin) {
	defer func() {
		if recover() != nil {
			from = Origin{}
		}
	}()
	if remote == nil {
		return Origin{}
	}
	ap, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return Origin{}
	}
	a := ap.Addr().Unmap().WithZone("")
	if a.IsLoopback() || a.IsUnspecified() {
		return Origin{}
	}
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return Origin{}
	}
	return p
}

// Origins count the handshakes under way by where they come from.
type Origins struct {
	Most  int // of one; 0 is no bound
	count map[Origin]int
}

// MayEnter reports whether the Origin's share leaves room for one more.
func (o *Origins) MayEnter(from Origin) bool {
	return o.Most == 0 || !from.IsValid() || o.count[from] < o.Most
}

// Enter counts one.
func (o *Origins) Enter(from Origin) {
	if !from.IsValid() {
		return
	}
	if o.count == nil {
		o.count = make(map[Origin]int)
	}
	o.count[from]++
}

// Leave counts one that has entered no more.
func (o *Origins) Leave(from Origin) {
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

// Len is of how many origins there are any.
func (o *Origins) Len() int { return len(o.count) }
