package stream_test

import (
	"errors"
	"io"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/stream"
	"github.com/relink-go/relink/internal/suite"
)

// The wires by what they carry.
var (
	classic = suite.Traits{}
	records = suite.Traits{Acks: true, HalfClose: true, Pings: true, Copies: true}
	// ciphered has records and a cipher of its own below them.
	ciphered = suite.Traits{Acks: true, HalfClose: true, Pings: true}
)

func newSend(traits suite.Traits, limit int, offset int64) *stream.Send {
	s := new(stream.Send)
	s.Init(newCipher(traits.Copies, offset), traits, limit, offset)
	return s
}

// attached is newSend with a link whose peer takes as much as the buffer does.
func attached(traits suite.Traits, limit int) *stream.Send {
	s := newSend(traits, limit, 0)
	s.Attach(0, int64(limit), true)
	return s
}

// write appends n bytes, encrypted.
func write(t *testing.T, s *stream.Send, n int) {
	t.Helper()
	for n > 0 {
		b := s.Reserve(n)
		require.NotEmpty(t, b, "no room for %d bytes", n)
		s.Session.Encrypt(b, plainAt(s.End(), len(b)))
		s.Commit(len(b))
		n -= len(b)
	}
}

// hand hands n bytes to the link, and the end if it is due.
func hand(t *testing.T, s *stream.Send, n int) (again int64, fin bool) {
	t.Helper()
	for n > 0 {
		loan := s.Lend(n)
		k := len(loan.Bytes())
		require.Positive(t, k)
		s.Return(loan)
		again += s.Advance(k)
		n -= k
	}
	return again, s.TakeFin()
}

func TestRoom(t *testing.T) {
	const limit = 8 << 10
	for _, c := range []struct {
		name          string
		traits        suite.Traits
		linked        bool
		written, sent int
		want, most    int
	}{
		{"records, without a link", records, false, 100, 0, limit - 100, limit},
		{"records, linked", records, true, 100, 0, limit - 100, limit},
		{"records: what was sent is held", records, true, 1000, 1000, limit - 1000, limit},
		{"classic, without a link", classic, false, 100, 0, limit - 100, limit / 4},
		{"classic, linked: a quarter may wait", classic, true, 100, 0, limit/4 - 100, limit / 4},
		{"classic: what was sent does not wait", classic, true, 1000, 400, limit/4 - 600, limit / 4},
		{"classic: as much waits as may", classic, true, limit / 4, 0, 0, limit / 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSend(c.traits, limit, 0)
			if c.linked {
				s.Attach(0, 1<<20, true)
			}
			write(t, s, c.written)
			hand(t, s, c.sent)
			require.Equal(t, c.want, s.Room())
			require.Equal(t, c.most, s.Buffer.MaxRoom(s.Traits.Acks))
		})
	}
}

// What was written without a link may be more than what may wait for one.
func TestRoomAfterASuspension(t *testing.T) {
	s := newSend(classic, 8<<10, 0)
	write(t, s, 5<<10)
	require.Equal(t, 3<<10, s.Room())
	s.Attach(0, 0, true)
	require.Zero(t, s.Room())
	hand(t, s, 4<<10)
	require.Equal(t, 1<<10, s.Room())
	s.Detach()
	require.Equal(t, 3<<10, s.Room())
}

// The bound of what waits does not grow with the buffer for ever.
func TestMaxPending(t *testing.T) {
	s := attached(classic, 64<<20)
	require.Equal(t, stream.MaxPending, s.Room())
	require.Equal(t, stream.MaxPending, s.Buffer.MaxRoom(s.Traits.Acks))
	write(t, s, stream.MaxPending)
	require.Zero(t, s.Room())
}

// Half the limit is what can be missing after a cut, and is kept.
func TestHistory(t *testing.T) {
	const limit = 8 << 10
	for _, straight := range []bool{false, true} {
		s := attached(classic, limit)
		for range 20 {
			if straight {
				loan := s.Extend(plainAt(s.End(), 500))
				if len(loan.Bytes()) > 0 {
					s.Sent(loan)
					continue
				}
			}
			write(t, s, 500)
			hand(t, s, 500)
		}
		require.NoError(t, s.Check(s.End()-limit/2))
		err := s.Check(s.End() - limit/2 - 1)
		require.ErrorIs(t, err, suite.ErrReplayGap)
		require.ErrorContains(t, err, "raise ReplayLimit (8192 bytes)")
	}
}

