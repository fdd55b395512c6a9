package proxyproto_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/transport/proxyproto"
)

const signature = "0d0a0d0a000d0a515549540a"

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	return b
}

func tcp(t testing.TB, s string) net.Addr {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", s)
	require.NoError(t, err)
	return a
}

func udp(t testing.TB, s string) net.Addr {
	t.Helper()
	a, err := net.ResolveUDPAddr("udp", s)
	require.NoError(t, err)
	return a
}

// wires are headers and what they look like, written down from the
// specification.
func wires(t testing.TB) map[string]struct {
	wire   []byte
	header proxyproto.Header
} {
	type entry = struct {
		wire   []byte
		header proxyproto.Header
	}
	padded := func(s string) string { return hex.EncodeToString([]byte(s)) + strings.Repeat("00", 108-len(s)) }
	return map[string]entry{
		"v1 TCP4": {
			[]byte("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"),
			proxyproto.Header{Version: 1, Source: tcp(t, "192.0.2.1:56324"), Destination: tcp(t, "198.51.100.1:443")},
		},
		"v1 TCP4 shortest": {
			[]byte("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n"),
			proxyproto.Header{Version: 1, Source: tcp(t, "1.1.1.1:1"), Destination: tcp(t, "2.2.2.2:2")},
		},
		"v1 TCP6": {
			[]byte("PROXY TCP6 2001:db8::1 2001:db8::2 65535 0\r\n"),
			proxyproto.Header{Version: 1, Source: tcp(t, "[2001:db8::1]:65535"), Destination: tcp(t, "[2001:db8::2]:0")},
		},
		"v1 UNKNOWN": {[]byte("PROXY UNKNOWN\r\n"), proxyproto.Header{Version: 1}},
		"v2 local":   {unhex(t, signature+"20 00 0000"), proxyproto.Header{Version: 2, Local: true}},
		"v2 unspec":  {unhex(t, signature+"21 00 0000"), proxyproto.Header{Version: 2}},
		"v2 TCP4": {
			unhex(t, signature+"21 11 000c c0000201 c6336401 dc04 01bb"),
			proxyproto.Header{Version: 2, Source: tcp(t, "192.0.2.1:56324"), Destination: tcp(t, "198.51.100.1:443")},
		},
		"v2 UDP4": {
			unhex(t, signature+"21 12 000c c0000201 c6336401 dc04 01bb"),
			proxyproto.Header{Version: 2, Source: udp(t, "192.0.2.1:56324"), Destination: udp(t, "198.51.100.1:443")},
		},
		"v2 TCP6": {
			unhex(t, signature+"21 21 0024 20010db8000000000000000000000001 20010db8000000000000000000000002 0001 0002"),
			proxyproto.Header{Version: 2, Source: tcp(t, "[2001:db8::1]:1"), Destination: tcp(t, "[2001:db8::2]:2")},
		},
		"v2 UDP6": {
			unhex(t, signature+"21 22 0024 20010db8000000000000000000000001 20010db8000000000000000000000002 0001 0002"),
			proxyproto.Header{Version: 2, Source: udp(t, "[2001:db8::1]:1"), Destination: udp(t, "[2001:db8::2]:2")},
		},
		"v2 unix": {
			unhex(t, signature+"21 31 00d8"+padded("/run/a")+padded("\x00abstract")),
			proxyproto.Header{Version: 2, Source: &net.UnixAddr{Net: "unix", Name: "/run/a"}, Destination: &net.UnixAddr{Net: "unix", Name: "@abstract"}},
		},
		"v2 unixgram": {
			unhex(t, signature+"21 32 00d8"+padded("")+padded(strings.Repeat("x", 108))),
			proxyproto.Header{Version: 2, Source: &net.UnixAddr{Net: "unixgram"}, Destination: &net.UnixAddr{Net: "unixgram", Name: strings.Repeat("x", 108)}},
		},
		"v2 TLVs": {
			unhex(t, signature+"21 11 001b c0000201 c6336401 dc04 01bb 01 0002 6832 04 0000 ee 0004 61626364"),
			proxyproto.Header{
				Version: 2, Source: tcp(t, "192.0.2.1:56324"), Destination: tcp(t, "198.51.100.1:443"),
				TLVs: []proxyproto.TLV{{proxyproto.TypeALPN, []byte("h2")}, {proxyproto.TypeNoOp, []byte{}}, {0xee, []byte("abcd")}},
			},
		},
	}
}

