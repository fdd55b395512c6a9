package relink_test

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/relink-go/relink"
)

// The server keeps its private key; clients pin the public one.
func ExampleNoiseServer() {
	key := relink.GenerateKey()
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.NoiseServer{Keys: []relink.PrivateKey{key}})
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

	c, err := relink.Dial("tcp", l.Addr().String(), relink.NoiseClient{ServerKeys: []relink.PublicKey{key.PublicKey()}})
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
	suite := relink.NoiseServer{Keys: []relink.PrivateKey{relink.GenerateKey(), old}, Node: 7}
	fmt.Println(suite, suite.Keys[1].PublicKey())
	// Output:
	// Noise KP6p/k67GG7i/vwepofuFSuQEEw8FYjqLcQJMsI8QDA=
}

// A private key names its public key wherever it is printed. One call gives the
// secret away, for the file that it is kept in.
func ExamplePrivateKey() {
	key, err := relink.ParsePrivateKey("iPyO4dLTrM5GV3w+xkIyK9oWCC2DKpDFJgGWa6YUN1w=")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(key)
	fmt.Println(len(key.EncodeSecret()))
	// Output:
	// private key of KP6p/k67GG7i/vwepofuFSuQEEw8FYjqLcQJMsI8QDA=
	// 44
}

// A server's configuration has its key as text.
func ExamplePrivateKey_UnmarshalText() {
	var config struct{ Key relink.PrivateKey }
	err := json.Unmarshal([]byte(`{"Key": "iPyO4dLTrM5GV3w+xkIyK9oWCC2DKpDFJgGWa6YUN1w="}`), &config)
	if err != nil || config.Key.IsZero() {
		fmt.Println("no key:", err)
		return
	}
	shown, err := json.Marshal(config) // to be logged, and not to be read back
	fmt.Printf("%s %v\n", shown, err)
	// Output: {"Key":"private key of KP6p/k67GG7i/vwepofuFSuQEEw8FYjqLcQJMsI8QDA="} <nil>
}

// Keys are compared with Equal.
func ExamplePrivateKey_Equal() {
	key := relink.GenerateKey()
	same, err := relink.ParsePrivateKey(key.EncodeSecret())
	fmt.Println(key.Equal(same), key.Equal(relink.GenerateKey()), err)
	// Output: true false <nil>
}

func ExampleParsePublicKey() {
	pinned, err := relink.ParsePublicKey("not a key")
	fmt.Println(pinned == relink.PublicKey{}, err)
	// Output:
	// true relink: a key must be 44 characters of base64
}

// Without the server's key, whoever is on the path can be the server.
func ExampleInsecureNoiseServer() {
	fmt.Println(relink.InsecureNoiseServer{})
	// Output:
	// Noise (insecure: the server is not authenticated)
}
