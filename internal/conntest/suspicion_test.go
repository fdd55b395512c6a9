package conntest

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// What time a suspicion takes at most from the last sign of life to a byte over the second
// transport, on a path of these tests: an acknowledgement that does not come or an unexpected
// silence (0.4 s with ticks), an answer that does not come (0.2 s), a dial and a resume.
const suspected = 600*time.Millisecond + 6*suspectedDelay

const suspectedDelay = 25 * time.Millisecond

// A silent loss that nobody is told of is found within a moment and without a gap, by
// a client that sends or expects to receive, in whichever direction it is.
func TestSuspicionFindsASilentLoss(t *testing.T) {
	for _, kind := range []faultnet.Kind{faultnet.BlackHole, faultnet.BlackHoleUp, faultnet.BlackHoleDown} {
		for _, sends := range []string{"client", "server", "both"} {
			t.Run(fmt.Sprintf("%v/%s sends", kind, sends), func(t *testing.T) {
				InAckBubble(t, func(t *testing.T, s Suite) {
					r := New(t, s, WithPath(faultnet.Options{Delay: suspectedDelay}))
					m := sendMessages(r, sends != "server", sends != "client")
					time.Sleep(5 * time.Second)
					r.Net.Last().Cut(kind)
					time.Sleep(10 * time.Second)
					most := suspected
					if kind == faultnet.BlackHoleUp && sends == "both" {
						most *= 4 // the answer may be in a queue, as long as something comes
					}
					require.LessOrEqual(t, m.stop(), most)
					require.EqualValues(t, 1, r.Client.Stats().Resumes)
					require.Zero(t, r.Client.Stats().LongestGap)
					require.Len(t, r.Client.Events.All(relink.EventSuspected), 1)
					require.Empty(t, r.Client.Events.All(relink.EventSuspended, relink.EventResuming))
					r.Finish()
				})
			})
		}
	}
}

// messages are sent 20 times a second.
type messages struct {
	r       *Rig
	quit    chan struct{}
	longest chan time.Duration
	n       int
}

func sendMessages(r *Rig, up, down bool) *messages {
	m := &messages{r: r, quit: make(chan struct{}), longest: make(chan time.Duration)}
	for _, way := range []struct {
		wanted   bool
		from, to *relink.Conn
	}{{up, r.Client.Conn, r.Server.Conn}, {down, r.Server.Conn, r.Client.Conn}} {
		if !way.wanted {
			continue
		}
		m.n++
		go func() {
			for i := byte(1); ; i++ {
				select {
				case <-m.quit:
					_, _ = way.from.Write([]byte{0})
					return
				case <-time.After(50 * time.Millisecond):
				}
				_, _ = way.from.Write([]byte{i | 1})
			}
		}()
		go func() {
			var longest time.Duration
			for b, last := make([]byte, 1), time.Now(); ; {
				if _, err := way.to.Read(b); err != nil || b[0] == 0 {
					m.longest <- longest
					return
				}
				longest = max(longest, time.Since(last))
				last = time.Now()
			}
		}()
	}
	return m
}

// stop returns the longest time between two messages.
func (m *messages) stop() (longest time.Duration) {
	close(m.quit)
	for range m.n {
		longest = max(longest, <-m.longest)
	}
	return longest
}

// A link that speaks before the second transport is confirmed goes on, and that is
// dropped: no byte is lost, and the next suspicion is slower.
func TestSuspicionOfALivingLink(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithPath(faultnet.Options{Delay: suspectedDelay}))
		m := sendMessages(r, true, true)
		time.Sleep(2 * time.Second)
		first := r.Net.Last()
		r.Net.OnDial(func(_ int, p *faultnet.Path) error {
			p.Stall(faultnet.Down) // so that it is not confirmed
			return nil
		})
		var took []time.Duration
		for i := range 2 {
			stalled := time.Now()
			first.Stall(faultnet.Down)
			first.Stall(faultnet.Up)
			for len(r.Client.Events.All(relink.EventSuspected)) == i {
				time.Sleep(10 * time.Millisecond)
			}
			took = append(took, time.Since(stalled))
			time.Sleep(500 * time.Millisecond)
			first.Release(faultnet.Down)
			first.Release(faultnet.Up)
			time.Sleep(12 * time.Second)
			require.Len(t, r.Net.Paths(), i+2)
		}
		require.LessOrEqual(t, took[0], suspected)
		require.Greater(t, took[1], 2*took[0])
		require.Zero(t, r.Client.Stats().Resumes)
		require.Zero(t, r.Server.Stats().Resumes)
		m.stop()
		r.Finish()
	})
}

