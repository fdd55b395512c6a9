//go:build !gc || purego || !(amd64 || arm64)

package replay

// prefetch does nothing here: see prefetch.go.
func prefetch(*byte, int) {}
