package conntest

import (
	"context"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// Complete exchanges on a network that cuts every transport after some tens of
// milliseconds, half of them cleanly: no server calls undelivered what its client has read,
// whether the client closes at the end or only stops reading.
func TestClosesUnderCuts(t *testing.T) {
	sessions := 600
	if testing.Short() {
		sessions = 60
	}
	InAckBubble(t, func(t *testing.T, s Suite) {
		random := rand.New(rand.NewPCG(1, 2))
		n := faultnet.New()
		n.SetOptions(faultnet.Options{Delay: time.Millisecond})
		n.OnDial(func(_ int, p *faultnet.Path) error {
			kind := []faultnet.Kind{faultnet.Reset, faultnet.End}[random.IntN(2)]
			time.AfterFunc(20*time.Millisecond+time.Duration(random.Int64N(int64(40*time.Millisecond))), func() { p.Cut(kind) })
			return nil
		})
		events, clientEvents := new(EventLog), new(EventLog)
		l, err := relink.NewListener(n.Listen(), relink.ListenConfig{
			Suites: []relink.ServerSuite{s}, Config: relink.Config{CloseTimeout: 2 * time.Second, OnEvent: events.add},
		})
		require.NoError(t, err)
		d := relink.Dialer{Suite: s, DialTransport: n.Dial, Config: relink.Config{OnEvent: clientEvents.add}}
		for i := range sessions {
			client, err := d.DialConn(t.Context(), "tcp", "server")
			if err != nil {
				continue // its transport was cut before there was a session
			}
			server, err := l.AcceptConn()
			require.NoError(t, err)
			go func() {
				for range 20 {
					_, _ = server.Write(make([]byte, 512))
					time.Sleep(3 * time.Millisecond)
				}
				_ = server.Close()
			}()
			got, err := io.Copy(io.Discard, client)
			require.NoError(t, err)
			require.EqualValues(t, 20*512, got)
			if i%2 == 0 {
				require.NoError(t, client.CloseContext(t.Context()))
			}
			<-client.Done()
			<-server.Done()
			require.NoError(t, client.Err())
			_ = client.Close()
		}
		synctest.Wait()
		for _, e := range append(events.All(relink.EventClosed), clientEvents.All(relink.EventClosed)...) {
			require.NoError(t, e.Err)
		}
		require.Greater(t, len(events.All(relink.EventClosed)), sessions*9/10)
		require.NoError(t, l.Close())
	})
}

// What a server waits for at last is the client's word that it holds everything, or has
// closed. If that is lost with the link, the client comes back to say it.
func TestLastWordIsLost(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		for _, serverCloses := range []bool{true, false} {
			for _, clientCloses := range []bool{true, false} {
				for _, kind := range []faultnet.Kind{faultnet.Reset, faultnet.End} {
					r := New(t, s)
					RequireWrite(t, r.Client, []byte("request"))
					require.NoError(t, r.Client.CloseWrite())
					RequireRead(t, r.Server, []byte("request"))
					RequireEOF(t, r.Server)
					time.Sleep(time.Second) // the client knows it
					path := r.Net.Last()
					path.Stall(faultnet.Up)
					RequireWrite(t, r.Server, []byte("answer"))
					if serverCloses {
						require.NoError(t, r.Server.Close())
					} else {
						require.NoError(t, r.Server.CloseWrite())
					}
					RequireRead(t, r.Client, []byte("answer"))
					RequireEOF(t, r.Client)
					if clientCloses {
						require.NoError(t, r.Client.Close())
					}
					time.Sleep(500 * time.Millisecond)
					start := time.Now()
					path.Cut(kind)
					if !serverCloses {
						require.NoError(t, r.Server.WaitAcked(t.Context(), 6))
						require.NoError(t, r.Server.CloseContext(t.Context()))
					}
					<-r.Server.Done()
					<-r.Client.Done()
					require.Less(t, time.Since(start), time.Second)
					require.NoError(t, r.Server.Err())
					require.NoError(t, r.Client.Err())
					_, err := r.Client.Read(make([]byte, 1))
					if !clientCloses {
						require.Equal(t, io.EOF, err)
						_, err = r.Client.Write([]byte("x"))
						require.Error(t, err)
					}
					require.Equal(t, 2, r.Net.Dials())
					r.Stop()
				}
			}
		}
	})
}

