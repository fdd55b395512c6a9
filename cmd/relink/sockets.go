package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// Sockets are those that serve listens on: its own, and those that it was given.
type sockets struct {
	given []*given
	gates []*gate // that are open
}

// A given socket was opened by systemd, or by the process before.
type given struct {
	socket
	name    string // systemd's
	carrier string // as the process before was configured, or empty
	systemd bool   // systemd has opened it
	taken   bool
}

// listen returns the socket of a carrier that is one of streams. The name is that of a
// socket of systemd's, or empty.
func (s *sockets) listen(c carrier, name string) (*gate, error) {
	l, systemd, err := s.find(c, name)
	if err != nil {
		return nil, err
	}
	if l == nil {
		own, err := listenStreams(c)
		if err != nil {
			return nil, inUse(err)
		}
		l = own.(socket) // both kinds are
	}
	g := newGate(l, c)
	g.systemd = systemd
	s.gates = append(s.gates, g)
	return g, nil
}

// find returns the given socket for a carrier, if there is one.
func (s *sockets) find(c carrier, name string) (l socket, systemd bool, err error) {
	for _, g := range s.given {
		fits := g.carrier == socketName(c)
		if g.carrier == "" {
			fits = name != "" && g.name == name || name == "" && sameSocket(g.Addr(), c)
		}
		if fits && !g.taken {
			g.taken = true
			return g.socket, g.systemd, nil
		}
	}
	if name != "" && !s.handedOver() {
		return nil, false, fmt.Errorf("%v: systemd has given no socket with the name %q: is there a FileDescriptorName= for it?", c, name)
	}
	return nil, false, nil
}

// handedOver reports whether the sockets are those of the process before.
func (s *sockets) handedOver() bool { return len(s.given) > 0 && s.given[0].carrier != "" }

// socketName is what a socket is found by that is handed over: what is spoken on it may
// be something else now.
func socketName(c carrier) string {
	if c.scheme == overUnix {
		return c.String()
	}
	return c.address
}

// sameSocket says whether a socket has the address that a carrier names.
func sameSocket(a net.Addr, c carrier) bool {
	switch a := a.(type) {
	case *net.UnixAddr:
		return c.scheme == overUnix && a.Name == c.address
	case *net.TCPAddr:
		host, port, err := net.SplitHostPort(c.address)
		if c.scheme == overUnix || err != nil || port != fmt.Sprint(a.Port) {
			return false
		}
		ip := net.ParseIP(host)
		return a.IP.Equal(ip) || a.IP.IsUnspecified() && (host == "" || ip.IsUnspecified()) || host == "localhost" && a.IP.IsLoopback()
	default:
		return false
	}
}

// settle closes what the process before had and this one does not want, and returns an error
// for a socket of systemd's that nothing uses: a mistake, and clients would wait there.
func (s *sockets) settle() error {
	var stray []string
	for _, g := range s.given {
		if g.taken {
			continue
		}
		if g.carrier == "" {
			stray = append(stray, fmt.Sprintf("%v (%s)", g.Addr(), g.name))
		}
		_ = g.Close()
	}
	if len(stray) > 0 {
		return errors.New("systemd has given sockets that nothing here listens on: " + strings.Join(stray, ", "))
	}
	return nil
}

func (s *sockets) each(do func(*gate)) {
	for _, g := range s.gates {
		do(g)
	}
}

// listenLocal opens a socket of this machine, as flags have it.
func (s *sockets) listenLocal(a string) (*gate, error) {
	c, err := parseLocal(a)
	if err != nil {
		return nil, err
	}
	return s.listen(c, "")
}

// listenPrivate opens a Unix socket that only this user can reach.
func (s *sockets) listenPrivate(path string) (*gate, error) {
	g, err := s.listen(carrier{scheme: overUnix, address: path}, "")
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	return g, err
}
