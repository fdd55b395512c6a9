package main

import "net"

// moved reports whether a connection to the remote address would begin at another
// local address now than at local. Nothing is sent to find out.
func moved(local, remote net.Addr) bool {
	l, ok := local.(*net.TCPAddr)
	if !ok {
		return false
	}
	c, err := net.Dial("udp", remote.String())
	if err != nil {
		return false // no way there at present: nothing to move to
	}
	defer c.Close()
	now, ok := c.LocalAddr().(*net.UDPAddr)
	return ok && !now.IP.Equal(l.IP)
}