func TestDefers(t *testing.T) {
	for _, c := range []struct {
		name           string
		traits         suite.Traits
		linked, beside bool
		left           int // of what was appended before
		n              int
		want           bool
	}{
		{"short, beside a sender", classic, true, true, 0, 512, true},
		{"longer, beside a sender", classic, true, true, 0, 513, false},
		{"short, and nobody sends", classic, true, false, 0, 1, false},
		{"short, without a link", classic, false, true, 0, 1, false},
		{"long, behind what was left", classic, true, true, 1, 1 << 20, true},
		{"behind what was left, and nobody sends", classic, true, false, 1, 1 << 20, true},
		{"behind what was left, without a link", classic, false, false, 1, 1 << 20, true},
		{"records with a cipher", ciphered, true, true, 0, 1, false},
		{"no cipher, short", records, true, false, 0, stream.EncryptShort, true},
		{"no cipher, without a link", records, false, false, 0, 1, true},
		{"no cipher, long", records, true, true, 0, stream.EncryptShort + 1, false},
		{"no cipher, behind something", records, true, true, 1, stream.EncryptShort + 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSend(c.traits, 8<<10, 0)
			if c.linked {
				s.Attach(0, 8<<10, true)
			}
			require.Equal(t, c.left, s.Append(make([]byte, c.left)))
			require.Equal(t, c.want, s.Defers(c.n, c.beside))
		})
	}
}

// What was left goes out only when it is encrypted, in the order in which it was
// written.
func TestEncryptDeferred(t *testing.T) {
	s := attached(classic, 1<<20)
	write(t, s, 100)
	require.False(t, s.Unencrypted())
	require.Equal(t, 1000, s.Append(plainAt(100, 1000)))
	require.Equal(t, int64(100), s.Sendable())
	require.Equal(t, int64(100), s.Fit())
	require.Equal(t, int64(1100), s.End())
	hand(t, s, 100)
	require.Empty(t, s.Lend(1<<20).Bytes())
	require.True(t, s.Due())
	require.True(t, s.Unencrypted())
	require.ErrorIs(t, s.Check(101), suite.ErrCounters)

	for s.Fit() < s.End() {
		loan := s.LendPlain()
		require.Equal(t, plainAt(s.Fit(), len(loan.Bytes())), loan.Bytes())
		s.Session.Encrypt(loan.Bytes(), loan.Bytes())
		s.Encrypted(loan)
	}
	require.Equal(t, int64(1000), s.Sendable())
	require.NoError(t, s.Check(1100))
	loan := s.Lend(1 << 20)
	first := loan.Bytes()
	got := make([]byte, len(first))
	c := newCipher(false, 100)
	c.Decrypt(got, first)
	require.Equal(t, plainAt(100, len(first)), got)
	s.Return(loan)
}

// A piece at a time is encrypted of much that was left.
func TestLendPlainInSteps(t *testing.T) {
	s := attached(classic, 1<<20)
	require.Equal(t, 200<<10, s.Append(make([]byte, 200<<10)))
	loan := s.LendPlain()
	require.LessOrEqual(t, len(loan.Bytes()), 32<<10)
	s.Encrypted(loan)
	require.Equal(t, int64(len(loan.Bytes())), s.Fit())
}

func TestExtend(t *testing.T) {
	s := attached(records, 4<<10)
	loan := s.Extend(plainAt(0, 300))
	require.Equal(t, plainAt(0, 300), loan.Bytes())
	require.Equal(t, int64(300), s.End())
	require.Equal(t, int64(300), s.Fit())
	require.Equal(t, int64(300), s.Sendable())
	s.Return(loan)

	require.Empty(t, s.Extend(make([]byte, 4<<10)).Bytes(), "there is no room for it")
	require.Equal(t, int64(300), s.End())
	require.Equal(t, int64(300), s.Fit())
}

