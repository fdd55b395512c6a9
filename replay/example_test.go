package replay_test

import (
	"fmt"

	"github.com/relink-go/relink/replay"
)

// A sender keeps what it has sent until the peer has acknowledged it, and sends
// it again over the next connection.
func Example() {
	b := replay.New(1<<20, 0)

	b.Append([]byte("Hello, gopher!"))
	l := b.Lend(0, 0)
	fmt.Printf("first connection: %q\n", l.Bytes())
	b.Return(l)

	// The peer says, before or after the connection is lost, that it has 7 bytes.
	b.Free(7)

	for sent := b.Start(); sent < b.End(); {
		l := b.Lend(sent, 0)
		fmt.Printf("second connection: %q\n", l.Bytes())
		sent += int64(len(l.Bytes()))
		b.Return(l)
	}
	// Output:
	// first connection: "Hello, gopher!"
	// second connection: "gopher!"
}

func ExampleNew() {
	// The bytes up to offset 100 were sent by other means.
	b := replay.New(8, 100)
	n := b.Append([]byte("more than fits"))
	fmt.Println(n, "bytes of", b.Limit(), "from", b.Start(), "to", b.End())
	fmt.Println(b.Len(), "held, room for", b.Room())
	// Output:
	// 8 bytes of 8 from 100 to 108
	// 8 held, room for 0
}

func ExampleBuffer_Reset() {
	var session struct {
		out replay.Buffer
	}
	session.out.Reset(4<<20, 0)
	fmt.Println(session.out.Room(), session.out.Memory())
	// Output: 4194304 0
}

func ExampleBuffer_SetLimit() {
	b := replay.New(5, 0)
	b.Append([]byte("gophers"))
	b.SetLimit(7) // there is memory for more now
	b.Append([]byte("rs"))
	fmt.Println(b.Len(), "held, room for", b.Room())
	b.SetLimit(3)
	b.Free(2)
	fmt.Println(b.Len(), "held of", b.Limit())
	// Output:
	// 7 held, room for 0
	// 5 held of 7
}

func ExampleBuffer_Append() {
	b := replay.New(5, 0)
	p := []byte("gophers")
	n := b.Append(p)
	fmt.Printf("%q waits for room\n", p[n:])
	// Output: "rs" waits for room
}

func ExampleBuffer_Reserve() {
	b := replay.New(1<<20, 0)
	plain := []byte("Fnqids")
	for len(plain) > 0 {
		p := b.Reserve(len(plain))
		if p == nil {
			break // full: wait until something is freed
		}
		for i := range p { // a cipher, of sorts, without a second copy
			p[i] = plain[i] ^ 1
		}
		b.Commit(len(p))
		plain = plain[len(p):]
	}
	l := b.Lend(0, 0)
	defer b.Return(l)
	fmt.Printf("%s\n", l.Bytes())
	// Output: Gopher
}

func ExampleBuffer_Extend() {
	b := replay.New(1<<20, 0)
	b.Append([]byte("Hello, "))
	l := b.Extend(7)
	if len(l.Bytes()) > 0 { // else Reserve may have room in another piece
		copy(l.Bytes(), "gopher!")
		fmt.Printf("send %q at offset 7 of %d\n", l.Bytes(), b.End())
	}
	b.Return(l)
	// Output: send "gopher!" at offset 7 of 14
}

func ExampleBuffer_Commit() {
	b := replay.New(1<<20, 0)
	n := copy(b.Reserve(100), "less than was reserved")
	b.Commit(n)
	fmt.Println(b.Len())
	// Output: 22
}

func ExampleBuffer_Lend() {
	b := replay.New(1<<20, 0)
	b.Append([]byte("Hello, gopher!"))

	l := b.Lend(7, 3)
	b.Free(14)               // a loan outlives its bytes
	b.Append([]byte("more")) // and is not overwritten
	fmt.Printf("%s\n", l.Bytes())
	b.Return(l)
	// Output: gop
}

func ExampleBuffer_CopyTo() {
	b := replay.New(1<<20, 0)
	b.Append([]byte("Hello, gopher!"))
	dst := make([]byte, 100)
	n := b.CopyTo(dst, 7)
	fmt.Printf("%s\n", dst[:n])
	// Output: gopher!
}

func ExampleBuffer_Free() {
	b := replay.New(1<<20, 0)
	b.Append(make([]byte, 5000))
	b.Free(5000)
	b.Free(3000) // an acknowledgement that comes late changes nothing
	fmt.Println(b.Start(), b.Len(), b.Memory())
	// Output: 5000 0 0
}
