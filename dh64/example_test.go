package dh64_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/relink-go/relink/dh64"
)

func Example() {
	alice, err := dh64.GenerateKey()
	if err != nil {
		log.Fatal(err)
	}
	bob, err := dh64.GenerateKey()
	if err != nil {
		log.Fatal(err)
	}

	// Each side sends its public key and combines the other's with its own
	// private key.
	fromAlice, err := alice.SharedSecret(bob.PublicKey())
	if err != nil {
		log.Fatal(err)
	}
	fromBob, err := bob.SharedSecret(alice.PublicKey())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(fromAlice == fromBob)
	// Output: true
}

func ExamplePrivateKey_SharedSecret_degenerate() {
	key, err := dh64.GenerateKey()
	if err != nil {
		log.Fatal(err)
	}
	_, err = key.SharedSecret(dh64.Prime - 1)
	fmt.Println(errors.Is(err, dh64.ErrDegenerateKey))
	fmt.Println(err)
	// Output:
	// true
	// dh64: degenerate public key 0xffffffffffffffc4
}

func ExampleCheckPublic() {
	fmt.Println(dh64.CheckPublic(1))
	fmt.Println(dh64.CheckPublic(dh64.Generator))
	// Output:
	// dh64: degenerate public key 0x1
	// <nil>
}

// The plain arithmetic takes private keys from anywhere, here from a worked
// example.
func ExampleShared() {
	const a, b = 1, 7131246276102200555
	fmt.Println(dh64.Shared(a, dh64.Public(b)))
	fmt.Println(dh64.Shared(b, dh64.Public(a)))
	// Output:
	// 3003188420067576295
	// 3003188420067576295
}
