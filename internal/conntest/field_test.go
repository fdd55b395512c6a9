package conntest

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rc4"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/dh64"
	"github.com/relink-go/relink/internal/faultnet"
)

// A fieldServer behaves as the server of SCP does that is in use. A resume copies
// the state of the transport that is the session's, answers, and becomes the
// session's only some time after that: a second resume within that time copies the
// same old state once more. The copies share their ciphers. A session that was
// opened can be found only some time after the answer, too.
type fieldServer struct {
	l   net.Listener
	lag func() time.Duration

	mu    sync.Mutex
	pairs map[string]*fieldPair
	ids   int
	conns []net.Conn
}

// A fieldPair is a session.
type fieldPair struct {
	mu      sync.Mutex
	changed *sync.Cond
	link    *fieldLink
	got     bytes.Buffer // what its application has received
	over    bool
}

// A fieldLink is the state of a session as one transport has it.
type fieldLink struct {
	base     net.Conn
	secret   uint64
	index    int
	in, out  *rc4.Cipher
	received int
	history  []byte // what was sent

	reading sync.Mutex
}

func (s *fieldServer) serve() {
	for {
		base, err := s.l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, base)
		s.mu.Unlock()
		go func() {
			if err := s.handshake(base); err != nil {
				_ = base.Close()
			}
		}()
	}
}

func (s *fieldServer) handshake(base net.Conn) error {
	var header [2]byte
	if _, err := io.ReadFull(base, header[:]); err != nil {
		return err
	}
	content := make([]byte, binary.BigEndian.Uint16(header[:]))
	if _, err := io.ReadFull(base, content); err != nil {
		return err
	}
	lines := strings.Split(string(content), "\n")
	if lines[0] == "0" {
		return s.open(base, lines)
	}
	s.mu.Lock()
	pair := s.pairs[lines[0]]
	s.mu.Unlock()
	if pair == nil {
		return answer(base, 0, 404)
	}
	index, err := strconv.Atoi(lines[1])
	if err != nil {
		return err
	}
	received, err := strconv.Atoi(lines[2])
	if err != nil {
		return err
	}
	pair.mu.Lock()
	old := pair.link
	pair.mu.Unlock()
	if index <= old.index {
		return answer(base, 0, 403)
	}
	_ = old.base.Close()
	old.reading.Lock() // nobody reads any more
	spawned := &fieldLink{
		base: base, secret: old.secret, index: index, in: old.in, out: old.out,
		received: old.received, history: old.history,
	}
	old.reading.Unlock()
	if received > len(spawned.history) {
		return answer(base, 0, 406)
	}
	if err := answer(base, spawned.received, 200); err != nil {
		return err
	}
	if _, err := base.Write(spawned.history[received:]); err != nil {
		return err
	}
	time.Sleep(s.lag())
	pair.mu.Lock()
	defer pair.mu.Unlock()
	_ = pair.link.base.Close()
	pair.link = spawned
	pair.changed.Broadcast()
	return nil
}

func answer(w io.Writer, received, code int) error {
	if err := sendPacket(w, fmt.Sprintf("%d\n%d", received, code)); err != nil || code == 200 {
		return err
	}
	return fmt.Errorf("refused with %d", code)
}

func sendPacket(w io.Writer, content string) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(content))), content...))
	return err
}

func (s *fieldServer) open(base net.Conn, lines []string) error {
	public, err := base64.StdEncoding.DecodeString(lines[1])
	if err != nil {
		return err
	}
	key, err := dh64.GenerateKey()
	if err != nil {
		return err
	}
	secret, err := key.SharedSecret(binary.LittleEndian.Uint64(public))
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.ids++
	id := strconv.Itoa(s.ids)
	s.mu.Unlock()
	own := base64.StdEncoding.EncodeToString(binary.LittleEndian.AppendUint64(nil, key.PublicKey()))
	if err := sendPacket(base, id+"\n"+own); err != nil {
		return err
	}
	link := &fieldLink{base: base, secret: secret}
	for _, c := range []**rc4.Cipher{&link.in, &link.out} {
		if *c, err = rc4.NewCipher(scpStreamKey(secret)); err != nil { //nolint:gosec // see above
			return err
		}
	}
	time.Sleep(s.lag())
	pair := &fieldPair{link: link}
	pair.changed = sync.NewCond(&pair.mu)
	s.mu.Lock()
	s.pairs[id] = pair
	s.mu.Unlock()
	go pair.pump()
	return nil
}

// scpStreamKey is RC4's key of a session: four folded MD5s.
func scpStreamKey(secret uint64) (key []byte) {
	for i := range uint64(4) {
		block := binary.LittleEndian.AppendUint64(nil, secret)
		block = binary.LittleEndian.AppendUint64(block, i)
		d := md5.Sum(bytes.Repeat(block, 3)) //nolint:gosec // see above
		for j := range 8 {
			key = append(key, d[j]^d[j+8])
		}
	}
	return key
}

// pump gives the application what comes over the transport that is the session's.
func (p *fieldPair) pump() {
	b := make([]byte, 4096)
	for {
		p.mu.Lock()
		link := p.link
		p.mu.Unlock()
		link.reading.Lock()
		n, err := link.base.Read(b)
		link.in.XORKeyStream(b[:n], b[:n])
		link.received += n
		link.reading.Unlock()
		p.mu.Lock()
		p.got.Write(b[:n])
		for err != nil && p.link == link && !p.over {
			p.changed.Wait()
		}
		over := p.over
		p.mu.Unlock()
		if over {
			return
		}
	}
}

