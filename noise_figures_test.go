package relink_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// What the suite Noise takes in time, exactly, on a network with a round trip
// of 50 ms. A dial takes one of them.

const (
	oneWay    = 25 * time.Millisecond
	roundTrip = 2 * oneWay
)

// newDistantRig opens a session over that network, on which both sides know
// each other's limits.
func newDistantRig(t *testing.T, options ...rigOption) *rig {
	r := newRig(t, noiseSuite, append(options, withPath(faultnet.Options{Delay: oneWay}))...)
	r.exchange(1000)
	time.Sleep(time.Minute)
	return r
}

// arrival returns when the bytes have been read. They are the first of rigData.
func arrival(t *testing.T, c *relink.Conn, n int) <-chan time.Time {
	at := make(chan time.Time, 1)
	go func() {
		defer close(at)
		got := make([]byte, n)
		_, err := io.ReadFull(c, got)
		if errors.Is(err, net.ErrClosed) {
			return // the test has failed, and is over
		}
		if err != nil || string(got) != string(rigData(n)) {
			t.Errorf("read %v, or other bytes", err)
			return
		}
		at <- time.Now()
	}()
	return at
}

// A new session takes one round trip once the transport is connected, and half
// of one more until the server has it.
func TestNoiseOpensInOneRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := time.Now()
		var opened time.Time
		r := newRig(t, noiseSuite, withPath(faultnet.Options{Delay: oneWay}), withClient(func(c *relink.Dialer) {
			c.OnEvent = func(e relink.Event) {
				if e.Kind == relink.EventOpened {
					opened = e.Time
				}
			}
		}))
		connected := before.Add(roundTrip)
		require.Equal(t, roundTrip+oneWay, time.Since(connected)) // Accept has returned
		synctest.Wait()
		require.Equal(t, roundTrip, opened.Sub(connected))
		r.stop()
	})
}

// firstFlight is a path on which only so much is under way at a time as TCP begins
// with: 10 segments, where they are smallest.
var firstFlight = faultnet.Options{Delay: oneWay, Buffer: 12_080}

// What the client has to say has arrived half a round trip after a transport is
// there, and what the server has to say a whole one after. If there is much of
// it, the handshake does not wait for the rest.
func TestNoiseResumesInOneRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 11 << 10 // what a handshake carries
		r := newDistantRig(t)
		r.suspend(faultnet.Refuse, faultnet.ResetNow)
		requireWrite(t, r.client, rigData(100_000))
		requireWrite(t, r.server, rigData(100_000))
		up, down := arrival(t, r.server, n), arrival(t, r.client, n)
		var connected time.Time
		r.net.SetOptions(firstFlight)
		r.net.OnDial(func(int, *faultnet.Path) error {
			connected = time.Now()
			return nil
		})
		r.net.SetDown(faultnet.NotDown)
		require.Equal(t, oneWay, (<-up).Sub(connected))
		require.Equal(t, roundTrip, (<-down).Sub(connected))
		r.stop()
	})
}

// Nor does the first record of a new session wait until more is under way, however
// much there is to send.
func TestNoiseFirstRecordFitsTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, noiseSuite, withPath(firstFlight))
		for _, c := range r.ends() {
			go func() { _, _ = c.Write(rigData(100_000)) }()
		}
		start := time.Now()
		up, down := arrival(t, r.server, 8<<10), arrival(t, r.client, 8<<10)
		require.Equal(t, oneWay, (<-up).Sub(start))
		require.Equal(t, oneWay, (<-down).Sub(start))
		r.stop()
	})
}

// A silent loss stops the data for no longer than LivenessTimeout and two round
// trips, whenever it happens and in whichever direction.
func TestNoiseLeavesABlackHole(t *testing.T) {
	for _, kind := range holes {
		for _, o := range []faultnet.Options{{Delay: oneWay}, {Delay: oneWay, Opaque: true}} {
			for _, after := range []time.Duration{0, 30 * time.Millisecond, 70 * time.Millisecond, 7450 * time.Millisecond} {
				synctest.Test(t, func(t *testing.T) {
					const n = 1000
					r := newRig(t, noiseSuite, withPath(o))
					r.exchange(1000)
					time.Sleep(after)
					synctest.Wait()
					r.net.Last().Cut(kind)
					lost := time.Now().Add(oneWay) // what was under way has arrived by then
					up, down := arrival(t, r.server, n), arrival(t, r.client, n)
					requireWrite(t, r.client, rigData(n))
					requireWrite(t, r.server, rigData(n))
					const most = defaultLivenessTimeout + 2*roundTrip
					require.LessOrEqual(t, (<-up).Sub(lost), most, "%v after %v on %+v: up", kind, after, o)
					require.LessOrEqual(t, (<-down).Sub(lost), most, "%v after %v on %+v: down", kind, after, o)
					r.finish()
				})
			}
		}
	}
}

// With a word from the application it takes the two round trips alone.
func TestNoiseNetworkChanged(t *testing.T) {
	for _, kind := range holes {
		synctest.Test(t, func(t *testing.T) {
			const n = 1000
			r := newDistantRig(t)
			up, down := arrival(t, r.server, n), arrival(t, r.client, n)
			synctest.Wait()
			r.net.Last().Cut(kind)
			requireWrite(t, r.client, rigData(n))
			requireWrite(t, r.server, rigData(n))
			changed := time.Now()
			r.client.NetworkChanged()
			if kind != faultnet.BlackHoleDown {
				require.Equal(t, roundTrip+oneWay, (<-up).Sub(changed))
			}
			if kind != faultnet.BlackHoleUp {
				require.Equal(t, 2*roundTrip, (<-down).Sub(changed))
			}
			require.NoError(t, r.client.WaitAcked(context.Background(), 1000+n))
			require.LessOrEqual(t, time.Since(changed), 4*roundTrip)
			r.finish()
		})
	}
}