func TestWire(t *testing.T) {
	for name, w := range wires(t) {
		t.Run(name, func(t *testing.T) {
			stream := append(bytes.Clone(w.wire), "the stream"...)
			for kind, r := range map[string]func(io.Reader) io.Reader{
				"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader,
				"in halves": iotest.HalfReader, "with its end": iotest.DataErrReader,
			} {
				from := r(bytes.NewReader(stream))
				h, err := proxyproto.ReadHeader(from, 4096)
				require.NoError(t, err, kind)
				requireSameHeader(t, &w.header, h)
				rest, err := io.ReadAll(from)
				require.NoError(t, err)
				require.Equal(t, "the stream", string(rest), kind)
			}
			wire, err := w.header.AppendBinary([]byte("before "))
			require.NoError(t, err)
			require.Equal(t, append([]byte("before "), w.wire...), wire)
		})
	}
}

func requireSameHeader(t *testing.T, want, got *proxyproto.Header) {
	t.Helper()
	text := func(a net.Addr) string {
		if a == nil {
			return ""
		}
		return a.Network() + " " + a.String()
	}
	require.Equal(t, want.Version, got.Version)
	require.Equal(t, want.Local, got.Local)
	require.Equal(t, text(want.Source), text(got.Source))
	require.Equal(t, text(want.Destination), text(got.Destination))
	require.Equal(t, want.TLVs, got.TLVs)
}

// Each header that is cut short anywhere is refused as such.
func TestTruncated(t *testing.T) {
	for name, w := range wires(t) {
		for n := range w.wire {
			_, err := proxyproto.ReadHeader(bytes.NewReader(w.wire[:n]), 4096)
			require.ErrorIs(t, err, proxyproto.ErrInvalidHeader, "%s after %d bytes", name, n)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		}
	}
}

func TestInvalid(t *testing.T) {
	v2 := func(s string) string { return string(unhex(t, signature+s)) }
	for name, c := range map[string]struct {
		wire string
		want error
	}{
		"nothing of it":                 {"GET / HTTP/1.1\r\n\r\n", proxyproto.ErrNoHeader},
		"the first byte":                {"\x16", proxyproto.ErrNoHeader},
		"almost v1":                     {"PROXI TCP4 ", proxyproto.ErrNoHeader},
		"almost v2":                     {"\r\n\r\n\x00\r\nQUIZ", proxyproto.ErrNoHeader},
		"v1 lower case":                 {"proxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n", proxyproto.ErrNoHeader},
		"v1 without CR":                 {"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n", proxyproto.ErrInvalidHeader},
		"v1 that never ends":            {"PROXY UNKNOWN " + strings.Repeat("x", 200), proxyproto.ErrHeaderTooLong},
		"v1 UDP":                        {"PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n", proxyproto.ErrInvalidHeader},
		"v1 with too few fields":        {"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n           ", proxyproto.ErrInvalidHeader},
		"v1 with too many fields":       {"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n", proxyproto.ErrInvalidHeader},
		"v1 with two spaces":            {"PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n", proxyproto.ErrInvalidHeader},
		"v1 with IPv6 in TCP4":          {"PROXY TCP4 ::1 2.2.2.2 1 2\r\n", proxyproto.ErrInvalidHeader},
		"v1 with IPv4 in TCP6":          {"PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n", proxyproto.ErrInvalidHeader},
		"v1 with a zone":                {"PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n", proxyproto.ErrInvalidHeader},
		"v1 with a name":                {"PROXY TCP4 localhost 2.2.2.2 1 2\r\n", proxyproto.ErrInvalidHeader},
		"v1 with a leading zero":        {"PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n", proxyproto.ErrInvalidHeader},
		"v1 with a sign":                {"PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n", proxyproto.ErrInvalidHeader},
		"v1 with a port out of range":   {"PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n", proxyproto.ErrInvalidHeader},
		"v2 of another version":         {v2("11 11 000c c0000201 c6336401 dc04 01bb"), proxyproto.ErrInvalidHeader},
		"v2 of another command":         {v2("22 11 000c c0000201 c6336401 dc04 01bb"), proxyproto.ErrInvalidHeader},
		"v2 of another family":          {v2("21 41 000c c0000201 c6336401 dc04 01bb"), proxyproto.ErrInvalidHeader},
		"v2 of another transport":       {v2("21 13 000c c0000201 c6336401 dc04 01bb"), proxyproto.ErrInvalidHeader},
		"v2 without room for addresses": {v2("21 11 000b c0000201 c6336401 dc04 01"), proxyproto.ErrInvalidHeader},
		"v2 with a TLV cut short":       {v2("21 00 0002 0100"), proxyproto.ErrInvalidHeader},
		"v2 with a TLV too long":        {v2("21 00 0004 01 0002 00"), proxyproto.ErrInvalidHeader},
		"v2 longer than accepted":       {v2("21 00 1000"), proxyproto.ErrHeaderTooLong},
		"v2 with a checksum too short":  {v2("21 00 0004 03 0001 00"), proxyproto.ErrInvalidHeader},
		"v2 with a wrong checksum":      {v2("21 00 0007 03 0004 00000000"), proxyproto.ErrChecksum},
	} {
		_, err := proxyproto.ReadHeader(strings.NewReader(c.wire), 4096)
		require.ErrorIs(t, err, c.want, name)
		_, err = proxyproto.ReadHeader(iotest.OneByteReader(strings.NewReader(c.wire)), 4096)
		require.ErrorIs(t, err, c.want, name)
	}
}

