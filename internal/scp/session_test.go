package scp_test

import (
	"testing"
	"unsafe"

	"github.com/relink-go/relink/internal/scp"
)

// The allocator has a class of 576 bytes, of which it takes 8 itself where there
// are pointers, and the next is 640: for 100,000 sessions, 6 MB.
func TestSessionSize(t *testing.T) {
	if size := unsafe.Sizeof(scp.Session{}); size > 568 {
		t.Errorf("a session takes %d bytes", size)
	}
}
