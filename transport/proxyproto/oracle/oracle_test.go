package oracle

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	pires "github.com/pires/go-proxyproto"

	"github.com/relink-go/relink/transport/proxyproto"
)

// signature begins a header of version 2.
const signature = "\r\n\r\n\x00\r\nQUIT\n"

// seeds are headers of every kind, some of them wrong.
func seeds() [][]byte {
	v2 := func(command, family byte, body string) []byte {
		b := append([]byte(signature), command, family)
		return append(binary.BigEndian.AppendUint16(b, uint16(len(body))), body...)
	}
	four, six, unix := strings.Repeat("a", 12), strings.Repeat("b", 36), strings.Repeat("c", 216)
	return [][]byte{
		[]byte("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"),
		[]byte("PROXY TCP6 2001:db8::1 ::ffff:192.0.2.1 1 2\r\n"),
		[]byte("PROXY UNKNOWN\r\n"),
		[]byte("PROXY UNKNOWN and more\r\n"),
		[]byte("PROXY TCP4 192.0.2.1 198.51.100.1 056 443\r\n"),
		[]byte("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n"),
		v2(0x20, 0x00, ""),
		v2(0x20, 0x11, four),
		v2(0x20, 0x11, "abc"),
		v2(0x21, 0x11, four),
		v2(0x21, 0x12, four+"\x01\x00\x02h2"),
		v2(0x21, 0x21, six+"\x04\x00\x00"),
		v2(0x21, 0x22, six+"\x04\x00"),
		v2(0x21, 0x31, unix),
		v2(0x21, 0x32, strings.Repeat("\x00", 216)),
		v2(0x21, 0x13, four),
		v2(0x21, 0x00, ""),
		v2(0x11, 0x11, four),
	}
}

// text is an address as both libraries write it.
func text(a net.Addr) string {
	switch a := a.(type) {
	case *net.TCPAddr:
		return "tcp " + unmapped(a.AddrPort())
	case *net.UDPAddr:
		return "udp " + unmapped(a.AddrPort())
	case *net.UnixAddr:
		return a.Net + " " + a.Name
	default:
		return ""
	}
}

func unmapped(a netip.AddrPort) string {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()).String()
}

// deliberate reports whether the two differ on purpose for this input, and why.
func deliberate(b []byte, ours error) (why string) {
	if len(b) < 16 || string(b[:12]) != signature {
		return ""
	}
	switch {
	case errors.Is(ours, proxyproto.ErrChecksum):
		return "only ours checks the checksum"
	case b[12] == 0x20:
		return "ours ignores all of a local header, as the specification says; pires wants a known family"
	case b[13] == 0x00:
		return "the specification leaves it to the receiver whether it takes a header without a family; ours does"
	case b[13]>>4 == 3 && len(b) >= 16+216 && (b[16] == 0 || b[16+108] == 0):
		return "ours knows abstract names"
	}
	return ""
}

// FuzzRead gives the same bytes to both.
func FuzzRead(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4096 {
			return
		}
		ours, err := proxyproto.ReadHeader(bytes.NewReader(b), 16+int(pires.MaxV2HeaderSize))
		if deliberate(b, err) != "" {
			return
		}
		theirs, perr := pires.Read(bufio.NewReaderSize(bytes.NewReader(b), 8192))
		var tlvs []pires.TLV
		if perr == nil {
			tlvs, perr = theirs.TLVs() // theirs looks at them only now
		}
		switch {
		case err != nil && perr != nil:
			return
		case err != nil && errors.Is(err, proxyproto.ErrInvalidHeader) && hasShortChecksum(tlvs):
			return // only ours looks at checksums
		case (err == nil) != (perr == nil):
			t.Fatalf("%q: ours: %v; theirs: %v", b, err, perr)
		}
		if text(ours.Source) != text(theirs.SourceAddr) || text(ours.Destination) != text(theirs.DestinationAddr) {
			t.Fatalf("%q: ours: %v, %v; theirs: %v, %v", b, ours.Source, ours.Destination, theirs.SourceAddr, theirs.DestinationAddr)
		}
		if len(ours.TLVs) != len(tlvs) {
			t.Fatalf("%q: ours: %v; theirs: %v", b, ours.TLVs, tlvs)
		}
		for i, v := range ours.TLVs {
			padding := v.Type == byte(pires.PP2_TYPE_NOOP) && len(tlvs[i].Value) == 0 // whose bytes theirs drops
			if v.Type != byte(tlvs[i].Type) || !bytes.Equal(v.Value, tlvs[i].Value) && !padding {
				t.Fatalf("%q: TLV %d: ours: %v; theirs: %v", b, i, v, tlvs[i])
			}
		}
	})
}

