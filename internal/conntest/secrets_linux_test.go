package conntest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/noise"
)

// Secrets that are of no more use are nowhere in the server's memory: not those that resumes
// have replaced, nor the keys of links that are gone, nor, once nobody is to be told how it
// has ended, the last secret of a session that is over. The client is a process of its
// own, which tells what to look for inverted, so that the server's has it from
// nowhere else.
func TestNothingOfReplacedSecretsIsLeft(t *testing.T) {
	if s := os.Getenv("RELINK_SECRETS_SERVER"); s != "" {
		tellSecrets(t, s, os.Getenv("RELINK_SECRETS_KEY"))
		return
	}
	if raceEnabled {
		t.Skip("the race detector's shadow of the memory is too large to search")
	}
	if runtime.GOARCH != "amd64" {
		t.Skip("stacks are told from other memory by addresses of code, which was tried on amd64 only; with words of 32 bits numbers look the same")
	}
	key := relink.GenerateKey()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l, err := relink.NewListener(inner, relink.ListenConfig{Suites: []relink.ServerSuite{relink.NoiseServer{Keys: []relink.PrivateKey{key}}}})
	require.NoError(t, err)
	defer l.Close()
	accepted := make(chan *relink.Conn, 1)
	go func() {
		c, err := l.AcceptConn()
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
		accepted <- c
	}()
	exe, err := os.Executable()
	require.NoError(t, err)
	child := exec.CommandContext(t.Context(), exe, "-test.run=^"+t.Name()+"$", "-test.timeout=2m")
	child.Env = append(os.Environ(), "RELINK_SECRETS_SERVER="+inner.Addr().String(), "RELINK_SECRETS_KEY="+key.PublicKey().String())
	child.Stderr = os.Stderr
	out, err := child.Output()
	require.NoError(t, err)
	require.Len(t, out, (1+5+2*6)*32)
	last, others := out[:32], out[32:]
	server := <-accepted
	<-server.Done()
	require.Positive(t, occurrences(t, last, true), "the tombstone answers with it")
	require.Eventually(t, func() bool { return occurrences(t, others, false) == 0 }, time.Minute, time.Millisecond)
	require.NoError(t, l.Close())
	require.Eventually(t, func() bool { return occurrences(t, last, false) == 0 }, time.Minute, time.Millisecond)
	runtime.KeepAlive(server)
}

// tellSecrets is the client. It writes the last secret, those that were replaced, and the
// keys of both directions of all links, each inverted.
func tellSecrets(t *testing.T, address, key string) {
	public, err := noise.ParsePublicKey(key)
	require.NoError(t, err)
	p, err := noise.New(noise.Options{PinnedKeys: []noise.PublicKey{public}})
	require.NoError(t, err)
	w := &tap{Configurable: p, seen: make(map[trafficKey]bool), sealed: make(map[sealedWith]bool)}
	resumed := make(chan struct{}, 10)
	d := relink.Dialer{Suite: Spoken{w}, Config: relink.Config{OnEvent: func(e relink.Event) {
		if e.Kind == relink.EventResumed {
			resumed <- struct{}{}
		}
	}}}
	c, err := d.DialConn(context.Background(), "tcp", address)
	require.NoError(t, err)
	inverted := func(b []byte) []byte {
		for i := range b {
			b[i] = ^b[i]
		}
		return b
	}
	var replaced, links []byte
	for range 5 {
		_, err := c.Write(Data(100))
		require.NoError(t, err)
		require.NoError(t, c.Flush(context.Background()))
		secret := secretOf(w.sessions[0])
		replaced = append(replaced, inverted(secret[:])...)
		require.True(t, c.Cut())
		<-resumed
	}
	last := secretOf(w.sessions[0])
	for _, k := range w.keys {
		links = append(links, inverted(k[:])...)
	}
	require.NoError(t, c.CloseContext(context.Background()))
	for _, b := range [][]byte{inverted(last[:]), replaced, links} {
		_, _ = os.Stdout.Write(b)
	}
	os.Exit(0) // before the test says that it has passed
}

// occurrences counts the places in this process's memory where the inverse of one of the
// secrets is, each of 32 bytes, after collections.
//
// Those on the stacks of goroutines, which nobody can overwrite (docs/adr/0046), count only on
// demand. What shows a stack is an address of code close by.
func occurrences(t *testing.T, inverted []byte, stacks bool) (n int) {
	runtime.GC()
	runtime.GC() // what the first has found to be of no use is overwritten
	maps, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	mem, err := os.Open("/proc/self/mem")
	require.NoError(t, err)
	defer func() { _ = mem.Close() }()
	buf := make([]byte, 1<<20)
	defer clear(buf)
	for line := range bytes.Lines(maps) {
		var from, to uint64
		var access string
		if k, _ := fmt.Sscanf(string(line), "%x-%x %s", &from, &to, &access); k < 3 || access[:2] != "rw" {
			continue
		}
		for at := from; at < to; at += uint64(len(buf) - 512) {
			k, err := mem.ReadAt(buf[:min(uint64(len(buf)), to-at)], int64(at))
			if k == 0 && err != nil {
				break
			}
			for s := inverted; len(s) > 0; s = s[32:] {
				n += occurrencesIn(buf[:k], s[:32], stacks)
			}
		}
	}
	return n
}

func occurrencesIn(b, inverted []byte, stacks bool) (n int) {
	first := ^inverted[0]
	for at := 0; ; at++ {
		i := bytes.IndexByte(b[at:], first)
		if at += i; i < 0 || at+len(inverted) > len(b) {
			return n
		}
		same := true
		for k := 0; same && k < len(inverted); k++ {
			same = b[at+k] == ^inverted[k]
		}
		if same && (stacks || !onStack(b[:min(at+160, len(b))], max(at-128, 0))) {
			n++
		}
	}
}

// onStack looks for the address of an instruction in b, from an offset on.
func onStack(b []byte, from int) bool {
	for at := (from + 7) &^ 7; at+8 <= len(b); at += 8 {
		if word := uintptr(binary.NativeEndian.Uint64(b[at:])); runtime.FuncForPC(word) != nil {
			return true
		}
	}
	return false
}
