package replay

import (
	"bytes"
	"testing"
)

// Fetching ends, whatever the length and wherever a line of the cache begins, and
// changes nothing.
func TestPrefetch(t *testing.T) {
	b := bytes.Repeat([]byte("relink"), 100)
	want := bytes.Clone(b)
	for from := range 130 {
		for n := 1; from+n <= len(b); n++ {
			prefetch(&b[from], n)
		}
	}
	if !bytes.Equal(b, want) {
		t.Fatal("the bytes have changed")
	}
}
