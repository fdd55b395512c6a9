package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A mobile is two network namespaces with a cable between them: a client whose address can change, and
// a server.
type mobile struct {
	t              *testing.T
	client, server string // the namespaces
	cable          string
	address        int // the client's, in its last byte
}

func newMobile(t *testing.T) *mobile {
	ip := backend(t, "ip", "iproute2", "/sbin/ip")
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	m := &mobile{t: t, client: fmt.Sprintf("relink-c%d", os.Getpid()), server: fmt.Sprintf("relink-s%d", os.Getpid()), cable: fmt.Sprintf("rl%d", os.Getpid())}
	do := func(args string) { m.run(ip, strings.Fields(args)...) }
	for _, name := range []string{m.client, m.server} {
		do("netns add " + name)
		t.Cleanup(func() { _ = exec.Command(ip, "netns", "del", name).Run() })
		do("-n " + name + " link set lo up")
	}
	do(fmt.Sprintf("link add %sc netns %s type veth peer name %ss netns %s", m.cable, m.client, m.cable, m.server))
	do(fmt.Sprintf("-n %s addr add 10.77.0.1/24 dev %ss", m.server, m.cable))
	do(fmt.Sprintf("-n %s link set %ss up", m.server, m.cable))
	do(fmt.Sprintf("-n %s link set %sc up", m.client, m.cable))
	m.move()
	return m
}

func (m *mobile) run(program string, args ...string) {
	m.t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	require.NoError(m.t, err, "%v: %s", args, out)
}

// move gives the client another address in place of the one that it has.
func (m *mobile) move() {
	m.t.Helper()
	link := m.cable + "c"
	m.run("ip", "-n", m.client, "addr", "flush", "dev", link)
	m.address++
	m.run("ip", "-n", m.client, "addr", "add", fmt.Sprintf("10.77.0.%d/24", m.address+1), "dev", link)
}

// in is a command in a namespace.
func in(namespace string, cmd *exec.Cmd) *exec.Cmd {
	inside := exec.Command("ip", append([]string{"netns", "exec", namespace, cmd.Path}, cmd.Args[1:]...)...)
	inside.Env = cmd.Env
	return inside
}

// openSSH starts sshd and relink before it, and returns the options with which ssh and scp come there,
// and the file with the log of what carries them.
func (m *mobile) openSSH() (options []string, log string) {
	t := m.t
	sshd := backend(t, "sshd", "openssh-server")
	backend(t, "ssh", "openssh-client")
	dir := t.TempDir()
	for _, name := range []string{"host", "user"} {
		m.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, name))
	}
	require.NoError(t, os.MkdirAll("/run/sshd", 0o755))
	config := fmt.Sprintf("Port 2222\nListenAddress 127.0.0.1\nHostKey %[1]s/host\nAuthorizedKeysFile %[1]s/user.pub\nPidFile none\nUsePAM no\nStrictModes no\nPermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\n", dir)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "sshd_config"), []byte(config), 0o600))
	var said strings.Builder
	daemon := in(m.server, exec.Command(sshd, "-D", "-e", "-f", filepath.Join(dir, "sshd_config")))
	daemon.Stderr = &said
	require.NoError(t, daemon.Start())
	t.Cleanup(func() {
		_ = daemon.Process.Kill()
		_ = daemon.Wait()
		if t.Failed() {
			t.Logf("sshd:\n%s", said.String())
		}
	})
	key, public := newKey(t)
	server := startCommand(t, in(m.server, execute(t, "serve", "-listen", "10.77.0.1:7000", "-to", "127.0.0.1:2222", "-key", key)))
	server.address()
	self, err := os.Executable()
	require.NoError(t, err)
	log = filepath.Join(dir, "connect.log")
	return []string{
		"-o", fmt.Sprintf("ProxyCommand=env %s=1 %s connect -stdio -v -to 10.77.0.1:7000 -server-key %s 2>>%s", asCommand, self, public, log),
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
		"-o", "LogLevel=ERROR", "-o", "ConnectionAttempts=10", "-i", filepath.Join(dir, "user"), "-F", "none",
	}, log
}

