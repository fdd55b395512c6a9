package abuse

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
)

// The messages of the suites as docs/spec has them, as far as a stranger needs
// them.

// stranger is a source of random bytes that are the same in each run.
func stranger(seed uint64, n int) []byte {
	b := make([]byte, n)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// unknownResume is a well-formed resume of a session that is not there. A
// request of Noise needs one of its own for the hints of the server's key.
func unknownResume(suite string, noise []byte, seed uint64) []byte {
	switch suite {
	case "SCP":
		content := fmt.Sprintf("%d\n1\n0\n%s", 1_000_000_000+seed, base64.StdEncoding.EncodeToString(stranger(seed, 8)))
		return append(binary.BigEndian.AppendUint16(nil, uint16(len(content))), content...)
	case "Noise", "InsecureNoise":
		b := bytes.Clone(noise)
		copy(b[15:31], stranger(seed, 16)) // the resume id
		return b
	default:
		return append([]byte{0xff}, stranger(seed, 40)...) // id, counts and MAC
	}
}

// wrongProof makes a client's own resume one that proves nothing. Ids, counts
// and numbers stay.
func wrongProof(suite string, request []byte) []byte {
	b := bytes.Clone(request)
	last := len(b) - 1
	if suite != "SCP" {
		b[last] ^= 1 // of the MAC, or of the tag of Noise message 1
		return b
	}
	first := &b[last-11] // the code's twelve characters of base64
	if *first == 'A' {
		*first = 'B'
	} else {
		*first = 'A'
	}
	return b
}

// An exile is a client whose session is suspended: its transports are dead until
// release. What it says to resume, a stranger may have seen.
type exile struct {
	suite suiteOf
	c     *relink.Conn

	mu       sync.Mutex // guards the rest
	request  []byte
	first    net.Conn
	released bool
	heard    chan []byte
}

var errNoNetwork = errors.New("there is no network")

// newExile opens a session and takes its network away.
func (a *arena) newExile(s suiteOf) *exile {
	t := a.t
	t.Helper()
	e := &exile{suite: s, heard: make(chan []byte, 1)}
	d := relink.Dialer{
		Config:        relink.Config{ReplayLimit: 64 << 10},
		Suite:         s.client(a.public),
		MaxBackoff:    50 * time.Millisecond,
		DialTransport: e.dial,
	}
	var err error
	e.c, err = d.DialConn(context.Background(), "tcp4", a.address(s.port))
	require.NoError(t, err)
	_, err = io.WriteString(e.c, password)
	require.NoError(t, err)
	e.exchange(a)
	require.NoError(t, e.first.Close())
	request := <-e.heard
	e.mu.Lock()
	defer e.mu.Unlock()
	e.request = request
	return e
}

func (e *exile) dial(ctx context.Context, network, address string) (net.Conn, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.first == nil || e.released {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if e.first == nil {
			e.first = c
		}
		return c, err
	}
	if len(e.heard) > 0 || e.request != nil {
		return nil, errNoNetwork
	}
	here, there := net.Pipe()
	go func() { // what it says is all that is heard of it
		b := make([]byte, 64<<10)
		n, _ := there.Read(b)
		_ = there.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		for {
			k, err := there.Read(b[n:])
			if n += k; err != nil {
				break
			}
		}
		select {
		case e.heard <- b[:n]:
		default:
		}
		_ = there.Close()
	}()
	return here, nil
}

// exchange sends a message and requires its echo.
func (e *exile) exchange(a *arena) {
	a.t.Helper()
	want := []byte("still here, and nothing is missing")
	_, err := e.c.Write(want)
	require.NoError(a.t, err)
	got := make([]byte, len(want))
	require.NoError(a.t, e.c.SetReadDeadline(time.Now().Add(20*time.Second)))
	_, err = io.ReadFull(e.c, got)
	require.NoError(a.t, err, e.suite.name)
	require.Equal(a.t, want, got)
}

// release gives the network back, and requires that the session goes on.
func (e *exile) release(a *arena) {
	a.t.Helper()
	e.mu.Lock()
	e.released = true
	e.mu.Unlock()
	e.c.NetworkChanged()
	e.exchange(a)
	_ = e.c.Abort()
}

// A recorder keeps what a client says, for each of its transports.
type recorder struct {
	mu   sync.Mutex // guards said
	said []*bytes.Buffer
	last net.Conn
}

// recorded is a transport of which a recorder hears.
type recorded struct {
	*net.TCPConn
	r *recorder
	b *bytes.Buffer
}

func (c *recorded) Write(p []byte) (int, error) {
	c.r.mu.Lock()
	c.b.Write(p)
	c.r.mu.Unlock()
	return c.TCPConn.Write(p)
}

func (r *recorder) dial(ctx context.Context, network, address string) (net.Conn, error) {
	r.mu.Lock()
	redial := len(r.said) > 0
	r.mu.Unlock()
	if redial { // what is written meanwhile goes along with the resume
		time.Sleep(30 * time.Millisecond)
	}
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	b := new(bytes.Buffer)
	r.said = append(r.said, b)
	r.last = c
	return &recorded{c.(*net.TCPConn), r, b}, nil
}

// capture opens a session, resumes it twice with data under way, and returns all
// that an observer has heard its client say, transport by transport.
func (a *arena) capture(s suiteOf) (c *relink.Conn, conversations [][]byte) {
	t := a.t
	t.Helper()
	r := new(recorder)
	d := relink.Dialer{Suite: s.client(a.public), Config: relink.Config{ReplayLimit: 64 << 10}, DialTransport: r.dial}
	c, err := d.DialConn(context.Background(), "tcp4", a.address(s.port))
	require.NoError(t, err)
	_, err = io.WriteString(c, password)
	require.NoError(t, err)
	exchange := func() {
		want := stranger(9, 1000)
		_, err := c.Write(want)
		require.NoError(t, err)
		got := make([]byte, len(want))
		_, err = io.ReadFull(c, got)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	exchange()
	for range 2 {
		c.NetworkChanged()
		exchange()
	}
	require.EqualValues(t, 2, c.Stats().Resumes)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.said {
		conversations = append(conversations, bytes.Clone(b.Bytes()))
	}
	return c, conversations
}