// A server that takes connections and says nothing, over the link nor over what is dialled
// beside it, is not dialled over and over: once in ten seconds.
func TestFewTransportsBesideAStoppedPeer(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithPath(faultnet.Options{Delay: suspectedDelay}), WithBoth(func(c *relink.Config) { c.LivenessTimeout = 5 * time.Minute }))
		r.Net.OnDial(func(_ int, p *faultnet.Path) error {
			p.Stall(faultnet.Up)
			return nil
		})
		link := r.Net.Paths()[0]
		link.Stall(faultnet.Up)
		link.Stall(faultnet.Down)
		RequireWrite(t, r.Client, Data(100))
		time.Sleep(time.Minute)
		extra := len(r.Net.Paths()) - 1
		require.Positive(t, extra)
		require.LessOrEqual(t, extra, 1+6)
		link.Release(faultnet.Up)
		link.Release(faultnet.Down)
		RequireRead(t, r.Server, Data(100))
		r.Stop()
	})
}

// A link whose peer is only slow costs at most one more transport in ten seconds, and
// no link that is alive: a path that loses nothing but stands still now and then, and a
// peer that is stopped.
func TestFalseAlarmsAreFew(t *testing.T) {
	for _, stop := range []time.Duration{300 * time.Millisecond, 700 * time.Millisecond, 2 * time.Second, 8 * time.Second} {
		t.Run(stop.String(), func(t *testing.T) {
			InAckBubble(t, func(t *testing.T, s Suite) {
				r := New(t, s, WithPath(faultnet.Options{Delay: suspectedDelay}))
				m := sendMessages(r, true, true)
				start := time.Now()
				rnd := rand.New(rand.NewPCG(1, uint64(stop)))
				r.Net.OnDial(func(_ int, p *faultnet.Path) error {
					p.Stall(faultnet.Up) // it reaches nobody in time
					time.AfterFunc(stop, func() { p.Release(faultnet.Up) })
					return nil
				})
				for time.Since(start) < time.Minute {
					time.Sleep(time.Duration(rnd.Int64N(int64(3 * time.Second))))
					p := r.Net.Paths()[0]
					p.Stall(faultnet.Up)
					p.Stall(faultnet.Down)
					time.Sleep(stop)
					p.Release(faultnet.Up)
					p.Release(faultnet.Down)
				}
				extra := len(r.Net.Paths()) - 1
				require.LessOrEqual(t, extra, 1+int(time.Since(start)/(10*time.Second)))
				m.stop()
				r.Finish()
			})
		})
	}
}

// In the background a client is more patient, and switched off it waits until the link
// counts as dead; both can be changed while it waits.
func TestVigilance(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		for _, c := range []struct {
			begin, then  relink.Vigilance
			least, most  time.Duration
			suspected    int
			afterTheLoss time.Duration
		}{
			{relink.VigilanceForeground, relink.VigilanceForeground, 0, suspected, 1, 0},
			{relink.VigilanceBackground, relink.VigilanceBackground, suspected, 5 * time.Second, 1, 0},
			{relink.VigilanceOff, relink.VigilanceOff, DefaultLivenessTimeout - time.Second, DefaultLivenessTimeout + suspected, 0, 0},
			{relink.VigilanceOff, relink.VigilanceForeground, 3 * time.Second, 3*time.Second + suspected, 1, 3 * time.Second},
			{relink.VigilanceForeground, relink.VigilanceOff, DefaultLivenessTimeout - time.Second, DefaultLivenessTimeout + suspected, 0, 0},
		} {
			r := New(t, s, WithPath(faultnet.Options{Delay: suspectedDelay}), WithClient(func(d *relink.Dialer) { d.Vigilance = c.begin }))
			m := sendMessages(r, true, true)
			time.Sleep(2 * time.Second)
			r.Net.Last().Cut(faultnet.BlackHole)
			time.Sleep(c.afterTheLoss)
			require.NoError(t, r.Client.SetVigilance(c.then))
			time.Sleep(20 * time.Second)
			longest := m.stop()
			require.Len(t, r.Client.Events.All(relink.EventSuspected), c.suspected, "%v, %v", c.begin, c.then)
			require.GreaterOrEqual(t, longest, c.least, "%v, %v", c.begin, c.then)
			require.LessOrEqual(t, longest, c.most, "%v, %v", c.begin, c.then)
			r.Finish()
		}
	})
}

