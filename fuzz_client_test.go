package relink_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// FuzzClient gives the client of every suite arbitrary bytes as all that its
// server ever says: on the transport of the new session, and on each one on
// which the client tries to resume.
func FuzzClient(f *testing.F) {
	hello := binary.LittleEndian.AppendUint64(nil, 1234567)
	hello = append(hello, "session.challenge and the stream"...)
	answer := binary.LittleEndian.AppendUint64(nil, 40)
	answer = append(answer, "\x00\x00\x00\x00\x00\x00\x00\x00chalenge and more of the stream"...)
	word := base64.StdEncoding.EncodeToString(hello[:8])
	for which := range uint8(len(suites)) {
		f.Add(which, hello, answer, uint8(0))
		f.Add(which, hello, make([]byte, 24), uint8(1))
		f.Add(which, scpPacket("17\n"+word), scpPacket("0\n200 OK"), uint8(0))
		f.Add(which, append(scpPacket("17\n"+word), "stream"...), scpPacket("0\n404"), uint8(3))
		f.Add(which, scpPacket("0\n501"), []byte{}, uint8(2))
		for hint := range uint8(9) {
			// Refusals of Noise, which are not authenticated.
			f.Add(which, []byte{'R', 1, hint + 1, 0, 0}, []byte{hint, 1, 2}, uint8(0))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, opened, resumed []byte, piece uint8) {
		if len(opened) > 4096 || len(resumed) > 4096 {
			return
		}
		synctest.Test(t, func(t *testing.T) {
			fuzzClient(t, suites[int(which)%len(suites)], opened, resumed, int(piece))
		})
	})
}

func fuzzClient(t *testing.T, s testSuite, opened, resumed []byte, piece int) {
	n := faultnet.New()
	n.SetOptions(faultnet.Options{Segment: piece})
	inner := n.Listen()
	go func() {
		says := opened
		for {
			c, err := inner.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write(says)
			says = resumed
			go func() {
				// A client that hears the end before it has spoken learns nothing more.
				_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}()
		}
	}()
	defer func() { _ = inner.Close() }()
	d := relink.Dialer{
		Config:        relink.Config{ResumeTimeout: 3 * time.Second},
		Suite:         s,
		MinBackoff:    50 * time.Millisecond,
		DialTransport: n.Dial,
	}
	c, err := d.DialConn(context.Background(), "tcp", "server")
	if err != nil {
		requireHandshakeError(t, err)
		return
	}
	defer c.Abort()
	if strings.HasPrefix(s.String(), "Noise") || s == recordSuite {
		t.Fatal("a server without keys was believed")
	}
	if _, err := c.Write(make([]byte, 40)); err != nil {
		requireTypedEnd(t, err)
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	got, err := io.ReadAll(c)
	if err == nil {
		err = io.EOF
	}
	requireTypedEnd(t, err)
	hello := 24
	if isSCP(s) {
		hello = 2 + int(binary.BigEndian.Uint16(opened))
	}
	if strings.Contains(s.String(), "not encrypted") && !bytes.HasPrefix(got, opened[hello:]) {
		t.Fatalf("read %q of %q", got, opened[hello:])
	}
}

// requireHandshakeError requires of a failed Dial that a program can tell why.
func requireHandshakeError(t *testing.T, err error) {
	t.Helper()
	var op *net.OpError
	if !errors.As(err, &op) {
		t.Fatalf("no *net.OpError: %v", err)
	}
	for _, known := range []error{
		relink.ErrAuthentication, relink.ErrProtocol, relink.ErrBusy, relink.ErrUnknownSession, relink.ErrHandshakeTimeout,
		relink.ErrSuperseded, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE,
	} {
		if errors.Is(op.Err, known) {
			return
		}
	}
	if !errors.As(op.Err, new(relink.SCPStatusError)) {
		t.Fatalf("an error that cannot be told from others: %v", err)
	}
}

// requireTypedEnd requires of the end of a session that a program can tell why.
func requireTypedEnd(t *testing.T, err error) {
	t.Helper()
	for _, known := range []error{relink.ErrProtocol, relink.ErrPeerClosed, relink.ErrSessionLost, errDeadline, io.EOF} {
		if errors.Is(err, known) {
			return
		}
	}
	if !isLoss(err) {
		t.Fatalf("an end that cannot be told from others: %v", err)
	}
}
