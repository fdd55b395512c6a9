package apart_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/bench/internal/apart"
	"github.com/relink-go/relink/bench/internal/process"
	"github.com/relink-go/relink/bench/internal/subject"
)

func TestMain(m *testing.M) {
	if os.Getenv("RELINK_BENCH_STUCK") != "" {
		select {} // an end that does not even answer
	}
	if process.Serve(map[string]any{apart.Service: new(apart.End)}) {
		return
	}
	os.Exit(m.Run())
}

// window is long enough for something to be carried, however slow the machine.
var window = apart.Window{Length: 200 * time.Millisecond}

func each(t *testing.T, f func(t *testing.T, name string)) {
	t.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	for _, s := range subject.ForData(subject.Credentials{}) {
		t.Run(s.Name(), func(t *testing.T) { f(t, s.Name()) })
	}
}

func TestThroughput(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		r, err := apart.Throughput(t.Context(), apart.Setup{Subject: name, Conns: 3, GOMAXPROCS: 2}, 1000, window)
		require.NoError(t, err)
		require.Positive(t, r.Rate)
		require.Positive(t, r.Processor)
		require.Less(t, r.ServerProcessor, r.Processor)
		require.Zero(t, r.P50)
	})
}

func TestEchoes(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		r, err := apart.Echoes(t.Context(), apart.Setup{Subject: name, Conns: 2}, 128, window)
		require.NoError(t, err)
		require.Positive(t, r.Rate)
		require.Positive(t, r.Processor)
		require.Positive(t, r.P50)
		require.GreaterOrEqual(t, r.P99, r.P50)
	})
}

func TestErrors(t *testing.T) {
	_, err := apart.Echoes(t.Context(), apart.Setup{Subject: "nothing", Conns: 1}, 128, window)
	require.ErrorContains(t, err, "nothing")
	_, err = apart.Echoes(t.Context(), apart.Setup{Subject: subject.TCP}, 128, window)
	require.ErrorContains(t, err, "no streams")
	_, err = apart.Echoes(t.Context(), apart.Setup{Executable: "/nowhere", Subject: subject.TCP, Conns: 1}, 128, window)
	require.ErrorContains(t, err, "/nowhere")
}

// A measurement ends with its context although an end is stuck.
func TestStuckEnd(t *testing.T) {
	t.Setenv("RELINK_BENCH_STUCK", "1")
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("no answer")
	time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
	_, err := apart.Throughput(ctx, apart.Setup{Subject: subject.TCP, Conns: 1}, 1000, window)
	require.ErrorIs(t, err, why)
}

// What a stream ends with is reported by whoever watches it.
func TestFailureIsSeen(t *testing.T) {
	server, client := new(apart.End), new(apart.End)
	var how apart.How
	require.NoError(t, server.Listen(apart.How{Subject: subject.TCP, Conns: 1}, &how))
	accepted := make(chan error, 1)
	go func() { accepted <- server.Accept(1, nil) }()
	require.NoError(t, client.Dial(how, nil))
	require.NoError(t, <-accepted)
	require.NoError(t, server.Echo(8, nil))
	require.NoError(t, client.Write(3, nil)) // never 8 bytes' echo is read: both block in the end
	require.NoError(t, server.Watch(apart.Window{}, new(apart.Seen)))
	client.Close()
	require.Eventually(t, func() bool { return server.Watch(apart.Window{}, new(apart.Seen)) != nil }, time.Minute, time.Millisecond)
	server.Close()
}
