package stream_test

import (
	"io"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/stream"
	"github.com/relink-go/relink/internal/suite"
)

func newReceive(traits suite.Traits, limit int, offset int64) *stream.Receive {
	r := new(stream.Receive)
	r.Init(newCipher(traits.Copies, offset), traits, limit, offset)
	return r
}

// arrive lets n bytes of the stream arrive over the newest link, which is at the
// offset, into the buffer.
func arrive(t *testing.T, r *stream.Receive, traits suite.Traits, offset int64, n int) (skip int) {
	t.Helper()
	p := plainAt(offset, n)
	newCipher(traits.Copies, offset).Encrypt(p, p)
	skip, err := r.Arrived(n)
	require.NoError(t, err)
	r.Deposit(p[skip:])
	return skip
}

// taken takes all that is buffered.
func taken(r *stream.Receive) []byte {
	p := make([]byte, r.Buffered())
	r.Take(p)
	return p
}

func TestTake(t *testing.T) {
	r := newReceive(classic, 4<<10, 0)
	require.True(t, r.Waiting())
	require.Zero(t, r.Take(make([]byte, 10)))
	arrive(t, r, classic, 0, 100)
	require.False(t, r.Waiting())
	p := make([]byte, 60)
	require.Equal(t, 60, r.Take(p))
	require.Equal(t, plainAt(0, 60), p)
	require.Equal(t, int64(60), r.Consumed())
	require.Equal(t, 40, r.Take(p))
	require.Equal(t, plainAt(60, 40), p[:40])
	require.Zero(t, r.Buffered())
	require.Zero(t, r.Memory())
	require.True(t, r.Waiting())
}

// What has come over an older link is skipped, and not decrypted once more.
func TestOverlap(t *testing.T) {
	for _, c := range []struct {
		name       string
		told       int64
		n          int
		skip, then int // and of 10 bytes after them
	}{
		{"nothing comes again", 100, 20, 0, 0},
		{"some does", 90, 20, 10, 0},
		{"all does", 80, 20, 20, 0},
		{"more than once", 70, 20, 20, 10},
		{"nothing of an empty piece", 70, 0, 0, 10},
	} {
		for _, traits := range []suite.Traits{classic, records, ciphered} {
			t.Run(c.name, func(t *testing.T) {
				r := newReceive(traits, 4<<10, 0)
				arrive(t, r, traits, 0, 100)
				r.Attach(c.told, c.told)
				offset := c.told
				for _, piece := range [][2]int{{c.n, c.skip}, {10, c.then}} {
					p := plainAt(offset, piece[0])
					newCipher(traits.Copies, offset).Encrypt(p, p)
					skip, err := r.Arrived(len(p))
					require.NoError(t, err)
					require.Equal(t, piece[1], skip)
					r.Deposit(p[skip:])
					offset += int64(len(p))
				}
				end := max(100, offset)
				require.Equal(t, end, r.Received())
				require.Equal(t, plainAt(0, int(end)), taken(r))
			})
		}
	}
}

// Without an overlap and a replay, what has come is decrypted where it lies.
func TestContinue(t *testing.T) {
	r := newReceive(classic, 4<<10, 0)
	require.True(t, r.Continues(10))
	p := plainAt(0, 10)
	newCipher(false, 0).Encrypt(p, p)
	r.Continue(p)
	require.Equal(t, plainAt(0, 10), p)
	require.Equal(t, int64(10), r.Received())
	require.Equal(t, int64(10), r.Consumed())

	r.Attach(5, 5)
	require.False(t, r.Continues(10), "some had come before")
	require.Equal(t, 5, arrive(t, r, classic, 5, 10))
	require.True(t, r.Continues(10))
	r.Attach(15, 16)
	require.False(t, r.Continues(10), "a replay is under way")
}

