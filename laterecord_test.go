package relink_test

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A tardyTransport takes a second to close, and is deaf when it is told to be: what
// is to end a Read does not.
type tardyTransport struct {
	net.Conn
	deaf *atomic.Bool
}

func (tardyTransport) Interruptible() bool { return true }

func (t tardyTransport) SetReadDeadline(at time.Time) error {
	if t.deaf.Load() {
		return nil
	}
	return t.Conn.SetReadDeadline(at)
}

func (t tardyTransport) Close() error {
	time.Sleep(time.Second)
	return t.Conn.Close()
}

// A tardyListener hands out tardy transports.
type tardyListener struct {
	net.Listener
	deaf *atomic.Bool // all of them
}

func (l tardyListener) Accept() (net.Conn, error) {
	t, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tardyTransport{t, l.deaf}, nil
}

// A holdingTransport keeps the Write that has sent its bytes until it is let go.
type holdingTransport struct {
	net.Conn
	holds atomic.Bool
	letGo chan struct{}
}

func (*holdingTransport) Interruptible() bool { return true }

func (h *holdingTransport) Write(p []byte) (int, error) {
	n, err := h.Conn.Write(p)
	if h.holds.Load() {
		<-h.letGo
	}
	return n, err
}

// The server's Read is still under way on the old transport when a resume has
// taken the session over, and only then the old one delivers: data, and in the
// same record the end of the stream, where the wire has one. The data is dropped
// because it comes again, and the end must not be taken for an end before it.
func TestLateDataBesideANewLink(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		t.Cleanup(func() { time.Sleep(2 * time.Second) }) // the transports close
		s, h, _ := hooked(s)
		deaf := new(atomic.Bool)
		first := &holdingTransport{letGo: make(chan struct{})}
		r := newRig(t, s, func(r *rig, _ *relink.ListenConfig) {
			r.wrap = func(l net.Listener) net.Listener { return tardyListener{l, deaf} }
			r.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := r.net.Dial(ctx, network, address)
				if first.Conn != nil || err != nil {
					return c, err
				}
				first.Conn = c
				return first, nil
			}
		})
		r.exchange(100)
		time.Sleep(time.Second) // the limits are known
		ends := traitsOf(s).HalfClose

		// While a byte is being sent, the rest gathers for one record.
		first.holds.Store(true)
		one := background(func() (int, error) { return r.client.Write([]byte{1}) })
		requireRead(t, r.server, []byte{1})
		data := rigData(1000)
		got := background(func() (int, error) {
			b := make([]byte, len(data))
			n, err := io.ReadFull(r.server, b)
			if string(b[:n]) != string(data[:n]) {
				t.Error("the stream differs")
			}
			return n, err
		})
		requireWrite(t, r.client, data)
		if ends {
			require.NoError(t, r.client.CloseWrite())
		}
		old := r.net.Last()
		old.Stall(faultnet.Up)
		first.holds.Store(false)
		close(first.letGo)
		require.NoError(t, (<-one).err)
		synctest.Wait()
		deaf.Store(true)

		pending := func([]byte) (int64, int) { return 101, 0 } // it all has to come over the link
		h.pending.Store(&pending)
		r.client.NetworkChanged()
		stillBlocked(t, got)
		require.EqualValues(t, 2, linksOf(r.server))
		deaf.Store(false)
		old.Release(faultnet.Up)
		o := <-got
		require.NoError(t, o.err)
		require.Equal(t, len(data), o.n)
		if ends {
			n, err := r.server.Read(make([]byte, 1))
			require.Equal(t, io.EOF, err)
			require.Zero(t, n)
		}
		requireWrite(t, r.server, data)
		requireRead(t, r.client, data)
		r.stop()
	})
}

// A Close that takes its time, as that of a TLS connection whose path is dead, does not
// keep a Read from what has come over the new link.
func TestSupersededTransportLetsTheReadGo(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		t.Cleanup(func() { time.Sleep(2 * time.Second) }) // the transports close
		r := newRig(t, s, func(r *rig, _ *relink.ListenConfig) {
			r.wrap = func(l net.Listener) net.Listener { return tardyListener{l, new(atomic.Bool)} }
		})
		r.exchange(100)
		got := background(func() (int, error) { return r.server.Read(make([]byte, 100)) })
		stillBlocked(t, got)
		began := time.Now()
		r.net.Last().Stall(faultnet.Up) // nor does it hear that the client has left
		r.client.NetworkChanged()
		requireWrite(t, r.client, rigData(100))
		require.NoError(t, (<-got).err)
		require.Less(t, time.Since(began), time.Second)
		r.stop()
	})
}

// A Read that finds the transport read on behalf of an application that had been away
// takes that over, lest all data be copied twice from then on.
func TestReadTakesTheTransportOver(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		var interrupted *interruptCounter
		r := newRig(t, s, func(r *rig, _ *relink.ListenConfig) {
			r.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := r.net.Dial(ctx, network, address)
				interrupted = &interruptCounter{Conn: c}
				return interrupted, err
			}
		})
		r.exchange(100)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		before := interrupted.n.Load()
		got := background(func() (int, error) { return r.client.Read(make([]byte, 100)) })
		stillBlocked(t, got)
		require.Equal(t, before+1, interrupted.n.Load())
		requireWrite(t, r.server, rigData(100))
		require.NoError(t, (<-got).err)
		r.stop()
	})
}

// An interruptCounter counts how often a Read was told to come back at once.
type interruptCounter struct {
	net.Conn
	n atomic.Int64
}

func (*interruptCounter) Interruptible() bool { return true }

func (c *interruptCounter) SetReadDeadline(at time.Time) error {
	if !at.IsZero() && !at.After(time.Now()) {
		c.n.Add(1)
	}
	return c.Conn.SetReadDeadline(at)
}
