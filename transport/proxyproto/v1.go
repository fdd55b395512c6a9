package proxyproto

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// signatureV1 begins a header of version 1, which is a line of text:
//
//	PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n
var signatureV1 = []byte("PROXY ")

// longestV1 is the longest line, its end included, that the protocol allows.
const longestV1 = 107

func isV1(b []byte) bool { return bytes.HasPrefix(b, signatureV1) }

// missingV1 counts what a line needs at least: its fields and its end. So a few
// reads are enough, and none takes a byte too many.
func missingV1(b []byte) (int, error) {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return 0, nil
	}
	if len(b) >= longestV1 {
		return 0, fmt.Errorf("%w: a line of version 1 has at most %d bytes", ErrHeaderTooLong, longestV1)
	}
	if len(b) < shortest {
		return shortest - len(b), nil
	}
	more := len("\r\n")
	if b[len(b)-1] == '\r' {
		more = len("\n")
	} else if bytes.HasPrefix(b, []byte("PROXY TCP")) {
		const fields = 6
		if spaces := bytes.Count(b, []byte(" ")); spaces < fields-1 {
			more += (fields - 1 - spaces) * len(" x")
		}
	}
	return min(more, longestV1-len(b)), nil
}

func parseV1(b []byte) (*Header, error) {
	line, ok := strings.CutSuffix(string(b), "\r\n")
	if !ok {
		return nil, fmt.Errorf("%w: the line %q does not end in CR LF", ErrInvalidHeader, b)
	}
	fields := strings.Split(line, " ")
	h := &Header{Version: 1}
	if fields[1] == "UNKNOWN" {
		return h, nil // what follows is to be ignored
	}
	if fields[1] != "TCP4" && fields[1] != "TCP6" || len(fields) != 6 {
		return nil, fmt.Errorf("%w: %q is neither UNKNOWN nor TCP4 or TCP6 with two addresses and two ports", ErrInvalidHeader, line)
	}
	source, err := parseV1Addr(fields[1], fields[2], fields[4])
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ErrInvalidHeader, line, err)
	}
	destination, err := parseV1Addr(fields[1], fields[3], fields[5])
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ErrInvalidHeader, line, err)
	}
	h.Source, h.Destination = source, destination
	return h, nil
}

func parseV1Addr(family, host, port string) (*net.TCPAddr, error) {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return nil, err
	}
	if ip.Is4() != (family == "TCP4") || ip.Zone() != "" {
		return nil, fmt.Errorf("%v is no address of %s", ip, family)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != port {
		return nil, fmt.Errorf("%q is no port", port)
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, uint16(n))), nil
}

func (h *Header) appendV1(b []byte) ([]byte, error) {
	if len(h.TLVs) > 0 {
		return nil, fmt.Errorf("proxyproto: version 1 has no TLVs: use version 2")
	}
	if !h.hasAddresses() {
		return append(b, "PROXY UNKNOWN\r\n"...), nil
	}
	source, ok1 := h.Source.(*net.TCPAddr)
	destination, ok2 := h.Destination.(*net.TCPAddr)
	if !ok1 || !ok2 {
		return nil, fmt.Errorf("proxyproto: version 1 has addresses of TCP only, not %v and %v: use version 2", h.Source, h.Destination)
	}
	from, to, err := addrPorts(source.AddrPort(), destination.AddrPort())
	if err != nil {
		return nil, err
	}
	family := "TCP6"
	if from.Addr().Is4() {
		family = "TCP4"
	}
	return fmt.Appendf(b, "PROXY %s %v %v %d %d\r\n", family, from.Addr(), to.Addr(), from.Port(), to.Port()), nil
}

// addrPorts returns two addresses of one family: IPv4 if both are, else IPv6.
// Zones mean nothing on another machine.
func addrPorts(a, b netip.AddrPort) (netip.AddrPort, netip.AddrPort, error) {
	x, y := a.Addr().Unmap().WithZone(""), b.Addr().Unmap().WithZone("")
	if !x.IsValid() || !y.IsValid() {
		return a, b, fmt.Errorf("proxyproto: a header needs two IP addresses, not %v and %v", a.Addr(), b.Addr())
	}
	if x.Is4() != y.Is4() {
		x, y = netip.AddrFrom16(x.As16()), netip.AddrFrom16(y.As16())
	}
	return netip.AddrPortFrom(x, a.Port()), netip.AddrPortFrom(y, b.Port()), nil
}