func TestReceiveLimits(t *testing.T) {
	const most = math.MaxInt64
	r := newReceive(classic, 4<<10, most-100)
	require.True(t, r.Continues(100))
	require.False(t, r.Continues(101))
	skip, err := r.Arrived(101)
	require.ErrorIs(t, err, suite.ErrCounters)
	require.Equal(t, 101, skip)
	require.Equal(t, int64(most-100), r.Received())
	require.Zero(t, arrive(t, r, classic, most-100, 100))
	require.Equal(t, int64(most), r.Received())
	require.NoError(t, r.Overrun())
	_, err = r.Arrived(1)
	require.ErrorIs(t, err, suite.ErrCounters)

	r.Attach(most-50, suite.Unknown)
	require.False(t, r.Draining(), "there is nothing beyond")
	require.Equal(t, 50, arrive(t, r, classic, most-50, 50))
	_, err = r.Arrived(1)
	require.ErrorIs(t, err, suite.ErrCounters)
}

func TestStandbyLimit(t *testing.T) {
	for _, c := range []struct {
		name     string
		traits   suite.Traits
		limit    int
		peerSent int64
		want     int
	}{
		{"the window is the bound", records, 4 << 10, 0, math.MaxInt},
		{"a small buffer", classic, 4 << 10, 0, 4 << 10},
		{"a large one", classic, 1 << 20, 0, stream.StandbyBound},
		{"a large one during a replay", classic, 1 << 20, 1, 1 << 20},
		{"during one of unknown length", classic, 1 << 20, suite.Unknown, 1 << 20},
	} {
		r := newReceive(c.traits, c.limit, 0)
		r.Attach(0, c.peerSent)
		require.Equal(t, c.want, r.Limit(), c.name)
	}
}

func TestDraining(t *testing.T) {
	r := newReceive(classic, 4<<10, 0)
	arrive(t, r, classic, 0, 100)
	r.Attach(80, 130)
	require.True(t, r.Draining())
	require.False(t, r.ReplayUnknown())
	arrive(t, r, classic, 80, 49)
	require.True(t, r.Draining())
	for range 100 {
		r.Tick(false)
	}
	require.True(t, r.Draining(), "the peer has told that there is more")
	arrive(t, r, classic, 129, 1)
	require.False(t, r.Draining())
}

// A replay of unknown length ends when the peer has been silent for a while, or when
// there is no room for more.
func TestReplayOfUnknownLength(t *testing.T) {
	const quiet = 20
	begin := func() *stream.Receive {
		r := newReceive(classic, 1000, 0)
		r.Attach(0, suite.Unknown)
		require.True(t, r.Draining())
		require.True(t, r.ReplayUnknown())
		return r
	}
	r := begin()
	for range quiet - 1 {
		r.Tick(false)
	}
	require.True(t, r.Draining())
	r.Tick(true)
	for range quiet - 1 {
		r.Tick(false)
		require.True(t, r.ReplayUnknown(), "something was heard meanwhile")
	}
	r.Tick(false)
	require.False(t, r.Draining())
	require.False(t, r.ReplayUnknown())

	for range quiet - 1 {
		r.Tick(false)
	}
	r.Attach(0, suite.Unknown)
	r.Tick(false)
	require.True(t, r.Draining(), "a new link begins anew")

	r = begin()
	arrive(t, r, classic, 0, 999)
	require.True(t, r.Draining())
	arrive(t, r, classic, 999, 1)
	require.False(t, r.Draining())
	for range 1000 {
		r.Tick(false)
	}
	require.False(t, r.Draining())

	r = begin()
	r.Attach(0, 0)
	require.False(t, r.Draining(), "the next link's peer tells")
	require.False(t, r.ReplayUnknown())
}

func TestOverrun(t *testing.T) {
	r := newReceive(records, 1000, 0)
	arrive(t, r, records, 0, 1000)
	require.NoError(t, r.Overrun())
	_, err := r.Arrived(1)
	require.NoError(t, err)
	require.ErrorIs(t, r.Overrun(), suite.ErrProtocol)

	r = newReceive(records, 1000, 0)
	arrive(t, r, records, 0, 600)
	taken(r)
	_, err = r.Arrived(600)
	require.NoError(t, err)
	require.ErrorIs(t, r.Overrun(), suite.ErrProtocol, "the peer was not told of the room")

	r = newReceive(records, 1000, 0)
	arrive(t, r, records, 0, 600)
	taken(r)
	r.TakeAck(new(suite.Control))
	arrive(t, r, records, 600, 1000)
	require.NoError(t, r.Overrun())

	r = newReceive(records, 1000, 0)
	require.NoError(t, r.Fin())
	_, err = r.Arrived(1)
	require.NoError(t, err)
	require.ErrorIs(t, r.Overrun(), suite.ErrProtocol, "data behind the end")
}