// stop ends everything and returns what the applications have received.
func (s *fieldServer) stop() (got []string) {
	_ = s.l.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
	for _, p := range s.pairs {
		p.mu.Lock()
		p.over = true
		p.changed.Broadcast()
		got = append(got, p.got.String())
		p.mu.Unlock()
	}
	return got
}

// A client of SCP leaves a server that is in use the moment that it needs, so that
// no resume finds a session of which another copy is about to go on: after a
// link that was lost at once, the first one too, and after a request whose answer
// was lost.
func TestFieldServerOfSCP(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(strconv.Itoa(int(seed)), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testFieldServer(t, seed) })
		})
	}
}

func testFieldServer(t *testing.T, seed uint64) {
	const cuts = 40
	n := faultnet.New()
	n.SetOptions(faultnet.Options{Delay: 500 * time.Microsecond})
	draw := drawer(seed)
	n.OnDial(func(i int, p *faultnet.Path) error {
		switch how := draw(4); {
		case i > cuts:
		case i == 0: // as soon as it is open
			p.CutAt(faultnet.Up, 16+draw(50), faultnet.Reset)
		case how == 0: // within the answer, as the server does not notice
			p.CutAt(faultnet.Down, draw(7), faultnet.EndDown)
		default: // as soon as it has brought something
			p.CutAt(faultnet.Up, 45+draw(400), faultnet.Reset)
		}
		return nil
	})
	lag := func() time.Duration { return time.Duration(1+draw(7)) * time.Millisecond }
	s := &fieldServer{l: n.Listen(), lag: lag, pairs: make(map[string]*fieldPair)}
	go s.serve()
	d := Setup{MinBackoff: time.Nanosecond, MaxBackoff: time.Nanosecond}.dialer(relink.SCPClient{}, n.Dial)
	c, err := d.DialConn(t.Context(), "tcp", "server")
	require.NoError(t, err)
	data := Data(20 << 10)
	for at := 0; at < len(data) && err == nil; at += 100 {
		_, err = c.Write(data[at:min(at+100, len(data))])
		time.Sleep(time.Duration(draw(4)) * time.Millisecond)
	}
	time.Sleep(time.Minute)
	state, resumes := c.State(), c.Stats().Resumes
	_ = c.Abort()
	got := s.stop()
	time.Sleep(time.Second)
	require.NoError(t, err)
	require.Equal(t, relink.StateConnected, state)
	require.Greater(t, resumes, int64(cuts/2))
	require.Len(t, got, 1)
	require.True(t, got[0] == string(data), "the stream was forked: %d bytes of %d", len(got[0]), len(data))
}

// A client of SCP leaves its server 10 ms after whatever the server may still be
// busy with, and not a moment more. Nothing shortens them, and where nothing was said
// to the server there is nothing to wait for.
func TestPauseBeforeAResume(t *testing.T) {
	const quiet = 10 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		cfg := Setup{MinBackoff: time.Nanosecond, MaxBackoff: time.Nanosecond}
		l, err := relink.NewListener(n.Listen(), cfg.listener(relink.SCPServer{}))
		require.NoError(t, err)
		var attempts []time.Duration // since begin
		begin := time.Now()
		d := cfg.dialer(relink.SCPClient{}, func(ctx context.Context, network, address string) (net.Conn, error) {
			attempts = append(attempts, time.Since(begin))
			if len(attempts) == 4 {
				n.SetDown(faultnet.NotDown)
			}
			return n.Dial(ctx, network, address)
		})
		c, err := d.DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		server, err := l.AcceptConn()
		require.NoError(t, err)
		// lose makes the client notice a loss in a while.
		lose := func(after time.Duration) {
			time.Sleep(after)
			begin, attempts = time.Now(), nil
			c.NetworkChanged()
		}
		requireAttempts := func(times ...time.Duration) {
			t.Helper()
			time.Sleep(quiet)
			synctest.Wait()
			require.Equal(t, times, attempts)
			require.Equal(t, relink.StateConnected, c.State())
		}

		lose(0) // as soon as the session is open
		c.NetworkChanged()
		requireAttempts(quiet)
		lose(0) // as soon as it is resumed
		requireAttempts(quiet)
		lose(4 * time.Millisecond)
		requireAttempts(quiet - 4*time.Millisecond)
		lose(time.Minute)
		requireAttempts(0)

		// An attempt without an answer.
		time.Sleep(time.Minute)
		n.OnDial(func(_ int, p *faultnet.Path) error {
			p.CutAt(faultnet.Down, 3, faultnet.EndDown)
			n.OnDial(nil)
			return nil
		})
		lose(0)
		requireAttempts(0, quiet)

		// Attempts that have reached nobody.
		time.Sleep(time.Minute)
		n.SetDown(faultnet.Refuse)
		lose(0)
		requireAttempts(0, 1, 2, 3)

		_, _ = c.Abort(), server.Abort()
		_ = l.Close()
	})
}

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

	up, down := Data(200<<10), Data(1<<20)
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