// What makes a half noisy makes whoever writes go the general way.
func TestQuiet(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(t *testing.T, s *stream.Send)
		want bool
	}{
		{"nothing", func(*testing.T, *stream.Send) {}, true},
		{"no link", func(_ *testing.T, s *stream.Send) { s.Detach() }, false},
		{"somebody appends", func(_ *testing.T, s *stream.Send) { s.BeginAppend() }, false},
		{"nobody does any more", func(_ *testing.T, s *stream.Send) { s.BeginAppend(); s.EndAppend() }, true},
		{"the end is queued", func(_ *testing.T, s *stream.Send) { s.Fin.Queue() }, false},
		{"an error", func(_ *testing.T, s *stream.Send) { s.Fail(io.EOF) }, false},
		{"something waits", func(t *testing.T, s *stream.Send) { write(t, s, 1) }, false},
		{"it was sent", func(t *testing.T, s *stream.Send) { write(t, s, 1); hand(t, s, 1) }, true},
		{"something is sent again", func(t *testing.T, s *stream.Send) {
			write(t, s, 10)
			hand(t, s, 10)
			s.Attach(4, 0, false)
		}, false},
		{"a handshake has carried something", func(t *testing.T, s *stream.Send) {
			write(t, s, 10)
			s.EarlySent(10)
		}, false},
		{"everything was sent again", func(t *testing.T, s *stream.Send) {
			write(t, s, 10)
			hand(t, s, 10)
			s.Attach(4, 0, false)
			hand(t, s, 6)
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := attached(records, 4<<10)
			c.do(t, s)
			require.Equal(t, c.want, s.Quiet())
		})
	}
}

func TestWindow(t *testing.T) {
	s := newSend(records, 64<<10, 0)
	s.Attach(0, 0, true)
	require.Equal(t, int64(stream.InitialWindow), s.Allowed())
	write(t, s, 5000)
	require.Equal(t, int64(stream.InitialWindow), s.Sendable())
	hand(t, s, stream.InitialWindow)
	require.False(t, s.Due())
	require.Empty(t, s.Lend(1).Bytes())
	require.Equal(t, int64(5000-stream.InitialWindow), s.Pending())

	ack := func(limit int64) bool {
		before := s.Sendable()
		require.NoError(t, s.Acknowledge(suite.Control{Limit: limit}))
		return s.Sendable() > before
	}
	require.False(t, ack(stream.InitialWindow), "the same limit")
	require.False(t, ack(0), "a limit is never taken back")
	require.False(t, s.Due())
	require.True(t, ack(stream.InitialWindow+1))
	require.Equal(t, int64(1), s.Sendable())
	require.True(t, ack(5000))
	require.False(t, ack(9000), "nothing waits for it")
	require.True(t, s.Due())
	hand(t, s, 5000-stream.InitialWindow)
	require.Equal(t, int64(4000), s.Allowed())
}

// The handshake of the session may tell a narrower window than is assumed without, and
// no other may.
func TestFirstLimit(t *testing.T) {
	for _, c := range []struct {
		limit int64
		first bool
		want  int64
	}{
		{0, true, stream.InitialWindow},
		{10, true, 10},
		{1 << 20, true, 1 << 20},
		{0, false, stream.InitialWindow},
		{10, false, stream.InitialWindow},
		{1 << 20, false, 1 << 20},
	} {
		s := newSend(records, 64<<10, 0)
		s.Attach(0, c.limit, c.first)
		require.Equal(t, c.want, s.Allowed(), c)
	}
}

func TestAcknowledge(t *testing.T) {
	ack := func(received, consumed int64) suite.Control {
		return suite.Control{Received: received, Consumed: consumed, Limit: 1 << 20}
	}
	for _, c := range []struct {
		name  string
		k     suite.Control
		fin   bool // was sent
		valid bool
	}{
		{"nothing", ack(0, 0), false, true},
		{"some", ack(50, 20), false, true},
		{"all that was sent", ack(100, 100), false, true},
		{"more than was sent", ack(101, 0), false, false},
		{"less than nothing", ack(-1, -1), false, false},
		{"more is taken than received", ack(50, 51), false, false},
		{"the end, which was not sent", suite.Control{Received: 100, FinReceived: true}, false, false},
		{"the end, which was sent", suite.Control{Received: 100, FinReceived: true}, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := attached(records, 4<<10)
			write(t, s, 100)
			if c.fin {
				s.Fin.Queue()
			}
			_, fin := hand(t, s, 100)
			require.Equal(t, c.fin, fin)
			if !c.fin {
				write(t, s, 100) // which stays
			}
			err := s.Acknowledge(c.k)
			if !c.valid {
				require.ErrorIs(t, err, suite.ErrProtocol)
				require.ErrorContains(t, err, "of 100 sent")
				require.Zero(t, s.Acked())
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.k.Received, s.Acked())
			require.Equal(t, c.k.Consumed, s.Consumed())
			require.Equal(t, c.k.Received < 100, s.Unacknowledged())
			require.Equal(t, c.k.FinReceived, s.Fin.Finished())
		})
	}
}