func hasShortChecksum(tlvs []pires.TLV) bool {
	for _, v := range tlvs {
		if v.Type == pires.PP2_TYPE_CRC32C && len(v.Value) != 4 {
			return true
		}
	}
	return false
}

// addresses are pairs of every kind that both can write.
var addresses = map[string][2]net.Addr{
	"TCP4": {&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 65535}},
	"TCP6": {&net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 0}, &net.TCPAddr{IP: net.ParseIP("2001:db8::2"), Port: 2}},
	"UDP4": {&net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}, &net.UDPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 2}},
	"UDP6": {&net.UDPAddr{IP: net.ParseIP("2001:db8::1"), Port: 1}, &net.UDPAddr{IP: net.ParseIP("2001:db8::2"), Port: 2}},
	"unix": {&net.UnixAddr{Net: "unix", Name: "/run/a"}, &net.UnixAddr{Net: "unix", Name: "/run/b"}},
}

// TestWire: both write the same, to the byte, and theirs reads ours.
func TestWire(t *testing.T) {
	for name, a := range addresses {
		for _, version := range []int{1, 2} {
			if version == 1 && !strings.HasPrefix(name, "TCP") {
				continue
			}
			ours := proxyproto.Header{Version: version, Source: a[0], Destination: a[1]}
			theirs := pires.HeaderProxyFromAddrs(byte(version), a[0], a[1])
			if version == 2 {
				ours.TLVs = []proxyproto.TLV{{Type: proxyproto.TypeALPN, Value: []byte("h2")}, {Type: 0xe0, Value: []byte("own")}}
				if err := theirs.SetTLVs([]pires.TLV{{Type: pires.PP2_TYPE_ALPN, Value: []byte("h2")}, {Type: 0xe0, Value: []byte("own")}}); err != nil {
					t.Fatal(err)
				}
			}
			b, err := ours.AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			p, err := theirs.Format()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b, p) {
				t.Errorf("%s, version %d: ours %q, theirs %q", name, version, b, p)
			}
			got, err := pires.Read(bufio.NewReader(bytes.NewReader(b)))
			if err != nil {
				t.Fatal(err)
			}
			if !got.EqualsTo(theirs) {
				t.Errorf("%s, version %d: theirs read %v", name, version, got)
			}
		}
	}
}

// TestChecksum: ours has one, theirs takes it as it is.
func TestChecksum(t *testing.T) {
	h := proxyproto.Header{Source: addresses["TCP4"][0], Destination: addresses["TCP4"][1], TLVs: []proxyproto.TLV{{Type: proxyproto.TypeCRC32C}}}
	b, err := h.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pires.Read(bufio.NewReader(bytes.NewReader(b)))
	if err != nil {
		t.Fatal(err)
	}
	if tlvs, err := got.TLVs(); err != nil || len(tlvs) != 1 || len(tlvs[0].Value) != 4 {
		t.Errorf("%v, %v", tlvs, err)
	}
}

// TestListeners connects each dialler with the other's listener.
func TestListeners(t *testing.T) {
	want := pires.HeaderProxyFromAddrs(2, addresses["TCP4"][0], addresses["TCP4"][1])
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := proxyproto.NewListener(inner, proxyproto.Config{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := want.WriteTo(client); err != nil {
		t.Fatal(err)
	}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.RemoteAddr().String() != "192.0.2.1:1" {
		t.Error(c.RemoteAddr())
	}

	inner, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var theirs net.Listener = &pires.Listener{Listener: inner}
	defer theirs.Close()
	d := proxyproto.Dialer{}
	client, err = d.DialContext(t.Context(), "tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	c, err = theirs.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.RemoteAddr().String() != client.LocalAddr().String() {
		t.Error(c.RemoteAddr())
	}
}
