//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
)

// A new process that cannot serve changes nothing: neither one that cannot be started, nor one whose
// configuration is wrong, nor one that fails when the sockets are its own already.
func TestFailedRestart(t *testing.T) {
	key, public := newKey(t)
	pub, err := relink.ParsePublicKey(public)
	require.NoError(t, err)
	dir := t.TempDir()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = busy.Close() })
	config := fmt.Sprintf("listen: [%%s]\nkeys: [%q]\nupstreams: {a: {to: [%q]}}\ndefault: a\nhandover: handover\n", key, echo(t, "tcp", "127.0.0.1:0"))
	const addresses = `"127.0.0.1:0", "quic://127.0.0.1:0"`
	file, program := filepath.Join(dir, "relink.yaml"), filepath.Join(dir, "relink")
	write := func(listen string) {
		require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, config, listen), 0o600))
	}
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(self, program))
	write(addresses)
	p := startProgram(t, program, "serve", "-config", file)
	address := p.address()

	dialer := relink.Dialer{Suite: relink.NoiseClient{ServerKeys: []relink.PublicKey{pub}}}
	c, err := dialer.DialConn(context.Background(), "tcp", address)
	require.NoError(t, err)
	defer func() { _ = c.Abort() }()
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	goesOn := func(why string) {
		t.Helper()
		p.await(`(?s)not replaced, serving goes on.*` + why)
		c.NetworkChanged()
		requireEcho(t, c, "the one that was there")
		next, err := dialer.DialConn(context.Background(), "tcp", address)
		require.NoError(t, err)
		require.NoError(t, next.SetDeadline(time.Now().Add(patience)))
		requireEcho(t, next, "and another one")
		_ = next.Close()
	}

	write(`"nonsense"`)
	p.signal(restartSignal)
	goesOn("has ended, or given up")

	write(addresses + fmt.Sprintf(", %q", busy.Addr()))
	p.signal(restartSignal)
	goesOn("another process listens there(?s:.*)has ended, or given up")
	quic := p.await(`msg=listening address=(quic:\S+)`)[1]
	status, out, stderr := run(t, "", "ping", "-to", quic, "-server-key", public, "-unverified")
	require.Zero(t, status, out+stderr)

	write(addresses)
	require.NoError(t, os.Remove(program))
	require.NoError(t, os.WriteFile(program, []byte("no program"), 0o700))
	p.signal(restartSignal)
	goesOn("exec format error|no such file|permission denied")

	// Whatever somebody says who comes to the socket.
	for _, nonsense := range []string{"", "GET / HTTP/1.1\r\n\r\n", "\x00\x00\x00\x02{}", "\x00\x00\x00\x1b" + `{"step":"serving","pid":1}  `, "\x00\x00\x00\x03\"no"} {
		conn := dial(t, "unix", filepath.Join(dir, "handover"))
		_, err := io.WriteString(conn, nonsense)
		require.NoError(t, err)
		require.NoError(t, conn.(*net.UnixConn).CloseWrite())
		_, _ = io.Copy(io.Discard, conn)
	}
	info, err := os.Stat(filepath.Join(dir, "handover"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	goesOn("")
	require.NotContains(t, p.logged(), "msg=replaced")
}

// startProgram is start with another program file.
func startProgram(t *testing.T, program string, args ...string) *process {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	return startCommand(t, cmd)
}

// Systemd opens the sockets, and is told what becomes of the process; after a restart that is another one.
func TestSystemd(t *testing.T) {
	if _, err := os.Stat("/proc/self"); err != nil {
		t.Skip("systemd is Linux's")
	}
	key, public := newKey(t)
	pub, err := relink.ParsePublicKey(public)
	require.NoError(t, err)
	dir := t.TempDir()
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: filepath.Join(dir, "notify")})
	require.NoError(t, err)
	t.Cleanup(func() { _ = told.Close() })
	hears := func(prefix string) string {
		t.Helper()
		b := make([]byte, 1000)
		require.NoError(t, told.SetReadDeadline(time.Now().Add(patience)))
		for {
			n, err := told.Read(b)
			require.NoError(t, err, prefix)
			if s := string(b[:n]); strings.HasPrefix(s, prefix) {
				return s
			}
		}
	}
	named, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	byAddress, err := net.Listen("unix", filepath.Join(dir, "socket"))
	require.NoError(t, err)
	file := filepath.Join(dir, "relink.yaml")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil,
		"listen: [{address: %q, socket: web}, %q]\nkeys: [%q]\nupstreams: {a: {to: [%q]}}\ndefault: a\n",
		":0", "unix:"+byAddress.Addr().String(), key, serverOf(t, "tcp", "127.0.0.1:0", echoUntilBye)), 0o600))

	p := startCommand(t, activatedCommand(t, dir, "web:other", []net.Listener{named, byAddress}, "serve", "-config", file))
	hears("READY=1")
	hears("WATCHDOG=1")
	dialer := relink.Dialer{Suite: relink.NoiseClient{ServerKeys: []relink.PublicKey{pub}}}
	var sessions []*relink.Conn
	for _, l := range []net.Listener{named, byAddress} {
		c, err := dialer.DialConn(context.Background(), l.Addr().Network(), l.Addr().String())
		require.NoError(t, err)
		require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
		requireEcho(t, c, "hello")
		sessions = append(sessions, c)
	}
	p.signal(syscall.SIGHUP)
	require.Regexp(t, `^RELOADING=1\nMONOTONIC_USEC=\d+$`, hears("RELOADING=1"))
	hears("READY=1")

	p.signal(restartSignal)
	pid, err := strconv.Atoi(strings.TrimPrefix(hears("MAINPID="), "MAINPID="))
	require.NoError(t, err)
	require.NotEqual(t, p.cmd.Process.Pid, pid)
	hears("READY=1")
	child, err := os.FindProcess(pid)
	require.NoError(t, err)
	t.Cleanup(func() { _ = child.Kill() })
	for _, c := range sessions {
		c.NetworkChanged()
		requireEcho(t, c, "and still")
		require.NoError(t, sayBye(c))
		_ = c.Close()
	}
	p.signal(syscall.SIGTERM)
	require.NoError(t, child.Signal(syscall.SIGTERM))
	hears("STOPPING=1")
	require.Zero(t, p.wait())
	_, err = os.Stat(byAddress.Addr().String())
	require.NoError(t, err, "it is systemd's")

	stray := startCommand(t, activatedCommand(t, dir, "web", []net.Listener{named, byAddress, listenTCP(t)}, "serve", "-config", file))
	require.Equal(t, exitFailed, stray.wait())
	require.Contains(t, stray.logged(), "sockets that nothing here listens on: 127.0.0.1")
	none := startCommand(t, activatedCommand(t, dir, "", nil, "serve", "-config", file))
	require.Equal(t, exitFailed, none.wait())
	require.Contains(t, none.logged(), `no socket with the name "web"`)
}

func listenTCP(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// activatedCommand is the command as systemd starts it with sockets.
func activatedCommand(t *testing.T, dir, names string, sockets []net.Listener, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, self}, args...)...)
	cmd.Env = append(os.Environ(), asCommand+"=1", "LISTEN_FDS="+strconv.Itoa(len(sockets)), "LISTEN_FDNAMES="+names,
		"NOTIFY_SOCKET="+filepath.Join(dir, "notify"), "WATCHDOG_USEC=200000")
	for _, l := range sockets {
		f, err := l.(interface{ File() (*os.File, error) }).File()
		require.NoError(t, err)
		t.Cleanup(func() { _ = f.Close() })
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	return cmd
}
