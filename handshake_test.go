package relink_test

import (
	"bytes"
	"fmt"
	"net"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/conntest"
	"github.com/relink-go/relink/internal/suite"
)

// A lengthy protocol wants all that a message may have, and takes it.
type lengthy struct {
	*conntest.RecordProtocol
	taken chan []byte
}

func (p lengthy) Serve(s suite.Stream, _ suite.Host) error {
	b, err := s.Next(suite.MaxMessage)
	if err == nil {
		p.taken <- bytes.Clone(b)
	}
	return err
}

// The memory of a handshake follows what has arrived, and not the length that
// somebody has claimed.
func TestHandshakeMemoryFollowsWhatArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := lengthy{new(conntest.RecordProtocol), make(chan []byte, 1)}
		sc := conntest.NewIdle(t, conntest.Spoken{Protocol: p})
		message := conntest.Data(suite.MaxMessage)
		c, err := sc.Net.Dial(t.Context(), "tcp", "server")
		require.NoError(t, err)
		for sent := 0; sent < len(message); {
			synctest.Wait()
			require.LessOrEqual(t, relink.HandshakeBuffers(sc.Listener), max(256, 4<<10, 4*sent))
			if sent < 256 {
				require.Equal(t, 256, relink.HandshakeBuffers(sc.Listener))
			}
			n, err := c.Write(message[sent:min(sent+100, len(message))])
			require.NoError(t, err)
			sent += n
		}
		require.Equal(t, message, <-p.taken)
		require.NoError(t, c.Close())
		require.NoError(t, sc.Listener.Close())
	})
}

// Nothing is kept of an address whose handshakes have ended.
func TestOriginsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := conntest.New(t, conntest.Noise)
		var transports []net.Conn
		for i := range 3 {
			r.Net.SetClientHost(fmt.Sprintf("[2001:db8:1:%d::1]", i/2))
			c, err := r.Net.Dial(t.Context(), "tcp", "server")
			require.NoError(t, err)
			transports = append(transports, c)
		}
		for i, left := range []int{2, 1, 0} {
			synctest.Wait()
			require.Equal(t, min(left+1, 2), relink.Origins(r.Listener))
			require.NoError(t, transports[i].Close())
			synctest.Wait()
			require.Equal(t, left, relink.Origins(r.Listener))
		}
		r.Stop()
	})
}

// What counts as one client.
func TestOrigins(t *testing.T) {
	tcp := func(s string) net.Addr {
		a, err := net.ResolveTCPAddr("tcp", s)
		require.NoError(t, err)
		return a
	}
	for _, tt := range []struct {
		addr net.Addr
		want string
	}{
		{tcp("203.0.113.7:1"), "203.0.113.7/32"},
		{tcp("[::ffff:203.0.113.7]:1"), "203.0.113.7/32"},
		{tcp("[2001:db8:1:2:3:4:5:6]:1"), "2001:db8:1:2::/64"},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 1, Zone: "eth0"}, "fe80::/64"},
		{tcp("127.0.0.1:1"), ""},
		{tcp("[::1]:1"), ""},
		{&net.UnixAddr{Name: "@", Net: "unix"}, ""},
		{panickingAddr{}, ""},
		{nil, ""},
	} {
		require.Equal(t, tt.want, relink.OriginOf(tt.addr))
	}
}

type panickingAddr struct{ net.Addr }

func (panickingAddr) String() string { panic("the test's panic") }
