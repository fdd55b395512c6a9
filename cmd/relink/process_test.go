package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
)

// asCommand makes the test's binary the command.
const asCommand = "RELINK_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	os.Exit(m.Run())
}

// patience is for what takes milliseconds on a machine that has nothing else to do.
const patience = time.Minute

// A process is the command running.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	exited chan struct{}

	mu   sync.Mutex // guards log
	cond *sync.Cond
	log  bytes.Buffer // its standard error
}

func execute(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	return cmd
}

// start starts the command, and kills it at the end of the test.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startCommand(t, execute(t, args...))
}

func startCommand(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, exited: make(chan struct{})}
	p.cond = sync.NewCond(&p.mu)
	stderr, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	go func() {
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			p.mu.Lock()
			p.log.WriteString(lines.Text() + "\n")
			p.cond.Broadcast()
			p.mu.Unlock()
		}
		_ = p.cmd.Wait()
		close(p.exited)
		p.cond.Broadcast()
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("relink %s:\n%s", strings.Join(cmd.Args[1:], " "), p.logged())
		}
	})
	return p
}

func (p *process) logged() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// await waits until the log matches, and returns the first match's groups.
func (p *process) await(pattern string) []string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	late := time.AfterFunc(patience, p.cond.Broadcast)
	defer late.Stop()
	end := time.Now().Add(patience)
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if m := re.FindStringSubmatch(p.log.String()); m != nil {
			return m
		}
		if !time.Now().Before(end) || p.hasExited() {
			p.t.Fatalf("no %q in the log:\n%s", pattern, p.log.String())
		}
		p.cond.Wait()
	}
}

func (p *process) hasExited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// address is where it listens.
func (p *process) address() string {
	p.t.Helper()
	return p.await(`msg=listening address=(\S+)`)[1]
}

// wait waits until it has ended, and returns its status.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatal("the process does not end")
		return 0
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(s))
}

// run runs the command to its end.
func run(t *testing.T, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	cmd := execute(t, args...)
	var out, errOut bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errOut
	stuck := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer stuck.Stop()
	err := cmd.Run()
	if err != nil {
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errOut.String()
}

// newKey makes a key file with the command.
func newKey(t *testing.T) (file, public string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "server.key")
	status, out, stderr := run(t, "", "keygen", "-out", file)
	require.Zero(t, status, stderr)
	public = strings.TrimSpace(out)
	_, err := relink.ParsePublicKey(public)
	require.NoError(t, err)
	return file, public
}

// An echo is a server that knows nothing of relink.
func echo(t *testing.T, network, address string) string {
	t.Helper()
	return serverOf(t, network, address, func(c net.Conn) { _, _ = io.Copy(c, c) })
}

func serverOf(t *testing.T, network, at string, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen(network, at)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return carrier{scheme: l.Addr().Network()}.at(l.Addr()).String()
}

// dial connects to a process.
func dial(t *testing.T, network, address string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	return c
}

// requireEcho requires that what is sent comes back.
func requireEcho(t *testing.T, c net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(c, text)
	require.NoError(t, err)
	got := make([]byte, len(text))
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, text, string(got))
}
