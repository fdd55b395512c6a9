package dh64_test

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"os"
	"strings"
	"testing"
	"testing/quick"

	"github.com/relink-go/relink/dh64"
)

// bigExp is the reference that every result is compared with.
func bigExp(base, exponent uint64) uint64 {
	var b, e, p big.Int
	b.SetUint64(base)
	e.SetUint64(exponent)
	p.SetUint64(dh64.Prime)
	return b.Exp(&b, &e, &p).Uint64()
}

// edges are the numbers around which the reductions change their ways.
var edges = []uint64{
	0, 1, 2, 3, 4, 5, 15, 16, 58, 59, 60,
	1<<32 - 1, 1 << 32, 1<<32 + 1, 1<<63 - 1, 1 << 63,
	(dh64.Prime - 1) / 2, (dh64.Prime + 1) / 2,
	dh64.Prime - 2, dh64.Prime - 1, dh64.Prime, dh64.Prime + 1, dh64.Prime + 57,
	1<<64 - 1,
}

func TestConstants(t *testing.T) {
	p := new(big.Int).SetUint64(dh64.Prime)
	if want := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 64), big.NewInt(59)); p.Cmp(want) != 0 {
		t.Errorf("Prime = %v, want %v", p, want)
	}
	if !p.ProbablyPrime(20) {
		t.Error("Prime is not prime")
	}
	// The documentation builds on this factorization, and on 5 having full order.
	order := uint64(1)
	for _, factor := range []uint64{2, 2, 11, 137, 547, 5594472617641} {
		order *= factor
		if !new(big.Int).SetUint64(factor).ProbablyPrime(20) {
			t.Errorf("factor %d of p-1 is not prime", factor)
		}
		if bigExp(dh64.Generator, (dh64.Prime-1)/factor) == 1 {
			t.Errorf("the generator's order divides (p-1)/%d", factor)
		}
	}
	if order != dh64.Prime-1 {
		t.Errorf("product of the factors = %d, want p-1", order)
	}
}

func TestVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/dh64.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		DH64 []struct {
			PrivateA uint64 `json:"private_a,string"`
			PublicA  uint64 `json:"public_a,string"`
			PrivateB uint64 `json:"private_b,string"`
			PublicB  uint64 `json:"public_b,string"`
			Secret   uint64 `json:"secret,string"`
		} `json:"dh64"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.DH64) == 0 {
		t.Fatal("no vectors")
	}
	for i, v := range file.DH64 {
		if got := dh64.Public(v.PrivateA); got != v.PublicA {
			t.Errorf("vector %d: Public(%d) = %d, want %d", i, v.PrivateA, got, v.PublicA)
		}
		if got := dh64.Public(v.PrivateB); got != v.PublicB {
			t.Errorf("vector %d: Public(%d) = %d, want %d", i, v.PrivateB, got, v.PublicB)
		}
		if got := dh64.Shared(v.PrivateA, v.PublicB); got != v.Secret {
			t.Errorf("vector %d: Shared(a, B) = %d, want %d", i, got, v.Secret)
		}
		if got := dh64.Shared(v.PrivateB, v.PublicA); got != v.Secret {
			t.Errorf("vector %d: Shared(b, A) = %d, want %d", i, got, v.Secret)
		}
	}
}

func TestEdges(t *testing.T) {
	for _, exponent := range edges {
		if got, want := dh64.Public(exponent), bigExp(dh64.Generator, exponent); got != want {
			t.Errorf("Public(%#x) = %#x, want %#x", exponent, got, want)
		}
		for _, base := range edges {
			if got, want := dh64.Shared(exponent, base), bigExp(base, exponent); got != want {
				t.Errorf("Shared(%#x, %#x) = %#x, want %#x", exponent, base, got, want)
			}
		}
	}
}

func TestAgainstBig(t *testing.T) {
	public := func(private uint64) bool {
		return dh64.Public(private) == bigExp(dh64.Generator, private)
	}
	if err := quick.Check(public, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
	shared := func(private, peer uint64) bool {
		return dh64.Shared(private, peer) == bigExp(peer, private)
	}
	if err := quick.Check(shared, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
	commutes := func(a, b uint64) bool {
		return dh64.Shared(a, dh64.Public(b)) == dh64.Shared(b, dh64.Public(a))
	}
	if err := quick.Check(commutes, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
}

func FuzzShared(f *testing.F) {
	for i, a := range edges {
		f.Add(a, edges[len(edges)-1-i])
	}
	f.Fuzz(func(t *testing.T, private, peer uint64) {
		if got, want := dh64.Shared(private, peer), bigExp(peer, private); got != want {
			t.Errorf("Shared(%#x, %#x) = %#x, want %#x", private, peer, got, want)
		}
		if got, want := dh64.Public(private), bigExp(dh64.Generator, private); got != want {
			t.Errorf("Public(%#x) = %#x, want %#x", private, got, want)
		}
	})
}

func TestKeyAgreement(t *testing.T) {
	for range 100 {
		a, b := mustGenerate(t), mustGenerate(t)
		if a == b {
			t.Fatal("two generated keys are equal")
		}
		if err := dh64.CheckPublic(a.PublicKey()); err != nil {
			t.Error(err)
		}
		secretA, errA := a.SharedSecret(b.PublicKey())
		secretB, errB := b.SharedSecret(a.PublicKey())
		if errA != nil || errB != nil || secretA != secretB {
			t.Errorf("secrets %#x, %#x, errors %v, %v", secretA, secretB, errA, errB)
		}
	}
}

func TestDegenerateKeys(t *testing.T) {
	key := mustGenerate(t)
	for _, peer := range edges {
		bad := peer == 0 || peer == 1 || peer == dh64.Prime-1 || peer >= dh64.Prime
		err := dh64.CheckPublic(peer)
		secret, secretErr := key.SharedSecret(peer)
		if errors.Is(err, dh64.ErrDegenerateKey) != bad || (err != nil) != bad {
			t.Errorf("CheckPublic(%#x) = %v, want refusal: %t", peer, err, bad)
		}
		if errors.Is(secretErr, dh64.ErrDegenerateKey) != bad || (secretErr != nil) != bad {
			t.Errorf("SharedSecret(%#x): error %v, want refusal: %t", peer, secretErr, bad)
		}
		if bad && secret != 0 {
			t.Errorf("SharedSecret(%#x) = %#x beside an error", peer, secret)
		}
	}
	if got := dh64.CheckPublic(dh64.Prime).Error(); !strings.Contains(got, "0xffffffffffffffc5") {
		t.Errorf("error %q does not say which key", got)
	}
}

func TestZeroPrivateKey(t *testing.T) {
	mustPanic := func(name string, f func(dh64.PrivateKey)) {
		defer func() {
			if recover() == nil {
				t.Errorf("%s of the zero PrivateKey did not panic", name)
			}
		}()
		f(dh64.PrivateKey{})
	}
	mustPanic("PublicKey", func(k dh64.PrivateKey) { k.PublicKey() })
	mustPanic("SharedSecret", func(k dh64.PrivateKey) { _, _ = k.SharedSecret(2) })
}

// TestGenerateKeyRange feeds GenerateKey with the numbers around the bounds of
// its range. It replaces a global, so no test of this package runs in parallel.
func TestGenerateKeyRange(t *testing.T) {
	tests := []struct {
		name string
		in   []uint64
		want uint64 // The number that becomes the key.
	}{
		{"smallest", []uint64{1}, 1},
		{"largest", []uint64{dh64.Prime - 2}, dh64.Prime - 2},
		{"not zero", []uint64{0, 7}, 7},
		{"not half the order", []uint64{(dh64.Prime - 1) / 2, 7}, 7},
		{"below half the order", []uint64{(dh64.Prime - 3) / 2}, (dh64.Prime - 3) / 2},
		{"above half the order", []uint64{(dh64.Prime + 1) / 2}, (dh64.Prime + 1) / 2},
		{"not the order", []uint64{dh64.Prime - 1, dh64.Prime, 1<<64 - 1, 7}, 7},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var in []byte
			for _, v := range tt.in {
				in = binary.LittleEndian.AppendUint64(in, v)
			}
			replaceRand(t, bytes.NewReader(in))
			if got, want := mustGenerate(t).PublicKey(), dh64.Public(tt.want); got != want {
				t.Errorf("public key %#x, want %#x", got, want)
			}
		})
	}
}

func TestGenerateKeyError(t *testing.T) {
	replaceRand(t, bytes.NewReader(make([]byte, 7)))
	if _, err := dh64.GenerateKey(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v, want one that wraps %v", err, io.ErrUnexpectedEOF)
	}
}

func replaceRand(t *testing.T, r io.Reader) {
	old := rand.Reader
	rand.Reader = r
	t.Cleanup(func() { rand.Reader = old })
}

func mustGenerate(t *testing.T) dh64.PrivateKey {
	t.Helper()
	k, err := dh64.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}