// An acknowledgement that comes late takes nothing back.
func TestLateAcknowledgement(t *testing.T) {
	s := attached(records, 4<<10)
	write(t, s, 100)
	hand(t, s, 100)
	for _, k := range []suite.Control{{Received: 80, Consumed: 70, Limit: 9000}, {Received: 10, Consumed: 5, Limit: 10}} {
		require.NoError(t, s.Acknowledge(k))
	}
	require.Equal(t, int64(80), s.Acked())
	require.Equal(t, int64(70), s.Consumed())
	require.Equal(t, int64(9000-100), s.Allowed())
}

// What is acknowledged is freed, but not what the link has still to send.
func TestAcknowledgementFrees(t *testing.T) {
	s := attached(records, 4<<10)
	write(t, s, 1000)
	hand(t, s, 1000)
	s.Attach(400, 0, false)
	require.Equal(t, 4<<10-600, s.Room())
	err := s.Acknowledge(suite.Control{Received: 1000})
	require.NoError(t, err)
	require.Equal(t, 4<<10-600, s.Room())
	again, _ := hand(t, s, 500)
	require.Equal(t, int64(500), again)
	require.Equal(t, 4<<10-100, s.Room())
	s.Detach()
	require.Equal(t, 4<<10-100, s.Room())
	s.Received(1000) // without a link there is nobody to send it
	require.Equal(t, 4<<10, s.Room())
	require.Zero(t, s.Buffer.Memory())
}

func TestAttach(t *testing.T) {
	for _, c := range []struct {
		name        string
		received    int64
		again       int64
		to, highest int64
	}{
		{"nothing was lost", 600, 0, 600, 600},
		{"some was", 500, 100, 500, 600},
		{"all that was not acknowledged", 300, 300, 300, 600},
		{"the peer has acknowledged more", 200, 300, 300, 600},
		{"the peer has more than any link was handed", 700, 0, 700, 700},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := attached(records, 4<<10)
			write(t, s, 1000)
			hand(t, s, 600)
			err := s.Acknowledge(suite.Control{Received: 300})
			require.NoError(t, err)
			s.Detach()
			require.Equal(t, c.again, s.Attach(c.received, 0, false))
			require.Equal(t, c.to, s.HandedTo())
			require.Equal(t, c.highest, s.Highest())
			require.Equal(t, c.to, s.Acked())
			again, _ := hand(t, s, int(s.Pending()))
			require.Equal(t, c.again, again)
			require.Equal(t, c.again, s.Replayed())
			require.Equal(t, 1000-c.to, s.HandedTo()-c.to)
		})
	}
}

func TestCheck(t *testing.T) {
	s := attached(records, 4<<10)
	write(t, s, 100)
	hand(t, s, 100)
	err := s.Acknowledge(suite.Control{Received: 60})
	require.NoError(t, err)
	for received, want := range map[int64]error{-1: suite.ErrCounters, 0: nil, 60: nil, 100: nil, 101: suite.ErrCounters} {
		require.ErrorIs(t, s.Check(received), want, received)
	}
	for received, want := range map[int64]error{0: suite.ErrCounters, 59: suite.ErrCounters, 60: nil, 100: nil} {
		require.ErrorIs(t, s.CheckFreed(received), want, received)
	}
	s = attached(classic, 4<<10)
	s.Received(0)
	require.NoError(t, s.CheckFreed(-1), "a wire without acknowledgements takes none back")
}