// Whoever does not look at Overrun is told of it by a panic, and not by lost bytes.
func TestDepositWithoutRoom(t *testing.T) {
	r := newReceive(records, 1000, 0)
	arrive(t, r, records, 0, 990)
	require.PanicsWithValue(t, "relink: internal error: no room for 20 bytes beside 1000", func() {
		arrive(t, r, records, 990, 20)
	})
}

func TestEarlyThatArrives(t *testing.T) {
	for _, c := range []struct {
		name   string
		offset int64
		n      int
		fin    bool
		want   int
	}{
		{"new", 100, 50, false, 50},
		{"some had arrived", 80, 50, false, 30},
		{"all had", 50, 50, false, 0},
		{"all had, and more", 20, 50, false, 0},
		{"behind a gap", 101, 50, false, 0},
		{"nothing", 100, 0, false, 0},
		{"more than there is room for", 100, 2000, false, 900},
		{"behind the end", 100, 50, true, 0},
	} {
		for _, traits := range []suite.Traits{classic, records, ciphered} {
			t.Run(c.name, func(t *testing.T) {
				r := newReceive(traits, 1000, 0)
				arrive(t, r, traits, 0, 100)
				if c.fin {
					require.NoError(t, r.Fin())
				}
				p := plainAt(c.offset, c.n)
				newCipher(traits.Copies, c.offset).Encrypt(p, p)
				given := slices.Clone(p)
				require.Equal(t, c.want, r.Early(c.offset, p))
				require.Equal(t, given, p, "it is not ours")
				require.Equal(t, 100+int64(c.want), r.Received())
				require.Equal(t, plainAt(0, 100+c.want), taken(r))
			})
		}
	}
}

func TestFinThatArrives(t *testing.T) {
	r := newReceive(records, 1000, 0)
	arrive(t, r, records, 0, 100)
	r.Attach(50, 100)
	err := r.Fin()
	require.ErrorIs(t, err, suite.ErrProtocol, "more has arrived")
	require.ErrorContains(t, err, "ends at offset 50, and 100 bytes have arrived")
	require.False(t, r.FinReceived())
	arrive(t, r, records, 50, 50)
	r.TakeAck(new(suite.Control))
	require.NoError(t, r.Fin())
	require.True(t, r.FinReceived())
	require.True(t, r.AckUrgent())
	require.False(t, r.Waiting())
	taken(r)
	require.False(t, r.Waiting(), "the end is known")
	require.NoError(t, r.Fin(), "it may be said once more")
	var k suite.Control
	r.TakeAck(&k)
	require.Equal(t, suite.Control{Ack: true, Received: 100, Consumed: 100, Limit: 1100, FinReceived: true}, k)
}

// What nobody reads counts as arrived and not as taken.
func TestCloseReceive(t *testing.T) {
	for _, traits := range []suite.Traits{classic, records} {
		r := newReceive(traits, 1000, 0)
		arrive(t, r, traits, 0, 100)
		r.Take(make([]byte, 30))
		r.Close()
		require.Equal(t, int64(100), r.Received())
		require.Equal(t, int64(30), r.Consumed())
		require.Zero(t, r.Buffered())
		require.Zero(t, r.Memory())
		require.Zero(t, r.Take(make([]byte, 10)))
		arrive(t, r, traits, 100, 5000)
		require.Equal(t, int64(5100), r.Received())
		require.Equal(t, int64(30), r.Consumed())
		require.Zero(t, r.Memory())
		r.Close()
		require.Equal(t, int64(30), r.Consumed())
		fresh := 10
		if traits.Acks {
			fresh = 0 // it is beyond the limit
		}
		require.Equal(t, fresh, r.Early(5100, make([]byte, 10)))
		require.Equal(t, int64(30), r.Consumed())
	}
}

func TestReceiveFail(t *testing.T) {
	r := newReceive(records, 1000, 0)
	require.NoError(t, r.Err())
	r.Fail(io.EOF)
	r.Fail(io.ErrClosedPipe)
	require.Equal(t, io.EOF, r.Err())
	require.False(t, r.Waiting())
}

