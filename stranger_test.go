package relink_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// strangers are what somebody says who is not the server and means no harm.
var strangers = map[string]string{
	"portal's redirect":    "HTTP/1.1 302 Found\r\nLocation: http://portal.example/login\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
	"portal's page":        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<!DOCTYPE html><html><title>Welcome</title><body>Please log in</body></html>\n",
	"portal's bare page":   "<html><head><meta http-equiv=\"refresh\" content=\"0;url=http://192.0.2.1/\"></head></html>",
	"network login (511)":  "HTTP/1.1 511 Network Authentication Required\r\nContent-Length: 0\r\n\r\n",
	"balancer's 503":       "HTTP/1.0 503 Service Unavailable\r\nCache-Control: no-cache\r\n\r\n<html><body><h1>503</h1>No server is available.</body></html>\n",
	"proxy's 400":          "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request",
	"SSH banner":           "SSH-2.0-OpenSSH_9.6p1 Debian-3\r\n",
	"SMTP banner":          "220 mail.example ESMTP ready\r\n",
	"Redis error":          "-ERR unknown command '\\xff\\x01', with args beginning with: \r\n",
	"memcached error":      "ERROR\r\n",
	"MySQL greeting":       "\x4a\x00\x00\x00\x0a8.0.36\x00\x09\x00\x00\x00abcdefgh\x00\xff\xf7\xff\x02\x00\xff\xdf\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00ijklmnopqrst\x00mysql_native_password\x00",
	"TLS alert":            "\x15\x03\x03\x00\x02\x02\x46",
	"HTTP/2 settings":      "\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80\x00\x04\x00\x01\x00\x00\x00\x05\x00\xff\xff\xff",
	"telnet":               "\xff\xfd\x18\xff\xfd\x20\xff\xfd\x23\xff\xfd\x27\r\nlogin: \x00\x00\x00\x00",
	"all ones":             strings.Repeat("\xff", 64),
	"zeros, then a cut":    strings.Repeat("\x00", 23),
	"nothing":              "",
	"a page in one letter": strings.Repeat("A", 4096),
}

// endings are how a stranger goes on after that.
var endings = map[string]func(net.Conn){
	"closes": func(c net.Conn) { _ = c.Close() },
	"resets": resetConn,
	"waits":  func(net.Conn) {},
}

func resetConn(c net.Conn) {
	if s, ok := c.(interface{ SetLinger(int) error }); ok {
		_ = s.SetLinger(0)
	}
	_ = c.Close()
}

// Answers of strangers to a resume fail that attempt, and the session lives: the
// next attempt that reaches the server goes on with it, with every byte.
func TestStrangersAnswer(t *testing.T) {
	for name, says := range strangers {
		for how, end := range endings {
			t.Run(name+"/"+how, func(t *testing.T) {
				inBubble(t, func(t *testing.T, s testSuite) { testStranger(t, s, says, end) })
			})
		}
	}
}

func testStranger(t *testing.T, s testSuite, says string, end func(net.Conn)) {
	if s.String() == "records" {
		return // a protocol of these tests, which asks nobody who he is
	}
	const times = 3
	answers := 0
	portal := newPortal(says, end)
	r := newRig(t, s, func(r *rig, _ *relink.ListenConfig) {
		own := r.dialer.DialTransport
		r.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
			if r.client == nil || answers == times {
				return own(ctx, network, address)
			}
			answers++
			return portal.net.Dial(ctx, network, address)
		}
	})
	r.exchange(100)
	_, err := r.server.Write(rigData(300)) // some of it is for the way back
	require.NoError(t, err)
	r.net.Last().Cut(faultnet.ResetNow)
	r.client.NetworkChanged()
	_, err = r.client.Write(rigData(500))
	require.NoError(t, err)
	up, down := make([]byte, 500), make([]byte, 300)
	_, err = io.ReadFull(r.server, up)
	require.NoError(t, err)
	require.Equal(t, rigData(500), up)
	_, err = io.ReadFull(r.client, down)
	require.NoError(t, err)
	require.Equal(t, rigData(300), down)
	require.Equal(t, times, answers)
	require.Equal(t, int64(1), r.client.Stats().Resumes)
	r.exchange(1000)
	r.stop()
	portal.stop()
}

// A portal is a network in which all dials lead to a stranger.
type portal struct {
	net    *faultnet.Network
	l      net.Listener
	served chan struct{}
	held   []net.Conn
}

// newPortal waits for a client's first bytes, says its own, and goes on as end does.
func newPortal(says string, end func(net.Conn)) *portal {
	n := faultnet.New()
	p := &portal{net: n, l: n.Listen(), served: make(chan struct{})}
	go func() {
		defer close(p.served)
		for {
			c, err := p.l.Accept()
			if err != nil {
				return
			}
			p.held = append(p.held, c)
			if _, err := c.Read(make([]byte, 4096)); err != nil {
				continue
			}
			_, _ = io.WriteString(c, says)
			end(c)
		}
	}()
	return p
}

func (p *portal) stop() {
	_ = p.l.Close()
	<-p.served
	for _, c := range p.held {
		_ = c.Close()
	}
}

// A dial that reaches a stranger fails, and does not return a session in which an
// error page is the first data.
func TestStrangersAnswerToDial(t *testing.T) {
	for name, says := range strangers {
		t.Run(name, func(t *testing.T) {
			forEachSuite(t, func(t *testing.T, s testSuite) {
				noText := strings.Contains(says, "\x00") || strings.Contains(says, "\xff")
				if s.String() == "records" || noText && strings.HasPrefix(s.String(), "DH64RC4") {
					return // to "records" anything is an answer; a server hello of DH64RC4 is as good as random
				}
				synctest.Test(t, func(t *testing.T) {
					p := newPortal(says, endings["closes"])
					d := relink.Dialer{Suite: s, Config: relink.Config{HandshakeTimeout: time.Second}, DialTransport: p.net.Dial}
					c, err := d.DialConn(context.Background(), "tcp", "server")
					require.Error(t, err)
					require.Nil(t, c)
					p.stop()
				})
			})
		})
	}
}

// What the last attempt met is in the error, and is none of those that would be
// the server's word.
func TestNothingButStrangers(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		if s.String() == "records" {
			return
		}
		p := newPortal(strangers["portal's redirect"], endings["closes"])
		r := newRig(t, s, withBoth(func(c *relink.Config) { c.ResumeTimeout = 10 * time.Second }), func(r *rig, _ *relink.ListenConfig) {
			own := r.dialer.DialTransport
			r.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
				if r.client == nil {
					return own(ctx, network, address)
				}
				return p.net.Dial(ctx, network, address)
			}
		})
		r.exchange(100)
		r.client.NetworkChanged()
		_, err := r.client.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrExpired)
		for _, word := range []error{relink.ErrCounters, relink.ErrReplayGap, relink.ErrSessionLost, io.EOF} {
			require.NotErrorIs(t, err, word)
		}
		r.stop()
		p.stop()
	})
}
