package relink_test

import (
	"fmt"
	"io"

	"github.com/relink-go/relink"
)

// The server keeps its private key; clients pin the public one.
func ExampleNoise() {
	key := relink.GenerateKey()
	public, err := key.PublicKey()
	if err != nil {
		fmt.Println(err)
		return
	}
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.Noise(relink.NoiseServer(key)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprintln(c, "hello")
	}()

	c, err := relink.Dial("tcp", l.Addr().String(), relink.Noise(relink.NoiseClient(public)))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	fmt.Printf("%s%v\n", b, err)
	// Output:
	// hello
	// <nil>
}

// Keys travel as text, such as a file's. A server that rotates its key has the old
// one beside the new one for a while.
func ExampleParsePrivateKey() {
	old, err := relink.ParsePrivateKey("iPyO4dLTrM5GV3w+xkIyK9oWCC2DKpDFJgGWa6YUN1w=\n")
	if err != nil {
		fmt.Println(err)
		return
	}
	public, err := old.PublicKey()
	fmt.Println(public, err)
	suite := relink.Noise(relink.NoiseServer(relink.GenerateKey(), old), relink.NoiseNode(7))
	fmt.Println(suite)
	// Output:
	// KP6p/k67GG7i/vwepofuFSuQEEw8FYjqLcQJMsI8QDA= <nil>
	// Noise
}

func ExampleParsePublicKey() {
	pinned, err := relink.ParsePublicKey("not a key")
	fmt.Println(pinned == relink.PublicKey{}, err)
	// Output:
	// true relink: a key must be 44 characters of base64
}

// Without the server's key, whoever is on the path can be the server.
func ExampleInsecureNoise() {
	fmt.Println(relink.InsecureNoise())
	// Output:
	// Noise (insecure: the server is not authenticated)
}
