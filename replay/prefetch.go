//go:build gc && !purego && (amd64 || arm64)

package replay

// prefetch asks the processor to bring the lines of its cache that hold the n
// bytes from p on, of which there is at least one. It waits for nothing, and
// nothing changes that a program can see.
//
//go:noescape
func prefetch(p *byte, n int)
