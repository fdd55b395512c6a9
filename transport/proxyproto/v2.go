package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"net"
	"net/netip"
	"strings"
)

// A header of version 2:
//
//	 0               12    13     14      16
//	+---------------+-----+------+-------+-----------+------+
//	| signature     | cmd |family|length | addresses | TLVs |
//	+---------------+-----+------+-------+-----------+------+
//
// length counts what follows it.
var signatureV2 = []byte("\r\n\r\n\x00\r\nQUIT\n")

const (
	fixedV2 = 16 // up to the addresses

	cmdLocal = 0x20
	cmdProxy = 0x21

	// Families: the upper half is that of the addresses, the lower one that of
	// the transport.
	familyUnspec   = 0x00
	familyTCP4     = 0x11
	familyUDP4     = 0x12
	familyTCP6     = 0x21
	familyUDP6     = 0x22
	familyUnix     = 0x31
	familyUnixgram = 0x32

	unixName = 108 // bytes of the name of a Unix socket
)

func isV2(b []byte) bool { return bytes.HasPrefix(b, signatureV2) }

func missingV2(b []byte) (int, error) {
	if len(b) < fixedV2 {
		return fixedV2 - len(b), nil
	}
	return max(0, fixedV2+int(binary.BigEndian.Uint16(b[14:]))-len(b)), nil
}

func parseV2(b []byte) (*Header, error) {
	h := &Header{Version: 2}
	switch b[12] {
	case cmdLocal:
		h.Local = true
		return h, nil // the rest is to be ignored
	case cmdProxy:
	default:
		return nil, fmt.Errorf("%w: version and command are %#02x", ErrInvalidHeader, b[12])
	}
	rest, err := h.parseAddresses(b[13], b[fixedV2:])
	if err != nil {
		return nil, err
	}
	for len(rest) > 0 {
		if len(rest) < 3 {
			return nil, fmt.Errorf("%w: a TLV is cut short", ErrInvalidHeader)
		}
		n := int(binary.BigEndian.Uint16(rest[1:]))
		if len(rest) < 3+n {
			return nil, fmt.Errorf("%w: the TLV of type %#02x says it has %d bytes, and %d are left", ErrInvalidHeader, rest[0], n, len(rest)-3)
		}
		t := TLV{Type: rest[0], Value: rest[3 : 3+n : 3+n]}
		if t.Type == TypeCRC32C {
			if err := verify(b, len(b)-len(rest)+3, n); err != nil {
				return nil, err
			}
		}
		h.TLVs = append(h.TLVs, t)
		rest = rest[3+n:]
	}
	return h, nil
}

// parseAddresses returns what comes behind the addresses.
func (h *Header) parseAddresses(family byte, b []byte) (rest []byte, err error) {
	var n int
	switch family {
	case familyUnspec:
		return b, nil
	case familyTCP4, familyUDP4:
		n = 2 * (4 + 2)
	case familyTCP6, familyUDP6:
		n = 2 * (16 + 2)
	case familyUnix, familyUnixgram:
		n = 2 * unixName
	default:
		return nil, fmt.Errorf("%w: there is no family %#02x", ErrInvalidHeader, family)
	}
	if len(b) < n {
		return nil, fmt.Errorf("%w: the addresses of family %#02x need %d bytes, and the header says %d", ErrInvalidHeader, family, n, len(b))
	}
	addresses, rest := b[:n], b[n:]
	switch family {
	case familyUnix:
		h.Source, h.Destination = unixAddr("unix", addresses[:unixName]), unixAddr("unix", addresses[unixName:])
	case familyUnixgram:
		h.Source, h.Destination = unixAddr("unixgram", addresses[:unixName]), unixAddr("unixgram", addresses[unixName:])
	case familyTCP4, familyTCP6:
		from, to := splitAddrPorts(addresses)
		h.Source, h.Destination = net.TCPAddrFromAddrPort(from), net.TCPAddrFromAddrPort(to)
	default:
		from, to := splitAddrPorts(addresses)
		h.Source, h.Destination = net.UDPAddrFromAddrPort(from), net.UDPAddrFromAddrPort(to)
	}
	return rest, nil
}

// splitAddrPorts takes two addresses and two ports apart.
func splitAddrPorts(b []byte) (from, to netip.AddrPort) {
	ip := (len(b) - 4) / 2
	a, _ := netip.AddrFromSlice(b[:ip])
	z, _ := netip.AddrFromSlice(b[ip : 2*ip])
	ports := b[2*ip:]
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(ports)), netip.AddrPortFrom(z, binary.BigEndian.Uint16(ports[2:]))
}

// unixAddr returns the address with a padded name. One in Linux's abstract name
// space begins with a zero, which package net writes as @.
func unixAddr(network string, b []byte) *net.UnixAddr {
	name := string(b)
	if abstract, ok := strings.CutPrefix(name, "\x00"); ok && strings.Trim(abstract, "\x00") != "" {
		return &net.UnixAddr{Net: network, Name: "@" + strings.TrimRight(abstract, "\x00")}
	}
	name, _, _ = strings.Cut(name, "\x00")
	return &net.UnixAddr{Net: network, Name: name}
}

