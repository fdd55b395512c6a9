package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// The environment's names. systemd's are those of sd_listen_fds(3).
const (
	envListenPID   = "LISTEN_PID"
	envListenFDs   = "LISTEN_FDS"
	envListenNames = "LISTEN_FDNAMES"
	envHandover    = "RELINK_HANDOVER_FD" // a descriptor that leads to the process before
	firstGiven     = 3
)

// activated returns the sockets that systemd has opened.
func activated() ([]*given, error) {
	if os.Getenv(envListenPID) != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.Atoi(os.Getenv(envListenFDs))
	if err != nil || n < 0 {
		return nil, fmt.Errorf("%s is %q, which is no number", envListenFDs, os.Getenv(envListenFDs))
	}
	var names []string
	if s := os.Getenv(envListenNames); s != "" {
		names = strings.Split(s, ":")
	}
	var all []*given
	for i := range n {
		name := ""
		if i < len(names) {
			name = names[i]
		}
		l, err := fileSocket(os.NewFile(uintptr(firstGiven+i), name))
		if err != nil {
			return nil, fmt.Errorf("the socket %d (%s) from systemd: %w", i+1, name, err)
		}
		all = append(all, &given{socket: l, name: name, systemd: true})
	}
	return all, nil
}

// fileSocket makes a listener of a descriptor, which it takes.
func fileSocket(f *os.File) (socket, error) {
	defer func() { _ = f.Close() }()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("it is no socket that listens for streams; those of UDP serve opens itself: %w", err)
	}
	s, ok := l.(socket)
	if !ok {
		_ = l.Close()
		return nil, errors.New("it is neither TCP nor a Unix socket")
	}
	return s, nil
}
