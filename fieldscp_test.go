package relink_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rc4" //nolint:gosec // it is what these servers have
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
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
	d := setup{MinBackoff: time.Nanosecond, MaxBackoff: time.Nanosecond}.dialer(relink.SCPClient{}, n.Dial)
	c, err := d.DialConn(t.Context(), "tcp", "server")
	require.NoError(t, err)
	data := rigData(20 << 10)
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
func TestMomentOfQuiet(t *testing.T) {
	const quiet = 10 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		cfg := setup{MinBackoff: time.Nanosecond, MaxBackoff: time.Nanosecond}
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