func TestFin(t *testing.T) {
	s := attached(records, 4<<10)
	write(t, s, 100)
	require.False(t, s.TakeFin(), "it is not queued")
	s.Fin.Queue()
	require.True(t, s.Fin.Queued())
	require.False(t, s.TakeFin(), "there is data before it")
	require.False(t, s.AllSent())
	_, fin := hand(t, s, 100)
	require.True(t, fin)
	require.False(t, s.TakeFin(), "the link has it")
	require.False(t, s.Due())
	require.True(t, s.AllSent())
	require.True(t, s.Unacknowledged())
	require.False(t, s.Fin.Finished())

	s.Attach(100, 0, false)
	require.True(t, s.Due(), "the new link has not")
	require.True(t, s.TakeFin())
	s.Fin.Repeat()
	require.True(t, s.TakeFin(), "once more")
	err := s.Acknowledge(suite.Control{Received: 100, FinReceived: true})
	require.NoError(t, err)
	require.True(t, s.Fin.Finished())
	require.False(t, s.Unacknowledged())
	require.False(t, s.Due())

	s.Fin.Repeat()
	require.False(t, s.Fin.Finished(), "it is to be acknowledged once more")
	require.True(t, s.Due())
	s.Attach(100, 0, false)
	err = s.Acknowledge(suite.Control{Received: 100, FinReceived: true})
	require.NoError(t, err, "an older link has brought it")
	require.False(t, s.TakeFin())
}

// The end does not overtake what is being appended, nor is it said on a wire that cannot.
func TestFinWaits(t *testing.T) {
	s := attached(records, 4<<10)
	s.BeginAppend()
	s.Fin.Queue()
	require.False(t, s.Due())
	require.False(t, s.AllSent())
	require.False(t, s.TakeFin())
	write(t, s, 10)
	s.EndAppend()
	require.False(t, s.TakeFin())
	_, fin := hand(t, s, 10)
	require.True(t, fin)

	s = attached(classic, 4<<10)
	s.Fin.Queue()
	require.False(t, s.Due())
	require.False(t, s.TakeFin())
	require.True(t, s.AllSent())
	s.Detach()
	require.False(t, s.AllSent())
	require.False(t, s.Fin.Finished())
}

func TestStop(t *testing.T) {
	s := attached(records, 4<<10)
	write(t, s, 100)
	s.Fin.Queue()
	require.True(t, s.Due())
	s.Stop(io.ErrClosedPipe)
	s.Stop(io.EOF)
	require.Equal(t, io.ErrClosedPipe, s.Err())
	require.True(t, s.Fin.Stopped())
	require.True(t, s.Fin.Finished())
	require.False(t, s.Due())
	require.False(t, s.TakeFin())
	require.Empty(t, s.Lend(100).Bytes())
	require.Zero(t, s.Early(make([]byte, 100), 0))
	require.False(t, s.Delivered())
}

// The first error is what the application is told.
func TestSendFail(t *testing.T) {
	s := newSend(records, 4<<10, 0)
	require.NoError(t, s.Err())
	s.Fail(io.EOF)
	s.Fail(io.ErrClosedPipe)
	require.Equal(t, io.EOF, s.Err())
	s.Stop(io.ErrClosedPipe)
	require.Equal(t, io.EOF, s.Err())
}

func TestEarlyToSend(t *testing.T) {
	s := newSend(records, 4<<10, 0)
	write(t, s, 3000)
	p := make([]byte, 2000)
	require.Equal(t, stream.InitialWindow, s.Early(p, 0), "what the peer takes")
	require.Equal(t, plainAt(0, stream.InitialWindow), p[:stream.InitialWindow])
	require.Equal(t, 24, s.Early(p, 1000))
	require.Equal(t, 7, s.Early(p[:7], 1000))
	require.Zero(t, s.Early(p, 2000), "behind what the peer takes")
	s.EarlySent(stream.InitialWindow)
	require.Equal(t, int64(stream.InitialWindow), s.Highest())
	require.Equal(t, int64(3000-stream.InitialWindow), s.Pending())
	s.EarlySent(10)
	require.Equal(t, int64(stream.InitialWindow), s.Highest())
	err := s.Acknowledge(suite.Control{Received: 500})
	require.NoError(t, err, "it may yet be delivered")
	require.Zero(t, s.Early(p, 499), "that is not held any more")

	s = attached(classic, 4<<10)
	write(t, s, 10)
	require.Equal(t, 20, s.Append(make([]byte, 20)))
	require.Equal(t, 10, s.Early(p, 0), "what is encrypted")
	hand(t, s, 10)
	s.Detach()
	require.Equal(t, int64(20), s.Pending())
}

