package relink_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rc4" //nolint:gosec // it is what these clients have
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/dh64"
	"github.com/relink-go/relink/internal/faultnet"
)

// A fieldClient behaves as the clients of the snet protocol do that are in use,
// the one in Go and the one in C#, with their mistakes. Both read what the server
// says that they miss as soon as they have resumed, into a queue of which they
// serve the application first.
//
//   - Go tells the server as received what its application has read, without the
//     queue. It tells the same in each attempt of one loss.
//   - C# tells it with the queue, but takes the server to count without: it reads
//     as much again as is in the queue. It computes its proof where its request is,
//     and sends the result as its request if the attempt fails. If a replay ends
//     early with the transport, it spins for ever.
type fieldClient struct {
	csharp bool
	dial   func() (net.Conn, error)
	id     uint64
	key    [8]byte

	link fieldLock // held by a Read or Write under way, and alone by a resume
	base net.Conn
	dead error // why nothing works any more

	in       *rc4.Cipher
	received uint64 // what the application has read

	out     *rc4.Cipher
	sent    uint64
	history []byte // all that was sent

	mu    sync.Mutex // guards the next two
	queue []byte
	all   []net.Conn // every transport there was

	resumes, replayed int // guarded by link
}

// A fieldLock is a sync.RWMutex in whose queue time passes in a bubble.
type fieldLock struct {
	mu      sync.Mutex
	changed *sync.Cond
	shared  int
	alone   bool
}

func (l *fieldLock) change(when func() bool, do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !when() {
		l.changed.Wait()
	}
	do()
	l.changed.Broadcast()
}

func (l *fieldLock) RLock() { l.change(func() bool { return !l.alone }, func() { l.shared++ }) }

func (l *fieldLock) RUnlock() { l.change(func() bool { return true }, func() { l.shared-- }) }

func (l *fieldLock) Lock() {
	l.change(func() bool { return !l.alone && l.shared == 0 }, func() { l.alone = true })
}

func (l *fieldLock) Unlock() { l.change(func() bool { return true }, func() { l.alone = false }) }

// fieldPause is how long both wait between two attempts.
const fieldPause = 3 * time.Second

var (
	errFieldAgain   = errors.New("the attempt has failed")
	errFieldRefused = errors.New("the server has refused the session")
	errFieldCounts  = errors.New("the counts contradict each other")
	errFieldSpins   = errors.New("the client spins for ever, within a replay that has ended early")
)

func openFieldClient(csharp bool, dial func() (net.Conn, error)) (*fieldClient, error) {
	c := &fieldClient{csharp: csharp, dial: dial}
	c.link.changed = sync.NewCond(&c.link.mu)
	base, err := dial()
	if err != nil {
		return nil, err
	}
	private, err := dh64.GenerateKey()
	if err != nil {
		return nil, err
	}
	// The type and the key leave in two pieces.
	if _, err := base.Write([]byte{0}); err != nil {
		return nil, err
	}
	if _, err := base.Write(binary.LittleEndian.AppendUint64(nil, private.PublicKey())); err != nil {
		return nil, err
	}
	hello := make([]byte, 24)
	if _, err := io.ReadFull(base, hello); err != nil {
		return nil, err
	}
	agreed, err := private.SharedSecret(binary.LittleEndian.Uint64(hello))
	if err != nil {
		return nil, err
	}
	binary.LittleEndian.PutUint64(c.key[:], agreed)
	for _, direction := range []**rc4.Cipher{&c.in, &c.out} {
		if *direction, err = rc4.NewCipher(c.key[:]); err != nil { //nolint:gosec // see above
			return nil, err
		}
	}
	c.in.XORKeyStream(hello[8:16], hello[8:16])
	c.id = binary.LittleEndian.Uint64(hello[8:])
	if _, err := base.Write(c.mac(hello[16:])); err != nil {
		return nil, err
	}
	c.base, c.all = base, []net.Conn{base}
	return c, nil
}

func (c *fieldClient) mac(b []byte) []byte {
	sum := md5.Sum(append(append([]byte(nil), b...), c.key[:]...)) //nolint:gosec // see above
	return sum[:]
}

// pull takes from the queue.
func (c *fieldClient) pull(p []byte) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := copy(p, c.queue)
	c.queue = c.queue[n:]
	return n
}