// The client that has come back to say its last word goes when the server has heard it, whether or
// not the server's application closes.
func TestLastWordIsHeard(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		require.NoError(t, r.Client.CloseWrite())
		RequireEOF(t, r.Server)
		time.Sleep(time.Second) // the client knows it
		path := r.Net.Last()
		path.Stall(faultnet.Up)
		RequireWrite(t, r.Server, []byte("answer"))
		require.NoError(t, r.Server.CloseWrite())
		RequireRead(t, r.Client, []byte("answer"))
		RequireEOF(t, r.Client)
		require.NoError(t, r.Client.Close())
		time.Sleep(500 * time.Millisecond)
		start := time.Now()
		path.Cut(faultnet.Reset)
		<-r.Client.Done()
		require.Less(t, time.Since(start), time.Second)
		require.NoError(t, r.Client.Err())
		require.NoError(t, r.Server.WaitAcked(t.Context(), 6))
		require.NoError(t, r.Server.CloseContext(t.Context()))
		require.NoError(t, r.Server.Err())
		r.Stop()
	})
}

// A client whose server cannot be reached any more, or has become another, has lost
// nothing: its session ends as it was to, after CloseTimeout at the latest.
func TestLastWordFindsNobody(t *testing.T) {
	const limit = 3 * time.Second
	InAckBubble(t, func(t *testing.T, s Suite) {
		for _, down := range []faultnet.DownKind{faultnet.Refuse, faultnet.NotDown} {
			for _, closes := range []string{"before", "after", "never"} {
				r := New(t, s, WithClient(func(d *relink.Dialer) { d.CloseTimeout = limit }))
				require.NoError(t, r.Client.CloseWrite())
				RequireEOF(t, r.Server)
				time.Sleep(time.Second)
				path := r.Net.Last()
				path.Stall(faultnet.Up)
				require.NoError(t, r.Server.Close())
				RequireEOF(t, r.Client)
				if closes == "before" {
					require.NoError(t, r.Client.Close())
				}
				_ = r.inner.Close()
				fresh, err := relink.NewListener(r.Net.Listen(), relink.ListenConfig{Suites: []relink.ServerSuite{s}})
				require.NoError(t, err)
				r.Net.SetDown(down)
				path.Cut(faultnet.Reset)
				start := time.Now()
				if closes == "after" {
					require.NoError(t, r.Client.CloseContext(context.Background()))
				}
				<-r.Client.Done()
				require.LessOrEqual(t, time.Since(start), limit+time.Second) // it may notice the loss some ticks later
				require.NoError(t, r.Client.Err())
				synctest.Wait()
				closed := r.Client.Events.All(relink.EventClosed)
				require.Len(t, closed, 1)
				require.NoError(t, closed[0].Err)
				if closes == "never" {
					RequireEOF(t, r.Client)
				}
				r.Stop()
				require.NoError(t, fresh.Close())
			}
		}
	})
}

// Where nothing is cut the last word is a record, and no client comes back for it: whoever
// closes first, and whether the other closes too.
func TestLastWordTakesNoAttempt(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		for _, serverFirst := range []bool{true, false} {
			for _, both := range []string{"at once", "later", "no"} {
				r := New(t, s, WithPath(faultnet.Options{Delay: 10 * time.Millisecond}))
				r.Exchange(1000)
				first, second := r.Client, r.Server
				if serverFirst {
					first, second = second, first
				}
				start := time.Now()
				require.NoError(t, first.Close())
				if both == "at once" {
					require.NoError(t, second.Close())
				} else {
					RequireEOF(t, second)
					if both == "later" {
						require.NoError(t, second.Close())
					}
				}
				<-first.Done()
				<-second.Done()
				require.Less(t, time.Since(start), 500*time.Millisecond)
				require.NoError(t, first.Err())
				require.NoError(t, second.Err())
				time.Sleep(time.Minute)
				if r.Net.Dials() != 1 {
					for _, e := range r.Client.Events.All() {
						t.Log(serverFirst, both, e.Kind, e.Time.Sub(start), e.Err)
					}
				}
				require.Equal(t, 1, r.Net.Dials())
				require.Empty(t, r.Client.Events.All(relink.EventSuspended))
				require.Empty(t, r.Server.Events.All(relink.EventSuspended))
				r.Stop()
			}
		}
	})
}
