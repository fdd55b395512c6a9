package subject_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/bench/internal/subject"
)

func credentials(t testing.TB) subject.Credentials {
	c, err := subject.NewCredentials()
	require.NoError(t, err)
	return c
}

// Every subject carries both directions exactly, in sizes around the buffers
// that are in the way, and ends when its peer does.
func TestSubjectsCarryStreams(t *testing.T) {
	t.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	for _, s := range subject.All(credentials(t)) {
		t.Run(s.Name(), func(t *testing.T) {
			p, err := subject.Open(t.Context(), s, subject.Loopback{})
			require.NoError(t, err)
			defer p.Close()
			for _, size := range []int{1, 100, 64<<10 - 1, 64 << 10, 64<<10 + 1, 300 << 10} {
				requireCarried(t, p.Client, p.Server, size)
				requireCarried(t, p.Server, p.Client, size)
			}
		})
	}
}

func requireCarried(t *testing.T, from, to net.Conn, size int) {
	t.Helper()
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i ^ i>>8 ^ i>>16)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := from.Write(data)
		sent <- err
	}()
	got := make([]byte, size)
	_, err := io.ReadFull(to, got)
	require.NoError(t, err)
	require.NoError(t, <-sent)
	require.True(t, bytes.Equal(data, got), "%d bytes arrived changed", size)
}

// What is meant to be encrypted does not show on the wire, and what is not, does.
func TestWhatIsEncrypted(t *testing.T) {
	clear := map[string]bool{subject.TCP: true, subject.Yamux: true, subject.Classic: true}
	secret := bytes.Repeat([]byte("attack at dawn! "), 64)
	for _, s := range subject.All(credentials(t)) {
		switch s.Name() {
		case subject.QUIC, subject.KCP, subject.NoiseQUIC, subject.NoiseKCP:
			continue // their datagrams do not pass a tap of TCP
		}
		t.Run(s.Name(), func(t *testing.T) {
			tap := new(tap)
			p, err := subject.Open(t.Context(), s, tap)
			require.NoError(t, err)
			defer p.Close()
			_, err = p.Client.Write(secret)
			require.NoError(t, err)
			_, err = io.ReadFull(p.Server, make([]byte, len(secret)))
			require.NoError(t, err)
			require.Equal(t, clear[s.Name()], tap.saw(secret[:64]))
		})
	}
}

// Sessions that were entered without a client's side are sessions to the server.
func TestEnter(t *testing.T) {
	for _, s := range subject.Resumables(credentials(t)) {
		t.Run(s.Name(), func(t *testing.T) {
			l, err := s.Listen()
			require.NoError(t, err)
			defer l.Close()
			c, err := net.Dial("tcp", l.Addr().String())
			require.NoError(t, err)
			defer c.Close()
			require.NoError(t, s.Enter(c))
			server, err := l.Accept()
			require.NoError(t, err)
			subject.Abort(server)
		})
	}
}

func TestNegotiatedTLS(t *testing.T) {
	said, err := subject.NegotiatedTLS(t.Context(), credentials(t))
	require.NoError(t, err)
	require.Contains(t, said, "TLS_")
	require.Contains(t, said, "X25519")
}

func TestNamed(t *testing.T) {
	c := credentials(t)
	found, err := subject.Named(c, subject.Noise, subject.TCP)
	require.NoError(t, err)
	require.Equal(t, subject.Noise, found[0].Name())
	require.Equal(t, subject.TCP, found[1].Name())
	_, err = subject.Named(c, "none")
	require.Error(t, err)
	seen := make(map[string]bool)
	for _, s := range subject.All(c) {
		require.False(t, seen[s.Name()], "two subjects are called %s", s.Name())
		require.NotEmpty(t, s.About())
		seen[s.Name()] = true
	}
}

// A stream whose peer is gone ends.
func TestAbort(t *testing.T) {
	t.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	for _, s := range subject.All(credentials(t)) {
		if strings.HasPrefix(s.Name(), "relink ") {
			continue // it survives a reset for as long as ResumeTimeout
		}
		if s.Name() == subject.KCP {
			continue // it has nothing that says the end: its peer finds the silence
		}
		t.Run(s.Name(), func(t *testing.T) {
			p, err := subject.Open(t.Context(), s, subject.Loopback{})
			require.NoError(t, err)
			defer p.Close()
			subject.Abort(p.Client)
			ended := make(chan error, 1)
			go func() {
				_, err := p.Server.Read(make([]byte, 1))
				ended <- err
			}()
			select {
			case err := <-ended:
				require.Error(t, err)
			case <-time.After(time.Minute):
				t.Fatal("Read still waits")
			}
		})
	}
}