func (c *fieldClient) queued() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue)
}

func (c *fieldClient) Read(p []byte) (int, error) {
	c.link.RLock()
	defer c.link.RUnlock()
	for {
		n := c.pull(p)
		if n == 0 {
			base := c.base
			var err error
			if n, err = base.Read(p); err != nil || n == 0 {
				if err := c.resume(base); err != nil {
					return 0, err
				}
				continue
			}
		}
		c.in.XORKeyStream(p[:n], p[:n])
		c.received += uint64(n)
		return n, nil
	}
}

func (c *fieldClient) Write(p []byte) (int, error) {
	c.link.RLock()
	defer c.link.RUnlock()
	sealed := make([]byte, len(p))
	c.out.XORKeyStream(sealed, p)
	c.history = append(c.history, sealed...)
	c.sent += uint64(len(p))
	base := c.base
	if _, err := base.Write(sealed); err != nil {
		if err := c.resume(base); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// resume replaces a transport that has failed. The caller holds c.link, which is
// given back meanwhile: whoever reads and whoever writes ends up here.
func (c *fieldClient) resume(bad net.Conn) error {
	_ = bad.Close()
	c.link.RUnlock()
	defer c.link.RLock()
	c.link.Lock()
	defer c.link.Unlock()
	if c.dead != nil || c.base != bad {
		return c.dead
	}
	request := c.request()
	for i := 0; ; i++ {
		if i > 0 {
			time.Sleep(fieldPause)
		}
		base, err := c.dial()
		if err != nil {
			return err // the test is over
		}
		c.mu.Lock()
		c.all = append(c.all, base)
		c.mu.Unlock()
		err = c.attempt(base, request)
		if err == nil {
			c.base = base
			c.resumes++
			return nil
		}
		if !errors.Is(err, errFieldAgain) {
			c.dead = err
			return err
		}
		if !c.csharp { // which forgets it
			_ = base.Close()
		}
	}
}

// request makes the request without its type.
func (c *fieldClient) request() []byte {
	received := c.received
	if c.csharp {
		received += uint64(c.queued())
	}
	b := binary.LittleEndian.AppendUint64(nil, c.id)
	b = binary.LittleEndian.AppendUint64(b, c.sent)
	b = binary.LittleEndian.AppendUint64(b, received)
	return append(b, c.mac(b)...)
}

// attempt resumes over one transport. An error is final unless it is errFieldAgain.
func (c *fieldClient) attempt(base net.Conn, request []byte) error {
	if _, err := base.Write([]byte{0xff}); err != nil {
		return errors.Join(errFieldAgain, err)
	}
	if _, err := base.Write(request); err != nil {
		return errors.Join(errFieldAgain, err)
	}
	answer := make([]byte, 24)
	if _, err := io.ReadFull(base, answer); err != nil {
		return errors.Join(errFieldAgain, err)
	}
	if bytes.Equal(answer, make([]byte, 24)) {
		return errFieldRefused
	}
	sent, received := binary.LittleEndian.Uint64(answer), binary.LittleEndian.Uint64(answer[8:])
	proof := c.mac(answer[16:])
	if c.csharp {
		copy(request, proof)
	}
	if _, err := base.Write(proof); err != nil {
		return errors.Join(errFieldAgain, err)
	}
	if sent < c.received || c.sent < received {
		return fmt.Errorf("%w: %d < %d or %d < %d", errFieldCounts, sent, c.received, c.sent, received)
	}

	replayed := make(chan error, 1)
	if n := int(sent - c.received); n > 0 {
		c.replayed++
		go func() { replayed <- c.replay(base, n) }()
	} else {
		replayed <- nil
	}
	if c.sent > received {
		if _, err := base.Write(c.history[received:]); err != nil {
			return errors.Join(errFieldAgain, err) // the replay goes on as long as it can
		}
	}
	switch err := <-replayed; {
	case err == nil:
		return nil
	case c.csharp && errors.Is(err, io.ErrUnexpectedEOF):
		return errFieldSpins
	default:
		return errors.Join(errFieldAgain, err)
	}
}

// replay reads n bytes into the queue, or nothing.
func (c *fieldClient) replay(base net.Conn, n int) error {
	b := make([]byte, n)
	if _, err := io.ReadFull(base, b); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, b...)
	return nil
}

// close ends the client's transports, also those that it has forgotten.
func (c *fieldClient) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, base := range c.all {
		_ = base.Close()
	}
}

