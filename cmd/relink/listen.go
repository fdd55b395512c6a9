package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/relink-go/relink/proxy"
)

// listenAll opens all of the addresses, or none.
func listenAll(addresses []string) (_ []net.Listener, err error) {
	var opened []net.Listener
	defer func() {
		if err != nil {
			for _, l := range opened {
				_ = l.Close()
			}
		}
	}()
	for _, a := range addresses {
		l, err := listenOne(a)
		if err != nil {
			return nil, err
		}
		opened = append(opened, l)
	}
	return opened, nil
}

func listenOne(a string) (net.Listener, error) {
	network, address, err := proxy.SplitAddress(a)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen(network, address)
	if network == "unix" && errors.Is(err, syscall.EADDRINUSE) && abandoned(address) {
		if err := os.Remove(address); err != nil {
			return nil, err
		}
		l, err = net.Listen(network, address)
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%w: another process listens there", err)
	}
	return l, err
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
