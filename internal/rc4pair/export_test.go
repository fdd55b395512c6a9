package rc4pair

import "unsafe"

const (
	Much         = much
	FetchedAhead = fetchedAhead
)

// Moved says for each direction whether its state has moved.
func (p *Pair) Moved() [2]bool {
	a := p.apart.Load()
	return [2]bool{a != nil && a.outs, a != nil && a.ins}
}

// Distance is how many bytes lie between the two states that have moved.
func (p *Pair) Distance() int {
	a := p.apart.Load()
	return int(uintptr(unsafe.Pointer(&a.in))-uintptr(unsafe.Pointer(&a.out))) - int(unsafe.Sizeof(a.out))
}