// A suspicion that is switched off while a transport is dialled beside the link drops
// that, and the link goes on.
func TestVigilanceOffDropsTheSecond(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		r.Exchange(100)
		first := r.Net.Last()
		r.Net.SetDown(faultnet.Hang)
		first.Stall(faultnet.Up)
		RequireWrite(t, r.Client, []byte("x"))
		time.Sleep(time.Second)
		require.Len(t, r.Client.Events.All(relink.EventSuspected), 1)
		require.NoError(t, r.Client.SetVigilance(relink.VigilanceOff))
		r.Net.SetDown(faultnet.NotDown)
		time.Sleep(5 * time.Second)
		require.Same(t, first, r.Net.Last())
		first.Release(faultnet.Up)
		RequireRead(t, r.Server, []byte("x"))
		require.Zero(t, r.Client.Stats().Resumes)
		r.Finish()
	})
}

func TestVigilanceIsChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(t, Noise)
		for _, v := range []relink.Vigilance{-1, 3} {
			require.ErrorContains(t, r.Client.SetVigilance(v), "VigilanceForeground")
			r.Dialer.Vigilance = v
			_, err := r.Dialer.DialConn(t.Context(), "tcp", "server")
			require.ErrorContains(t, err, "Dialer.Vigilance")
		}
		require.NoError(t, r.Server.SetVigilance(relink.VigilanceOff)) // which it has none of
		require.Equal(t, "foreground background off Vigilance(3)", fmt.Sprint(relink.VigilanceForeground, relink.VigilanceBackground, relink.VigilanceOff, relink.Vigilance(3)))
		r.Stop()
		require.NoError(t, r.Client.SetVigilance(relink.VigilanceOff))
	})
}

// One ping asks about a silence that was not to be expected, and no more.
func TestOnePingPerSilence(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithBoth(func(c *relink.Config) { c.LivenessTimeout, c.ResumeTimeout = 24*time.Hour, 96*time.Hour }))
		read := Background(func() (int, error) {
			b := make([]byte, 1)
			for n := 0; ; n++ {
				if _, err := r.Client.Read(b); err != nil {
					return n, err
				}
			}
		})
		for range 20 {
			RequireWrite(t, r.Server, []byte{1})
			time.Sleep(50 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		up := r.Net.Last().Sent(faultnet.Up)
		time.Sleep(time.Hour)
		require.Equal(t, up, r.Net.Last().Sent(faultnet.Up), "it asks again")
		RequireWrite(t, r.Server, []byte{1})
		time.Sleep(time.Hour)
		again := r.Net.Last().Sent(faultnet.Up)
		require.Greater(t, again, up)
		require.LessOrEqual(t, again, up+2*64, "an acknowledgement and a ping")
		require.Empty(t, r.Client.Events.All(relink.EventSuspected))
		r.Stop()
		<-read
	})
}

// What an attempt beside a link holds back is freed when it comes to nothing: the link goes
// on for as much as is written.
func TestLinkGoesOnAfterAnAttemptBesideIt(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		const limit = 64 << 10
		r := New(t, s, With(Setup{ReplayLimit: limit}), WithPath(faultnet.Options{Delay: suspectedDelay}))
		first := r.Net.Last()
		r.Net.SetDown(faultnet.Refuse)
		first.Stall(faultnet.Down)
		RequireWrite(t, r.Client.Conn, Data(100))
		time.Sleep(2 * time.Second)
		require.Len(t, r.Client.Events.All(relink.EventSuspected), 1)
		first.Release(faultnet.Down)
		time.Sleep(time.Second)
		RequireRead(t, r.Server.Conn, Data(100))
		data := Data(4 * limit)
		for _, c := range []*relink.Conn{r.Client.Conn, r.Server.Conn} {
			require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
		}
		write := Background(func() (int, error) { return r.Client.Write(data) })
		RequireRead(t, r.Server.Conn, data)
		require.NoError(t, (<-write).Err)
		time.Sleep(time.Second)
		require.Less(t, r.Client.Stats().Memory, int64(limit))
		require.Zero(t, r.Client.Stats().Resumes)
		r.Net.SetDown(faultnet.NotDown)
		r.Finish()
	})
}

// Who asks at once is answered late by a peer whose application has just been in Read, and does
// not read any more. That is no silence.
func TestNoSuspicionOfABusyPeer(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithPath(faultnet.Options{Delay: suspectedDelay / 5}))
		for range 20 {
			RequireWrite(t, r.Client.Conn, Data(100))
			RequireRead(t, r.Server.Conn, Data(100))
			require.NoError(t, r.Client.WaitAcked(t.Context(), r.Client.Stats().BytesWritten))
			time.Sleep(time.Second + 13*time.Millisecond) // it is busy
			RequireWrite(t, r.Client.Conn, Data(1))
			RequireRead(t, r.Server.Conn, Data(1))
			require.NoError(t, r.Client.Flush(t.Context()))
		}
		require.Empty(t, r.Client.Events.All(relink.EventSuspected))
		require.Zero(t, r.Client.Stats().Resumes)
		r.Finish()
	})
}