// What follows UNKNOWN and LOCAL is ignored, and no more than that is read.
func TestIgnored(t *testing.T) {
	for _, wire := range []string{
		"PROXY UNKNOWN ffff::1 what ever 1 2\r\n",
		string(unhex(t, signature+"20 11 0003 010203")),
		string(unhex(t, signature+"20 99 0000")),
		string(unhex(t, signature+"20 00 0007 03 0004 00000000")),
	} {
		r := strings.NewReader(wire + "rest")
		h, err := proxyproto.ReadHeader(r, 4096)
		require.NoError(t, err)
		require.Nil(t, h.Source)
		require.Nil(t, h.Destination)
		require.Empty(t, h.TLVs)
		require.Equal(t, 4, r.Len())
	}
}

// The checksum of a header changes with every bit of it.
func TestChecksum(t *testing.T) {
	h := proxyproto.Header{
		Source: tcp(t, "192.0.2.1:1"), Destination: tcp(t, "192.0.2.2:2"),
		TLVs: []proxyproto.TLV{{proxyproto.TypeAuthority, []byte("example.org")}, {proxyproto.TypeCRC32C, nil}, {proxyproto.TypeUniqueID, []byte("id")}},
	}
	wire, err := h.AppendBinary(nil)
	require.NoError(t, err)
	got, err := proxyproto.ReadHeader(bytes.NewReader(wire), 4096)
	require.NoError(t, err)
	sum, ok := got.TLV(proxyproto.TypeCRC32C)
	require.True(t, ok)
	require.Len(t, sum, 4)
	for i := 16; i < len(wire); i++ {
		for bit := range 8 {
			damaged := bytes.Clone(wire)
			damaged[i] ^= 1 << bit
			h, err := proxyproto.ReadHeader(bytes.NewReader(damaged), 4096)
			if err == nil { // the checksum was made one of another type
				_, ok := h.TLV(proxyproto.TypeCRC32C)
				require.False(t, ok, "byte %d, bit %d", i, bit)
			}
		}
	}
}

// The checksum here was computed by another program.
func TestKnownChecksum(t *testing.T) {
	h, err := proxyproto.ReadHeader(bytes.NewReader(unhex(t, signature+"21 00 000b 04 0001 00 03 0004 027b2b9e")), 4096)
	require.NoError(t, err)
	require.Len(t, h.TLVs, 2)
}

