package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// listenStreams opens the socket of a carrier that is one of streams.
func listenStreams(c carrier) (net.Listener, error) {
	if c.scheme != overUnix {
		return net.Listen("tcp", c.address)
	}
	l, err := net.Listen("unix", c.address)
	if errors.Is(err, syscall.EADDRINUSE) && abandoned(c.address) {
		if err := os.Remove(c.address); err != nil {
			return nil, err
		}
		l, err = net.Listen("unix", c.address)
	}
	return l, err
}

// listenLocal opens a socket of this machine, as flags have it.
func listenLocal(a string) (net.Listener, carrier, error) {
	c, err := parseLocal(a)
	if err != nil {
		return nil, c, err
	}
	l, err := listenStreams(c)
	if err != nil {
		return nil, c, inUse(err)
	}
	return l, c.at(l.Addr()), nil
}

// parseLocal is parseCarrier for what carries no sessions.
func parseLocal(a string) (carrier, error) {
	c, err := parseCarrier(a)
	if err == nil && c.scheme != overTCP && c.scheme != overUnix {
		err = fmt.Errorf("%s: only host:port or unix:/a/path can be here", a)
	}
	return c, err
}

// inUse says what an address in use means.
func inUse(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%w: another process listens there", err)
	}
	return err
}

// abandoned reports whether a Unix socket belongs to no process any more: one that was
// killed leaves its file.
func abandoned(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		_ = c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