func TestReceiveCheck(t *testing.T) {
	r := newReceive(classic, 1000, 0)
	arrive(t, r, classic, 0, 100)
	require.NoError(t, r.Check(100))
	require.NoError(t, r.Check(math.MaxInt64))
	require.NoError(t, r.Check(suite.Unknown))
	require.ErrorIs(t, r.Check(99), suite.ErrCounters)
	require.ErrorIs(t, r.Check(suite.Unknown-1), suite.ErrCounters)
}

// An acknowledgement becomes urgent where the peer may soon run out of room: after a
// quarter of it, or 256 KiB.
func TestAckUrgency(t *testing.T) {
	for _, c := range []struct {
		limit int
		every int
	}{{1000, 250}, {64 << 10, 16 << 10}, {1 << 20, 256 << 10}, {16 << 20, 256 << 10}} {
		r := newReceive(records, c.limit, 0)
		require.False(t, r.AckPending() || r.AckUrgent())
		offset := int64(0)
		for range 3 {
			arrive(t, r, records, offset, c.every-1)
			r.DataArrived()
			require.True(t, r.AckPending())
			require.False(t, r.AckUrgent(), c)
			offset += int64(c.every - 1)
			arrive(t, r, records, offset, 1)
			r.DataArrived()
			require.True(t, r.AckUrgent(), c)
			offset++
			var k suite.Control
			r.TakeAck(&k)
			require.Equal(t, suite.Control{Ack: true, Received: offset, Limit: int64(c.limit)}, k)
			require.False(t, r.AckPending() || r.AckUrgent())
		}
	}
}

// One that is pending becomes urgent with the second tick.
func TestLateAck(t *testing.T) {
	r := newReceive(records, 1000, 0)
	r.Tick(true)
	r.Tick(true)
	require.False(t, r.AckUrgent(), "nothing is pending")
	arrive(t, r, records, 0, 10)
	r.DataArrived()
	r.Tick(true)
	require.False(t, r.AckUrgent())
	r.Tick(true)
	require.True(t, r.AckUrgent())
	r.TakeAck(new(suite.Control))
	r.DataArrived()
	r.Tick(false)
	require.False(t, r.AckUrgent(), "this one is new")
	r.TakeAck(new(suite.Control))
	r.Tick(false)
	r.Tick(false)
	require.False(t, r.AckPending() || r.AckUrgent(), "it was carried")
}

// A new limit is told once it matters to the peer.
func TestConsumedMore(t *testing.T) {
	r := newReceive(records, 1000, 0)
	arrive(t, r, records, 0, 400)
	r.ConsumedMore()
	require.False(t, r.AckPending(), "nothing was taken")
	r.Take(make([]byte, 1))
	r.ConsumedMore()
	require.True(t, r.AckPending())
	require.False(t, r.AckUrgent())
	r.Take(make([]byte, 248))
	r.ConsumedMore()
	require.False(t, r.AckUrgent())
	r.Take(make([]byte, 1))
	r.ConsumedMore()
	require.True(t, r.AckUrgent())
	var k suite.Control
	r.TakeAck(&k)
	require.Equal(t, suite.Control{Ack: true, Received: 400, Consumed: 250, Limit: 1250}, k)
	r.ConsumedMore()
	require.False(t, r.AckPending())
}

// A new link tells the limit, where the wire can.
func TestAttachTellsTheLimit(t *testing.T) {
	for _, traits := range []suite.Traits{classic, records} {
		r := newReceive(traits, 1000, 0)
		r.Attach(0, 0)
		require.Equal(t, traits.Acks, r.AckPending())
		require.Equal(t, traits.Acks, r.AckUrgent())
	}
}

// A half is as good as new after Init.
func TestReceiveInit(t *testing.T) {
	r := newReceive(records, 1000, 0)
	arrive(t, r, records, 0, 10)
	require.NoError(t, r.Fin())
	r.Fail(io.EOF)
	r.Close()
	r.Init(newCipher(false, 7), classic, 500, 7)
	require.True(t, r.Waiting())
	require.Equal(t, int64(7), r.Received())
	require.Equal(t, int64(7), r.Consumed())
	require.False(t, r.AckPending() || r.AckUrgent() || r.Draining())
	require.Zero(t, arrive(t, r, classic, 7, 10))
	require.Equal(t, plainAt(7, 10), taken(r))
}