func TestUnderWay(t *testing.T) {
	s := attached(classic, 4<<10)
	require.True(t, s.NothingUnderWay())
	require.Zero(t, s.Pending())
	require.True(t, s.Delivered())
	write(t, s, 10)
	require.False(t, s.NothingUnderWay())
	require.NotZero(t, s.Pending())
	hand(t, s, 10)
	require.Zero(t, s.Pending())
	require.False(t, s.Delivered())
	s.Detach()
	require.False(t, s.NothingUnderWay())
	require.Zero(t, s.Pending())
	s.Received(10)
	require.True(t, s.NothingUnderWay())
	require.True(t, s.Delivered())
}

// The stream ends at the last offset there is.
func TestLastOffsets(t *testing.T) {
	for _, traits := range []suite.Traits{classic, records, ciphered} {
		s := newSend(traits, 4<<10, math.MaxInt64-100)
		s.Attach(math.MaxInt64-100, 0, false)
		require.Equal(t, int64(100), s.Allowed())
		require.Equal(t, 100, s.Room())
		require.NoError(t, s.Full())
		write(t, s, 100)
		require.Zero(t, s.Room())
		require.ErrorIs(t, s.Full(), suite.ErrCounters)
		hand(t, s, 100)
		require.NoError(t, s.Check(math.MaxInt64))
		require.Zero(t, s.Attach(math.MaxInt64, 0, false))
		require.True(t, s.Delivered())
	}
}

// Memory goes when a session ends, but for what is lent.
func TestRelease(t *testing.T) {
	s := attached(records, 64<<10)
	write(t, s, 10<<10)
	loan := s.Lend(1 << 20)
	before := append([]byte(nil), loan.Bytes()...)
	s.Release()
	require.NotZero(t, s.Buffer.Memory())
	require.Equal(t, before, loan.Bytes())
	s.Return(loan)
	require.Zero(t, s.Buffer.Memory())
	require.Zero(t, s.Room())
	require.Equal(t, int64(10<<10), s.End())
}

// A half is as good as new after Init.
func TestSendInit(t *testing.T) {
	s := attached(records, 4<<10)
	write(t, s, 100)
	hand(t, s, 50)
	s.Fin.Queue()
	s.Stop(errors.New("stopped"))
	s.Init(newCipher(false, 7), classic, 1<<10, 7)
	require.NoError(t, s.Err())
	require.False(t, s.Fin.Stopped() || s.Fin.Queued() || s.Due() || s.Quiet())
	require.Equal(t, int64(7), s.End())
	require.Equal(t, int64(7), s.Consumed())
	require.Zero(t, s.Buffer.Memory())
	require.Equal(t, 1<<10, s.Room())
}

// While an attempt is under way beside a link, what that link's peer acknowledges stays:
// the attempt may have been answered before.
func TestHoldKeepsWhatIsAcknowledged(t *testing.T) {
	s := attached(records, 4<<10)
	write(t, s, 1000)
	hand(t, s, 600)
	require.NoError(t, s.Acknowledge(suite.Control{Received: 200}))
	s.Hold()
	require.NoError(t, s.Acknowledge(suite.Control{Received: 600}))
	require.Equal(t, 4<<10-800, s.Room())
	require.ErrorIs(t, s.CheckFreed(199), suite.ErrCounters)
	require.NoError(t, s.CheckFreed(300))
	require.Equal(t, int64(300), s.Attach(300, 0, false))
	require.Equal(t, int64(600), s.Acked())
	require.ErrorIs(t, s.CheckFreed(300), suite.ErrCounters)
	again, _ := hand(t, s, 700)
	require.Equal(t, int64(300), again)
	require.Equal(t, 4<<10-400, s.Room())

	s.Hold()
	require.NoError(t, s.Acknowledge(suite.Control{Received: 1000}))
	require.Equal(t, 4<<10-400, s.Room())
	s.Unhold()
	require.Equal(t, 4<<10, s.Room())
}
