package rc4stream_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/relink-go/relink/rc4stream"
)

func ExampleNew() {
	c, err := rc4stream.New([]byte("Key"))
	if err != nil {
		log.Fatal(err)
	}
	out := make([]byte, len("Plaintext"))
	c.XORKeyStream(out, []byte("Plaintext"))
	fmt.Printf("%x at position %d\n", out, c.Position())
	// Output: bbf316e8d940af0ad3 at position 9
}

// A structure that holds its ciphers by value takes one allocation in all.
func ExampleCipher_Init() {
	type session struct {
		in, out rc4stream.Cipher
	}
	var s session
	if err := s.out.Init([]byte("Key")); err != nil {
		log.Fatal(err)
	}
	s.in = s.out // A copy is a second stream, here with the same key.

	buf := []byte("Plaintext")
	s.out.XORKeyStream(buf, buf)
	s.in.XORKeyStream(buf, buf)
	fmt.Printf("%s\n", buf)
	// Output: Plaintext
}

func ExampleKeySizeError() {
	_, err := rc4stream.New(make([]byte, 300))
	var size rc4stream.KeySizeError
	if errors.As(err, &size) {
		fmt.Println(int(size), "bytes:", err)
	}
	// Output: 300 bytes: rc4stream: invalid key size 300
}
