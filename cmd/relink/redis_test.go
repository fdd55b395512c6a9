package main

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/faultnet"
)

// A real server, which counts: each command of 200 transactions is executed once, although
// every one of them is cut in the middle.
func TestRedis(t *testing.T) {
	redis := backend(t, "redis-server", "redis-server")
	dir := t.TempDir()
	socket := filepath.Join(dir, "redis")
	cmd := exec.Command(redis, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	stuck := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer stuck.Stop()
	ready := false
	for lines := bufio.NewScanner(out); !ready && lines.Scan(); {
		c, err := net.Dial("unix", socket) // the file is there before the last line of the log
		if ready = err == nil; ready {
			_ = c.Close()
		}
	}
	require.True(t, ready, "redis does not listen")

	key, public := newKey(t)
	server := start(t, "serve", "-listen", "127.0.0.1:0", "-to", "unix:"+socket, "-key", key)
	relay, err := faultnet.NewRelay(server.address())
	require.NoError(t, err)
	defer relay.Close()
	client := start(t, "connect", "-listen", "127.0.0.1:0", "-to", relay.Addr(), "-server-key", public)
	c := dial(t, "tcp", client.address())
	answers := bufio.NewReader(c)
	expect := func(lines ...string) {
		t.Helper()
		for _, want := range lines {
			got, err := answers.ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, want+"\r\n", got)
		}
	}
	for i := range 200 {
		fmt.Fprint(c, "MULTI\r\nINCR a\r\n")
		if i%2 == 0 { // while the answers are on their way, or after one
			expect("+OK")
		}
		relay.Cut([]faultnet.Kind{faultnet.Reset, faultnet.End, faultnet.ResetNow}[i%3])
		fmt.Fprint(c, "INCRBY b 2\r\nEXEC\r\n")
		if i%2 != 0 {
			expect("+OK")
		}
		expect("+QUEUED", "+QUEUED", "*2", fmt.Sprintf(":%d", i+1), fmt.Sprintf(":%d", 2*(i+1)))
	}
	require.GreaterOrEqual(t, relay.Accepted(), 100)
}