func appendUnix(b []byte, a *net.UnixAddr) ([]byte, error) {
	name := a.Name
	if abstract, ok := strings.CutPrefix(name, "@"); ok && abstract != "" {
		name = "\x00" + abstract
	}
	if len(name) > unixName {
		return nil, fmt.Errorf("proxyproto: the name %q has %d bytes, and a header has room for %d", a.Name, len(name), unixName)
	}
	return append(append(b, name...), make([]byte, unixName-len(name))...), nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum returns that of a header whose own place for it, 4 bytes at i, counts
// as zeros.
func checksum(b []byte, i int) uint32 {
	sum := crc32.Update(0, castagnoli, b[:i])
	sum = crc32.Update(sum, castagnoli, []byte{0, 0, 0, 0})
	return crc32.Update(sum, castagnoli, b[i+4:])
}

// verify checks a checksum of n bytes at i.
func verify(b []byte, i, n int) error {
	if n != 4 {
		return fmt.Errorf("%w: a checksum of %d bytes", ErrInvalidHeader, n)
	}
	if got, want := checksum(b, i), binary.BigEndian.Uint32(b[i:]); got != want {
		return fmt.Errorf("%w: it is %#08x, and the header says %#08x", ErrChecksum, got, want)
	}
	return nil
}

func (h *Header) appendV2(b []byte) ([]byte, error) {
	if h.Local {
		if len(h.TLVs) > 0 {
			return nil, errors.New("proxyproto: a local header has no TLVs: nobody would read them")
		}
		return append(append(b, signatureV2...), cmdLocal, familyUnspec, 0, 0), nil
	}
	start := len(b)
	b = append(append(b, signatureV2...), cmdProxy, familyUnspec, 0, 0)
	var err error
	if b, err = h.appendAddresses(b, start+13); err != nil {
		return nil, err
	}
	sum := -1
	for _, t := range h.TLVs {
		value := t.Value
		if t.Type == TypeCRC32C {
			if sum >= 0 {
				return nil, errors.New("proxyproto: a header has one checksum at most")
			}
			sum, value = len(b)+3, make([]byte, 4)
		}
		if len(value) > math.MaxUint16 {
			return nil, fmt.Errorf("proxyproto: the TLV of type %#02x has %d bytes, and a header has room for %d", t.Type, len(value), math.MaxUint16)
		}
		b = append(b, t.Type)
		b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
		b = append(b, value...)
	}
	n := len(b) - start - fixedV2
	if n > math.MaxUint16 {
		return nil, fmt.Errorf("proxyproto: addresses and TLVs have %d bytes, and a header has room for %d", n, math.MaxUint16)
	}
	binary.BigEndian.PutUint16(b[start+14:], uint16(n))
	if sum >= 0 {
		binary.BigEndian.PutUint32(b[sum:], checksum(b[start:], sum-start))
	}
	return b, nil
}

// appendAddresses sets the family, whose place is at i, as well.
func (h *Header) appendAddresses(b []byte, i int) ([]byte, error) {
	mixed := fmt.Errorf("proxyproto: the addresses %v and %v are not of one kind: TCP, UDP or Unix", h.Source, h.Destination)
	switch source := h.Source.(type) {
	case nil:
		return b, nil
	case *net.TCPAddr:
		destination, ok := h.Destination.(*net.TCPAddr)
		if !ok {
			return nil, mixed
		}
		return appendIP(b, i, familyTCP4, familyTCP6, source.AddrPort(), destination.AddrPort())
	case *net.UDPAddr:
		destination, ok := h.Destination.(*net.UDPAddr)
		if !ok {
			return nil, mixed
		}
		return appendIP(b, i, familyUDP4, familyUDP6, source.AddrPort(), destination.AddrPort())
	case *net.UnixAddr:
		destination, ok := h.Destination.(*net.UnixAddr)
		if !ok {
			return nil, mixed
		}
		if b[i] = familyUnix; source.Net == "unixgram" {
			b[i] = familyUnixgram
		}
		b, err := appendUnix(b, source)
		if err != nil {
			return nil, err
		}
		return appendUnix(b, destination)
	default:
		return nil, mixed
	}
}

func appendIP(b []byte, i int, family4, family6 byte, source, destination netip.AddrPort) ([]byte, error) {
	from, to, err := addrPorts(source, destination)
	if err != nil {
		return nil, err
	}
	if b[i] = family6; from.Addr().Is4() {
		b[i] = family4
	}
	b = append(b, from.Addr().AsSlice()...)
	b = append(b, to.Addr().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, from.Port())
	return binary.BigEndian.AppendUint16(b, to.Port()), nil
}
