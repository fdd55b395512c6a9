package main

import (
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A network that comes up is noticed.
func TestWatchNetwork(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a network namespace of its own needs root")
	}
	changed := make(chan struct{}, 100)
	failed := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // it ends with the goroutine
		failed <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return err
			}
			if err := watchNetwork(t.Context(), func() { changed <- struct{}{} }); err != nil {
				return err
			}
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer func() { _ = unix.Close(fd) }()
			ifr, err := unix.NewIfreq("lo")
			if err != nil {
				return err
			}
			ifr.SetUint16(unix.IFF_UP)
			return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
		}()
	}()
	require.NoError(t, <-failed)
	select {
	case <-changed:
	case <-time.After(patience):
		t.Fatal("nobody was told")
	}
}

func TestMoved(t *testing.T) {
	remote := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	require.False(t, moved(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2}, remote))
	require.True(t, moved(&net.TCPAddr{IP: net.IPv4(10, 9, 8, 7), Port: 2}, remote))
	require.False(t, moved(&net.UnixAddr{Name: "x", Net: "unix"}, remote))
}
