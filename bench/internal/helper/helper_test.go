package helper_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/bench/internal/helper"
	"github.com/relink-go/relink/bench/internal/measure"
	"github.com/relink-go/relink/bench/internal/process"
	"github.com/relink-go/relink/bench/internal/subject"
)

func TestMain(m *testing.M) {
	if helper.Main() {
		return
	}
	os.Exit(m.Run())
}

func start(t *testing.T) *process.Process {
	t.Helper()
	p, err := process.Start(t.Context(), process.Options{})
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

func credentials(t *testing.T) subject.Credentials {
	t.Helper()
	c, err := subject.NewCredentials()
	require.NoError(t, err)
	return c
}

// Two processes carry a load, and each tells what it took.
func TestParty(t *testing.T) {
	t.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	const streams = 5
	c := credentials(t)
	for _, s := range subject.All(c) {
		t.Run(s.Name(), func(t *testing.T) {
			server, client := start(t), start(t)
			how := helper.How{Subject: s.Name(), Credentials: c, Echo: true, Count: streams}
			var before, after measure.Memory
			require.NoError(t, server.Call("Party.Memory", helper.Rest{Goroutines: 10}, &before))
			require.NoError(t, server.Call("Party.Listen", how, &how.Address))
			dialled := make(chan error, 1)
			go func() { dialled <- client.Call("Party.Dial", how, new(process.None)) }()
			require.NoError(t, server.Call("Party.Accept", streams, new(process.None)))
			require.NoError(t, <-dialled)
			require.NoError(t, client.Call("Party.Exchange", 3, new(process.None)))
			require.NoError(t, server.Call("Party.Memory", helper.Rest{Goroutines: 10}, &after))
			require.GreaterOrEqual(t, after.Goroutines-before.Goroutines, streams)

			load := helper.Load{Size: 100, PerSecond: 100, Warm: 10 * time.Millisecond, Window: 200 * time.Millisecond}
			var sent helper.Carried
			start := time.Now()
			require.NoError(t, client.Call("Party.Run", load, &sent))
			require.Positive(t, sent.Sent)
			require.Positive(t, sent.Received)
			most := time.Since(start).Seconds()*streams*float64(load.PerSecond) + streams
			require.LessOrEqual(t, float64(sent.Sent), most, "faster than the pace")
		})
	}
}

// A crowd is idle, is suspended, and those beside it resume.
func TestCrowd(t *testing.T) {
	c := credentials(t)
	for _, s := range subject.Resumables(c) {
		t.Run(s.Name(), func(t *testing.T) {
			p := start(t)
			how := helper.How{Subject: s.Name(), Credentials: c, Count: 20}
			var share helper.Share
			require.NoError(t, p.Call("Crowd.Gather", helper.Gather{How: how, Settle: time.Millisecond}, new(process.None)))
			require.NoError(t, p.Call("Crowd.Share", process.None{}, &share))
			var spent time.Duration
			require.NoError(t, p.Call("Crowd.Watch", 10*time.Millisecond, &spent))
			require.NoError(t, p.Call("Crowd.Suspend", process.None{}, &share))
			require.Positive(t, share.Heap)
			require.NoError(t, p.Call("Crowd.Invite", 2, new(process.None)))
			var times []time.Duration
			require.NoError(t, p.Call("Crowd.Resume", 5, &times))
			require.Len(t, times, 5)
		})
	}
}

// A crowd of both sides exchanges messages.
func TestCrowdWithClients(t *testing.T) {
	c := credentials(t)
	for _, s := range subject.Resumables(c) {
		t.Run(s.Name(), func(t *testing.T) {
			p := start(t)
			how := helper.How{Subject: s.Name(), Credentials: c, Count: 20}
			require.NoError(t, p.Call("Crowd.Gather", helper.Gather{How: how, Clients: true, Settle: time.Millisecond}, new(process.None)))
			require.NoError(t, p.Call("Crowd.Exchange", 4, new(process.None)))
			var share helper.Share
			require.NoError(t, p.Call("Crowd.Share", process.None{}, &share))
			require.Positive(t, share.Heap)
		})
	}
}

func TestMistakesAreReported(t *testing.T) {
	p := start(t)
	var address string
	require.ErrorContains(t, p.Call("Party.Listen", helper.How{Subject: "nothing"}, &address), "nothing")
	require.Error(t, p.Call("Crowd.Gather", helper.Gather{How: helper.How{Subject: subject.TCP, Credentials: credentials(t)}}, new(process.None)))
	require.Error(t, p.Call("Party.Run", helper.Load{}, new(helper.Carried)))
}
