package main

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/faultnet"
)

func TestMain(m *testing.M) {
	if os.Getenv(serveVariable) != "" {
		os.Exit(serveProcess(os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// outcome runs the program.
func outcome(t *testing.T, wrap transportWrapper, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(t.Context(), args, &out, &errs, wrap)
	t.Logf("status %d\n%s%s", status, out.String(), errs.String())
	return status, out.String(), errs.String()
}

// Three seconds of everything, in one process and in two, of which the server may be
// another build.
func TestSoak(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	for name, more := range map[string][]string{
		"one process":   {"-for", "3s"},
		"two processes": {"-for", "2s", "-two"},
		"another build": {"-for", "2s", "-server", self},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"-sessions", "20", "-cuts", "20", "-restart", "1s"}, more...)
			status, stdout, stderr := outcome(t, nil, args...)
			require.Zero(t, status, stderr)
			require.Contains(t, stdout, "0 lost, 0 doubled, 0 out of place")
			require.Contains(t, stdout, "verdict     PASS")
		})
	}
}

func TestSoakWithoutServer(t *testing.T) {
	status, _, stderr := outcome(t, nil, "-server", filepath.Join(t.TempDir(), "soak"))
	require.Equal(t, 1, status)
	require.Contains(t, stderr, "no such file")

	cat, err := exec.LookPath("cat") // it answers, and is no server
	if err != nil {
		t.Skip("there is no cat here")
	}
	status, _, stderr = outcome(t, nil, "-server", cat)
	require.Equal(t, 1, status)
	require.Contains(t, stderr, "has not begun to serve")
}

// A harmful transport does something to the stream, once in all: to the first
// piece that is too long to be part of a handshake.
type harmful struct {
	net.Conn
	done *atomic.Bool
	harm func(p []byte) (n int)
}

func (h *harmful) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	if n >= 1000 && !h.done.Swap(true) {
		n = h.harm(p[:n])
	}
	return n, err
}

// The server's end is lost in a cut, and its listener, which was to end with its
// last session, does. No wire without acknowledgements can tell the client, and
// ResumeTimeout is three minutes; but everything has ended as it was meant to.
func TestEndLostWithListener(t *testing.T) {
	k := newKeys()
	for _, c := range choices {
		if c.acks {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			srv, err := newServer(serveOptions{Key: k.private.EncodeSecret(), Liveness: time.Second})
			require.NoError(t, err)
			relay, err := faultnet.NewRelay("127.0.0.1:1")
			require.NoError(t, err)
			defer relay.Close()
			all := newClients(options{liveness: time.Second}, k, srv)
			s := &slot{all: all, choice: c, relay: relay}

			conn, err := s.dial()
			require.NoError(t, err)
			p := newParty(conn, header{suite: index(c.name), end: goodbye, load: churn, size: 100, count: 1}, &all.tally, s.address)
			require.NoError(t, p.writeFull(p.h.encode()))
			require.NoError(t, p.converse(nil))
			// The session's last word is the refusal of the resume by which the client asks.
			relay.CutAfter(faultnet.Down, 1, faultnet.Reset)
			require.NoError(t, srv.replace())
			require.NoError(t, p.message(opGoodbye))
			began := time.Now()
			require.NoError(t, p.finish(p.expectClosed()))
			took := time.Since(began)
			require.Greater(t, took, lookAgain, "nothing was lost")
			require.Less(t, took, resumeTimeout)
			srv.stop()
			require.Zero(t, srv.tally.failed.Load())
		})
	}
}

// A verdict that cannot fail says nothing. Here the stream is changed on a wire
// that cannot tell, and every kind of change is found and called by its name.
func TestVerdictFails(t *testing.T) {
	for name, c := range map[string]struct {
		suite string
		harm  func(p []byte) int
		want  string
	}{
		"a changed byte": {"dh64rc4", func(p []byte) int { p[len(p)/2] ^= 1; return len(p) }, "bytes were out of place"},
		"a lost byte":    {"dh64rc4-clear", func(p []byte) int { return copy(p, p[1:]) }, "bytes were lost"},
		"doubled bytes":  {"dh64rc4-clear", func(p []byte) int { copy(p[600:], p[500:]); return len(p) }, "100 bytes were doubled"},
	} {
		t.Run(name, func(t *testing.T) {
			var done atomic.Bool
			wrap := func(t net.Conn) net.Conn { return &harmful{Conn: t, done: &done, harm: c.harm} }
			status, stdout, stderr := outcome(t, wrap, "-for", "1s", "-sessions", "8", "-cuts", "0", "-suites", c.suite)
			require.True(t, done.Load(), "no harm was done")
			require.Equal(t, 1, status)
			require.Contains(t, stdout, "verdict     FAIL")
			require.Contains(t, stderr, c.want)
			require.Contains(t, stderr, "did not end as they were meant to for their clients")
		})
	}
}

// What Noise cannot be made to do, it does not do: a changed byte costs a link
// and not the stream.
func TestNoiseSurvivesHarm(t *testing.T) {
	var done atomic.Bool
	harm := func(p []byte) int { p[len(p)/2] ^= 1; return len(p) }
	wrap := func(t net.Conn) net.Conn { return &harmful{Conn: t, done: &done, harm: harm} }
	status, _, stderr := outcome(t, wrap, "-for", "1s", "-sessions", "8", "-cuts", "0", "-suites", "noise")
	require.True(t, done.Load(), "no harm was done")
	require.Zero(t, status, stderr)
}

func TestWrongFlags(t *testing.T) {
	for _, args := range [][]string{
		{"-for", "0s"},
		{"-for", "soon"},
		{"-sessions", "0"},
		{"-sessions", "1000000"},
		{"-suites", "noise,rot13"},
		{"-suites", ""},
		{"-cuts", "-1"},
		{"-cuts", "0", "-cuts-at-least", "1"},
		{"-liveness", "10ms"},
		{"-restart", "-1s"},
		{"now"},
	} {
		var out, errs bytes.Buffer
		require.Equal(t, 2, run(t.Context(), args, &out, &errs, nil), "%v", args)
		require.NotEmpty(t, errs.String())
	}
}
