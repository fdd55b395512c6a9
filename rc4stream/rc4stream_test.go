package rc4stream_test

import (
	"bytes"
	"crypto/cipher"
	"crypto/rc4"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"unsafe"

	"github.com/relink-go/relink/rc4stream"
)

var _ cipher.Stream = (*rc4stream.Cipher)(nil)

func TestVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/rc4.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		RC4 []struct{ Key, Plain, Cipher string } `json:"rc4"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.RC4) == 0 {
		t.Fatal("no vectors")
	}
	for i, v := range file.RC4 {
		plain, want := unhex(t, v.Plain), unhex(t, v.Cipher)
		got := make([]byte, len(plain))
		mustNew(t, unhex(t, v.Key)).XORKeyStream(got, plain)
		if !bytes.Equal(got, want) {
			t.Errorf("vector %d: got %x, want %x", i, got, want)
		}
	}
}

// TestRFC6229 checks the key stream against extracts of RFC 6229, section 2.
func TestRFC6229(t *testing.T) {
	tests := []struct {
		key    string
		offset int
		want   string
	}{
		{"0102030405", 0, "b2396305f03dc027ccc3524a0a1118a86982944f18fc82d589c403a47a0d0919"},
		{"0102030405", 4096, "ff25b58995996707e51fbdf08b34d875"},
		{"01020304050607", 0, "293f02d47f37c9b633f2af5285feb46be620f1390d19bd84e2e0fd752031afc1"},
		{"0102030405060708", 0, "97ab8a1bf0afb96132f2f67258da15a88263efdb45c4a18684ef87e6b19e5b09"},
		{"0102030405060708090a0b0c0d0e0f10", 0, "9ac7cc9a609d1ef7b2932899cde41b975248c4959014126a6e8a84f11d1a9e1c"},
	}
	for _, tt := range tests {
		want := unhex(t, tt.want)
		stream := make([]byte, tt.offset+len(want))
		mustNew(t, unhex(t, tt.key)).XORKeyStream(stream, stream)
		if got := stream[tt.offset:]; !bytes.Equal(got, want) {
			t.Errorf("key %s at %d: got %x, want %x", tt.key, tt.offset, got, want)
		}
	}
}

func TestKeySize(t *testing.T) {
	for _, size := range []int{0, 1, 256, 257} {
		wantErr := size < 1 || size > 256
		c, err := rc4stream.New(make([]byte, size))
		var sizeErr rc4stream.KeySizeError
		if got := errors.As(err, &sizeErr); got != wantErr || (err != nil) != wantErr || (c == nil) != wantErr {
			t.Errorf("New with %d bytes: cipher %v, error %v", size, c != nil, err)
		}
		if wantErr && int(sizeErr) != size {
			t.Errorf("New with %d bytes: KeySizeError %d", size, int(sizeErr))
		}
	}
}

func TestInit(t *testing.T) {
	key := []byte("key")
	want := make([]byte, 300)
	mustNew(t, key).XORKeyStream(want, want)

	c := mustNew(t, []byte("another key"))
	c.XORKeyStream(make([]byte, 77), make([]byte, 77))
	before := *c
	if err := c.Init(nil); err == nil || *c != before {
		t.Errorf("Init without a key: error %v, state changed: %t", err, *c != before)
	}
	if err := c.Init(key); err != nil {
		t.Fatal(err)
	}
	key[0]++ // Init must not have kept it.
	got := make([]byte, len(want))
	c.XORKeyStream(got, got)
	if !bytes.Equal(got, want) || c.Position() != int64(len(want)) {
		t.Errorf("Init did not start over: position %d", c.Position())
	}
}

// checkSplits encrypts data in pieces whose lengths come from splits, in place
// and into other memory by turns, and compares with crypto/rc4.
func checkSplits(t *testing.T, key, data, splits []byte) {
	t.Helper()
	reference, err := rc4.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, len(data))
	reference.XORKeyStream(want, data)

	c := mustNew(t, key)
	got := bytes.Clone(data)
	for at, i := 0, 0; at < len(got); i++ {
		n := len(got) - at
		if i < len(splits) {
			n = min(n, int(splits[i]))
		}
		piece := got[at : at+n]
		if i%2 == 0 {
			c.XORKeyStream(piece, piece)
		} else {
			c.XORKeyStream(piece, bytes.Clone(piece))
		}
		at += n
		if c.Position() != int64(at) {
			t.Fatalf("position %d after %d bytes", c.Position(), at)
		}
	}
	if !bytes.Equal(got, want) {
		t.Errorf("key %x, %d bytes, splits %v: differs from crypto/rc4", key, len(data), splits)
	}
}

func TestAgainstCryptoRC4(t *testing.T) {
	r := rand.NewChaCha8([32]byte{1})
	for _, keySize := range []int{1, 2, 5, 8, 16, 255, 256} {
		for _, size := range []int{0, 1, 2, 7, 8, 9, 255, 256, 257, 1000, 70000} {
			t.Run(fmt.Sprintf("key=%d/size=%d", keySize, size), func(t *testing.T) {
				key, data, splits := make([]byte, keySize), make([]byte, size), make([]byte, 64)
				for _, b := range [][]byte{key, data, splits} {
					_, _ = r.Read(b)
				}
				checkSplits(t, key, data, nil)
				checkSplits(t, key, data, splits)
			})
		}
	}
}

func FuzzAgainstCryptoRC4(f *testing.F) {
	f.Add([]byte{1}, []byte("plain text"), []byte{0, 1, 2, 3})
	f.Add(bytes.Repeat([]byte{0xff}, 256), make([]byte, 1000), []byte{255, 1, 255})
	f.Fuzz(func(t *testing.T, key, data, splits []byte) {
		if len(key) < 1 || len(key) > 256 {
			if _, err := rc4stream.New(key); err == nil {
				t.Errorf("a key of %d bytes was accepted", len(key))
			}
			return
		}
		checkSplits(t, key, data, splits)
	})
}

func TestCopy(t *testing.T) {
	c := mustNew(t, []byte("key"))
	c.XORKeyStream(make([]byte, 10), make([]byte, 10))
	fork := *c
	a, b := make([]byte, 500), make([]byte, 500)
	c.XORKeyStream(a, a)
	fork.XORKeyStream(b, b)
	if !bytes.Equal(a, b) || fork.Position() != 510 {
		t.Error("a copy does not go on from the same position")
	}
}

func TestPanics(t *testing.T) {
	mem := make([]byte, 64)
	tests := []struct {
		name     string
		dst, src []byte
		want     any
	}{
		{"same", mem[:32], mem[:32], nil},
		{"same start, longer dst", mem[:64], mem[:32], nil},
		{"adjacent after", mem[32:], mem[:32], nil},
		{"adjacent before", mem[:32], mem[32:], nil},
		{"only the unused end of dst overlaps", mem[:40], mem[32:48], nil},
		{"empty in the midst", mem, mem[8:8], nil},
		{"both nil", nil, nil, nil},
		{"dst one ahead", mem[1:33], mem[:32], "rc4stream: invalid buffer overlap"},
		{"dst one behind", mem[:32], mem[1:33], "rc4stream: invalid buffer overlap"},
		{"last byte ahead", mem[31:63], mem[:32], "rc4stream: invalid buffer overlap"},
		{"last byte behind", mem[:32], mem[31:63], "rc4stream: invalid buffer overlap"},
		{"short dst", mem[:31], mem[32:], "rc4stream: output smaller than input"},
		{"nil dst", nil, mem[:1], "rc4stream: output smaller than input"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := mustNew(t, []byte("key"))
			before, memBefore := *c, bytes.Clone(mem)
			defer func() {
				if got := recover(); got != tt.want {
					t.Errorf("panic %v, want %v", got, tt.want)
				}
				if tt.want != nil && (*c != before || !bytes.Equal(mem, memBefore)) {
					t.Error("changed something before it panicked")
				}
			}()
			c.XORKeyStream(tt.dst, tt.src)
		})
	}
}

// TestZeroCipher holds that plain text cannot pass through unencrypted.
func TestZeroCipher(t *testing.T) {
	var c rc4stream.Cipher
	c.XORKeyStream(nil, nil)
	defer func() {
		if recover() == nil {
			t.Error("a Cipher without a key did not panic")
		}
	}()
	c.XORKeyStream(make([]byte, 1), []byte{1})
}

func TestSize(t *testing.T) {
	if got := unsafe.Sizeof(rc4stream.Cipher{}); got != 264 {
		t.Errorf("a Cipher takes %d bytes, the documentation says 264", got)
	}
}

func TestAllocations(t *testing.T) {
	var session struct{ in, out rc4stream.Cipher }
	key, buf := []byte("12345678"), make([]byte, 1000)
	allocs := testing.AllocsPerRun(100, func() {
		if err := session.in.Init(key); err != nil {
			t.Fatal(err)
		}
		session.out = session.in
		session.in.XORKeyStream(buf, buf)
		session.out.XORKeyStream(buf, buf)
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func mustNew(t *testing.T, key []byte) *rc4stream.Cipher {
	t.Helper()
	c, err := rc4stream.New(key)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
