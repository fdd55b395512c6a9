package dh64_test

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/relink-go/relink/dh64"
)

var sink uint64

// exponents are many, so that the branch predictor cannot learn them.
func exponents() []uint64 {
	r := rand.New(rand.NewPCG(1, 2))
	e := make([]uint64, 1<<14)
	for i := range e {
		e[i] = r.Uint64()
	}
	return e
}

func BenchmarkPublic(b *testing.B) {
	e := exponents()
	for i := 0; b.Loop(); i++ {
		sink += dh64.Public(e[i%len(e)])
	}
}

func BenchmarkShared(b *testing.B) {
	e := exponents()
	for i := 0; b.Loop(); i++ {
		sink += dh64.Shared(e[i%len(e)], e[(i+1)%len(e)])
	}
}

func BenchmarkGenerateKey(b *testing.B) {
	for b.Loop() {
		if _, err := dh64.GenerateKey(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBig is what Public and Shared would cost with math/big.
func BenchmarkBig(b *testing.B) {
	e := exponents()
	p := new(big.Int).SetUint64(dh64.Prime)
	var base, exponent, result big.Int
	for i := 0; b.Loop(); i++ {
		base.SetUint64(e[(i+1)%len(e)])
		exponent.SetUint64(e[i%len(e)])
		sink += result.Exp(&base, &exponent, p).Uint64()
	}
}
