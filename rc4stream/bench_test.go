package rc4stream_test

import (
	"crypto/cipher"
	"crypto/rc4"
	"fmt"
	"testing"

	"github.com/relink-go/relink/rc4stream"
)

// BenchmarkXORKeyStream runs crypto/rc4 too; compare with benchstat -col /impl.
func BenchmarkXORKeyStream(b *testing.B) {
	key := []byte("12345678")
	for _, size := range []int{64, 1 << 10, 64 << 10} {
		run := func(impl string, c cipher.Stream) {
			b.Run(fmt.Sprintf("size=%d/impl=%s", size, impl), func(b *testing.B) {
				buf := make([]byte, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					c.XORKeyStream(buf, buf)
				}
			})
		}
		ours, err := rc4stream.New(key)
		if err != nil {
			b.Fatal(err)
		}
		theirs, err := rc4.NewCipher(key)
		if err != nil {
			b.Fatal(err)
		}
		run("crypto", theirs)
		run("rc4stream", ours)
	}
}

func BenchmarkNew(b *testing.B) {
	key := []byte("12345678")
	b.Run("impl=crypto", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := rc4.NewCipher(key); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("impl=rc4stream", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := rc4stream.New(key); err != nil {
				b.Fatal(err)
			}
		}
	})
}