// scp copies 200 MB while the client's address changes again and again, and a shell goes on after a change. The
// statuses are ssh's.
func TestOpenSSH(t *testing.T) {
	m := newMobile(t)
	options, log := m.openSSH()
	dir := t.TempDir()

	// A shell with a terminal.
	shell := in(m.client, exec.Command("ssh", append(options, "-tt", "root@relink", "/bin/sh")...))
	stdin, err := shell.StdinPipe()
	require.NoError(t, err)
	stdout, err := shell.StdoutPipe()
	require.NoError(t, err)
	var complaints strings.Builder
	shell.Stderr = &complaints
	require.NoError(t, shell.Start())
	stuck := time.AfterFunc(patience, func() { _ = shell.Process.Kill() })
	defer stuck.Stop()
	lines := bufio.NewScanner(stdout)
	var heard strings.Builder
	says := func(command, want string) {
		t.Helper()
		_, err := io.WriteString(stdin, command+"\n")
		require.NoError(t, err)
		for lines.Scan() {
			heard.WriteString(lines.Text() + "\n")
			if strings.TrimPrefix(strings.TrimSpace(lines.Text()), "# ") == want { // behind the prompt, perhaps
				return
			}
		}
		t.Fatalf("no %q: %v\n%s%s", want, lines.Err(), heard.String(), complaints.String())
	}
	says("echo $((41+1))", "42")
	for i := range 3 {
		m.move()
		says(fmt.Sprintf("echo $((1000+%d))", i), fmt.Sprint(1000+i))
	}
	_, err = io.WriteString(stdin, "exit 7\n")
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, stdout)
	_ = shell.Wait()
	require.Equal(t, 7, shell.ProcessState.ExitCode(), complaints.String())

	// A large file.
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	sum := sha256.New()
	f, err := os.Create(from)
	require.NoError(t, err)
	const size = 200 << 20
	_, err = io.CopyN(io.MultiWriter(f, sum), rand.NewChaCha8([32]byte{2}), size)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	copying := in(m.client, exec.Command("scp", append(options, "-q", from, "root@relink:"+to)...))
	copying.Stderr = &complaints
	require.NoError(t, copying.Start())
	limit := time.AfterFunc(4*time.Minute, func() { _ = copying.Process.Kill() })
	defer limit.Stop()
	for _, part := range []int64{size / 10, size / 3, size / 2, size * 3 / 4} { // when so much has arrived
		for {
			info, err := os.Stat(to)
			if err == nil && info.Size() >= part {
				break
			}
			require.True(t, copying.ProcessState == nil, complaints.String())
			time.Sleep(5 * time.Millisecond)
		}
		m.move()
	}
	require.NoError(t, copying.Wait(), complaints.String())
	got := sha256.New()
	f, err = os.Open(to)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	_, err = io.Copy(got, f)
	require.NoError(t, err)
	require.Equal(t, sum.Sum(nil), got.Sum(nil))
	carried, err := os.ReadFile(log)
	require.NoError(t, err)
	require.GreaterOrEqual(t, strings.Count(string(carried), "resumed"), 7, "each change was noticed:\n%s", carried)

	// Nobody there.
	nowhere, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, nowhere.Close())
	_, public := newKey(t)
	self, err := os.Executable()
	require.NoError(t, err)
	gone := exec.Command("ssh", "-F", "none", "-o", "BatchMode=yes", "-o", fmt.Sprintf("ProxyCommand=env %s=1 %s connect -stdio -to %s -server-key %s", asCommand, self, nowhere.Addr(), public), "root@relink", "true")
	_ = gone.Run()
	require.Equal(t, exitConnection, gone.ProcessState.ExitCode())
}