func TestCannotBeWritten(t *testing.T) {
	a, b := tcp(t, "192.0.2.1:1"), tcp(t, "192.0.2.2:2")
	many := make([]proxyproto.TLV, 2)
	for i := range many {
		many[i] = proxyproto.TLV{Type: 0xee, Value: make([]byte, 40000)}
	}
	for name, h := range map[string]proxyproto.Header{
		"one address":            {Source: a},
		"another version":        {Version: 3},
		"two kinds":              {Source: a, Destination: udp(t, "192.0.2.2:2")},
		"UDP and Unix":           {Source: udp(t, "192.0.2.2:2"), Destination: &net.UnixAddr{}},
		"Unix and TCP":           {Source: &net.UnixAddr{}, Destination: a},
		"an unknown kind":        {Source: &net.IPNet{}, Destination: &net.IPNet{}},
		"no IP":                  {Source: &net.TCPAddr{}, Destination: b},
		"v1 of UDP":              {Version: 1, Source: udp(t, "192.0.2.1:1"), Destination: udp(t, "192.0.2.2:2")},
		"v1 with no IP":          {Version: 1, Source: &net.TCPAddr{}, Destination: b},
		"v1 with TLVs":           {Version: 1, TLVs: many[:1]},
		"local with TLVs":        {Local: true, TLVs: many[:1]},
		"a long name":            {Source: &net.UnixAddr{Name: strings.Repeat("x", 109)}, Destination: &net.UnixAddr{}},
		"a long second name":     {Source: &net.UnixAddr{}, Destination: &net.UnixAddr{Name: strings.Repeat("x", 109)}},
		"a long TLV":             {TLVs: []proxyproto.TLV{{Type: 0xee, Value: make([]byte, 65536)}}},
		"TLVs that are too many": {TLVs: many},
		"two checksums":          {TLVs: []proxyproto.TLV{{Type: proxyproto.TypeCRC32C}, {Type: proxyproto.TypeCRC32C}}},
	} {
		_, err := h.AppendBinary(nil)
		require.Error(t, err, name)
	}
}

// Two addresses of which one is IPv4 are told as IPv6, and zones are left out.
func TestMixedFamilies(t *testing.T) {
	h := proxyproto.Header{Version: 1, Source: tcp(t, "192.0.2.1:1"), Destination: &net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 2, Zone: "eth0"}}
	wire, err := h.AppendBinary(nil)
	require.NoError(t, err)
	require.Equal(t, "PROXY TCP6 ::ffff:192.0.2.1 fe80::1 1 2\r\n", string(wire))
	h.Version = 2
	wire, err = h.AppendBinary(nil)
	require.NoError(t, err)
	got, err := proxyproto.ReadHeader(bytes.NewReader(wire), 4096)
	require.NoError(t, err)
	require.Equal(t, "192.0.2.1:1", got.Source.String())
	require.Equal(t, "[fe80::1]:2", got.Destination.String())
}

// FuzzReadHeader: what is read can be written, and is read again as the same.
func FuzzReadHeader(f *testing.F) {
	for _, w := range wires(f) {
		f.Add(w.wire)
		f.Add(append(w.wire, 1, 2, 3))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		h, err := proxyproto.ReadHeader(r, 4096)
		used := b[:len(b)-r.Len()]
		if len(used) > 4096 {
			t.Fatalf("%d bytes read", len(used))
		}
		if err != nil {
			for _, known := range []error{proxyproto.ErrNoHeader, proxyproto.ErrInvalidHeader, proxyproto.ErrHeaderTooLong, proxyproto.ErrChecksum} {
				if errors.Is(err, known) {
					return
				}
			}
			t.Fatal(err)
		}
		again, err := proxyproto.ReadHeader(iotest.OneByteReader(bytes.NewReader(used)), 4096)
		if err != nil {
			t.Fatalf("byte by byte: %v", err)
		}
		requireSameHeader(t, h, again)
		sums := 0
		for _, v := range h.TLVs {
			if v.Type == proxyproto.TypeCRC32C {
				sums++
			}
		}
		if sums > 1 {
			return // each is right, and none is written like that
		}
		wire, err := h.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err = proxyproto.ReadHeader(bytes.NewReader(wire), 1<<17)
		if err != nil {
			t.Fatal(err)
		}
		// Where both addresses are IPv4 in IPv6 they are written as IPv4, and the
		// checksum is then another.
		requireSameHeader(t, &proxyproto.Header{Version: h.Version, Local: h.Local, Source: h.Source, Destination: h.Destination, TLVs: again.TLVs}, again)
	})
}
