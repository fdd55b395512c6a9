package proxyproto

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
)

// A Header says whose connection it is that a proxy passes on.
type Header struct {
	// Version is 1 or 2. When a header is written, 0 means 2.
	Version int

	// Local says that the connection is the proxy's own, for instance to see
	// whether the server is there. It has no addresses and no TLVs. In version
	// 1 it is written as UNKNOWN.
	Local bool

	// Source and Destination are the addresses of the client and of what it
	// connected to. Both are a *net.TCPAddr, a *net.UDPAddr or a *net.UnixAddr
	// (in version 1 a *net.TCPAddr), or both are nil: the proxy does not say.
	Source, Destination net.Addr

	// TLVs are what else the proxy says, in its order. Version 2 only.
	TLVs []TLV
}

// A TLV is a value with a type.
type TLV struct {
	Type  byte
	Value []byte
}

// The types of TLVs that the protocol defines.
const (
	TypeALPN      byte = 0x01 // the protocol that TLS has settled on
	TypeAuthority byte = 0x02 // the host name that the client wants
	TypeCRC32C    byte = 0x03 // the checksum of the header; checked where it is read
	TypeNoOp      byte = 0x04 // padding
	TypeUniqueID  byte = 0x05 // of the connection, up to 128 bytes
	TypeSSL       byte = 0x20 // what is known of the client's TLS
	TypeNetNS     byte = 0x30 // the name of the network's name space
)

// TLV returns the value of the first TLV of a type, if there is one.
func (h *Header) TLV(typ byte) (value []byte, ok bool) {
	for _, t := range h.TLVs {
		if t.Type == typ {
			return t.Value, true
		}
	}
	return nil, false
}

// hasAddresses reports whether the addresses are to be used in place of the
// connection's own.
func (h *Header) hasAddresses() bool { return !h.Local && h.Source != nil }

// AppendBinary appends the header as it goes over the wire. The value of a TLV
// of the type [TypeCRC32C] is computed, whatever it is. It returns an error for
// what the version cannot say.
func (h *Header) AppendBinary(b []byte) ([]byte, error) {
	if (h.Source == nil) != (h.Destination == nil) {
		return nil, fmt.Errorf("proxyproto: a header has both addresses or none, not %v and %v", h.Source, h.Destination)
	}
	switch h.Version {
	case 0, 2:
		return h.appendV2(b)
	case 1:
		return h.appendV1(b)
	default:
		return nil, fmt.Errorf("proxyproto: there is no version %d of the PROXY protocol: use 1 or 2", h.Version)
	}
}

// shortest is the length of the shortest header, of either version.
const shortest = len("PROXY UNKNOWN\r\n")

// ReadHeader reads a header, and nothing behind it. limit bounds its length in
// bytes. The error is one of this package's, or wraps ErrInvalidHeader and what
// r has returned.
func ReadHeader(r io.Reader, limit int) (*Header, error) {
	var b []byte
	for {
		more, err := missing(b)
		if err != nil {
			return nil, err
		}
		if more == 0 {
			break
		}
		if len(b)+more > limit {
			return nil, fmt.Errorf("%w: it has at least %d bytes, and %d are accepted", ErrHeaderTooLong, len(b)+more, limit)
		}
		b = slices.Grow(b, more)
		n, err := r.Read(b[len(b) : len(b)+more])
		b = b[:len(b)+n]
		if err != nil && n < more {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("%w: after %d bytes: %w", ErrInvalidHeader, len(b), err)
		}
	}
	if isV2(b) {
		return parseV2(b)
	}
	return parseV1(b)
}

// missing returns how many bytes at least are missing from the header that
// begins with b.
func missing(b []byte) (int, error) {
	switch {
	case isV2(b):
		return missingV2(b)
	case isV1(b):
		return missingV1(b)
	case len(b) < shortest && (bytes.HasPrefix(signatureV2, b) || bytes.HasPrefix(signatureV1, b)):
		return shortest - len(b), nil
	default:
		return 0, fmt.Errorf("%w (it began with %q)", ErrNoHeader, b)
	}
}
