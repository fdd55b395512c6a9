package network

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// newRig builds a rig or skips the test where there can be none.
func newRig(t *testing.T, cfg RigConfig) *Rig {
	t.Helper()
	r, err := NewRig(cfg)
	if errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// connect returns a TCP connection through the rig.
func connect(t *testing.T, r *Rig) (client, server net.Conn) {
	t.Helper()
	l, err := r.Server.Listen("tcp", serverHost+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if client, err = r.Client.DialContext(ctx, "tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server
}

func TestRigHasItsRoundTrip(t *testing.T) {
	r := newRig(t, RigConfig{RoundTrip: 50 * time.Millisecond})
	client, server := connect(t, r)
	if host, _, _ := net.SplitHostPort(server.RemoteAddr().String()); host+"/24" != clientCIDR {
		t.Errorf("the client comes from %s", host)
	}
	go io.Copy(server, server) //nolint:errcheck // the client sees it
	start := time.Now()
	if _, err := client.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(client, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 50*time.Millisecond {
		t.Errorf("an echo took %v", took)
	}
}

func TestRouterTranslates(t *testing.T) {
	r := newRig(t, RigConfig{NAT: true})
	_, server := connect(t, r)
	if host, _, _ := net.SplitHostPort(server.RemoteAddr().String()); host+"/24" != routerCIDR {
		t.Errorf("the client seems to come from %s", host)
	}
}

// What is beyond the bucket's burst takes its time.
func TestNarrowLink(t *testing.T) {
	r := newRig(t, RigConfig{})
	client, server := connect(t, r)
	if err := narrow(r, nil); errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	const size = 125_000 // a second at 1 Mbit/s
	start := time.Now()
	go client.Write(make([]byte, size)) //nolint:errcheck // the server sees it
	if _, err := io.CopyN(io.Discard, server, size); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 700*time.Millisecond {
		t.Errorf("%d bytes took %v", size, took)
	}
}

// Nothing refers to the namespaces of a closed rig, so that the kernel removes
// them; after the end of the process there can be no reference anyway.
func TestRigLeavesNothing(t *testing.T) {
	before := namespaceFiles(t)
	r, err := NewRig(RigConfig{})
	if errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if during := namespaceFiles(t); during < before+3 {
		t.Fatalf("%d files of namespaces, and %d before", during, before)
	}
	r.Close()
	if after := namespaceFiles(t); after > before {
		t.Errorf("%d files of namespaces are open, and %d were before", after, before)
	}
}

// namespaceFiles counts this process's open files that are namespaces, TUN
// devices or netlink sockets' namespaces.
func namespaceFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range files {
		target, err := os.Readlink("/proc/self/fd/" + f.Name())
		if err == nil && (strings.HasPrefix(target, "net:[") || strings.HasSuffix(target, "/net/tun")) {
			n++
		}
	}
	return n
}