// drawer returns a function that draws from 0 up to below n, in any goroutine.
func drawer(seed uint64) func(n int64) int64 {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 1))
	return func(n int64) int64 {
		mu.Lock()
		defer mu.Unlock()
		return r.Int64N(n)
	}
}

// Clients as they are in use, whose transports are cut again and again, most often
// within a replay, get and deliver every byte once.
func TestFieldClientsOfSnet(t *testing.T) {
	for _, csharp := range []bool{false, true} {
		for seed := range uint64(12) {
			t.Run(fmt.Sprintf("%s/%d", map[bool]string{false: "Go", true: "C#"}[csharp], seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { testFieldClient(t, csharp, seed, 150) })
			})
		}
	}
}

func testFieldClient(t *testing.T, csharp bool, seed uint64, cuts int) {
	n := faultnet.New()
	n.SetOptions(faultnet.Options{Buffer: 16 << 10, Segment: 1460, Delay: time.Millisecond})
	draw := drawer(seed)
	over := make(chan struct{})
	n.OnDial(func(i int, p *faultnet.Path) error {
		select {
		case <-over:
			return net.ErrClosed
		default:
		}
		if i > cuts {
			return nil
		}
		kind := []faultnet.Kind{faultnet.Reset, faultnet.ResetNow, faultnet.End}[draw(3)]
		switch at := draw(10); {
		case i == 0: // past the handshake, which these clients try once
			p.CutAt(faultnet.Down, 24+draw(20<<10), kind)
		case at == 0: // within a handshake
			p.CutAt(faultnet.Up, draw(58), kind)
		case at == 1:
			p.CutAt(faultnet.Down, draw(24), kind)
		case at < 6: // within its replay
			p.CutAt(faultnet.Up, 58+draw(2000), kind)
		default:
			p.CutAt(faultnet.Down, 24+draw(30<<10), kind)
		}
		return nil
	})
	l, err := relink.NewListener(n.Listen(), relink.ListenConfig{Suites: []relink.ServerSuite{relink.DH64RC4Server{}}})
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	c, err := openFieldClient(csharp, func() (net.Conn, error) { return n.Dial(context.Background(), "tcp", "server") })
	require.NoError(t, err)
	server, err := l.AcceptConn()
	require.NoError(t, err)

	up, down := rigData(200<<10), rigData(1<<20)
	errs := make(chan error, 4)
	send := func(to io.Writer, data []byte, piece int, pause time.Duration) {
		for len(data) > 0 {
			k := min(len(data), piece)
			if _, err := to.Write(data[:k]); err != nil {
				errs <- fmt.Errorf("%T: %w", to, err)
				return
			}
			data = data[k:]
			time.Sleep(pause)
		}
		errs <- nil
	}
	receive := func(from io.Reader, want []byte, piece int, pause time.Duration) {
		b := make([]byte, piece)
		for at := 0; at < len(want); {
			k, err := from.Read(b)
			if err != nil {
				errs <- fmt.Errorf("%T: %w", from, err)
				return
			}
			if k > len(want)-at || !bytes.Equal(b[:k], want[at:at+k]) {
				errs <- fmt.Errorf("%T: wrong bytes within the %d from %d on", from, k, at)
				return
			}
			at += k
			time.Sleep(pause)
		}
		errs <- nil
	}
	go send(c, up, 200, 10*time.Millisecond)
	go send(server, down, 5000, 0)
	go receive(server, up, 4096, 0)
	go receive(c, down, 1000, 5*time.Millisecond)
	stop := sync.OnceFunc(func() {
		close(over)
		_ = server.Abort()
		c.close()
	})
	for range 4 {
		if e := <-errs; e != nil && err == nil {
			err = e
			stop()
		}
	}
	stop()
	require.NoError(t, err, "after %d resumes", c.resumes)
	require.Zero(t, c.replayed, "it has taken a replay for its own kind")
	t.Logf("%d dials, %d resumes", n.Dials(), c.resumes)
	require.Greater(t, c.resumes, cuts/2)
}
