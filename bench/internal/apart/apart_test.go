package apart_test

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/bench/internal/apart"
	"github.com/relink-go/relink/bench/internal/process"
	"github.com/relink-go/relink/bench/internal/subject"
)

func TestMain(m *testing.M) {
	if os.Getenv("RELINK_BENCH_STUCK") != "" {
		_, _ = io.Copy(io.Discard, os.Stdin) // an end that hears its parent, and never answers
		return
	}
	if process.Serve(map[string]any{apart.Service: new(apart.End)}) {
		return
	}
	os.Exit(m.Run())
}

// window is short: where nothing was carried within it, there is another.
var window = apart.Window{Length: 20 * time.Millisecond}

func each(t *testing.T, f func(t *testing.T, name string)) {
	t.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	for _, s := range subject.ForData(subject.Credentials{}) {
		t.Run(s.Name(), func(t *testing.T) { f(t, s.Name()) })
	}
}

func TestThroughput(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		r, err := apart.Throughput(t.Context(), apart.Setup{Subject: name, Conns: 3, GOMAXPROCS: 2}, apart.Writing{Size: 1000, Writers: 2}, window)
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

func TestSessions(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		r, err := apart.Sessions(t.Context(), apart.Setup{Subject: name, Conns: 4}, 20, apart.Window{Length: time.Millisecond})
		requireUnits(t, r, err)
	})
}

func TestResumes(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		r, err := apart.Resumes(t.Context(), apart.Setup{Subject: name, Conns: 2}, window)
		requireUnits(t, r, err)
	})
}

func TestStorm(t *testing.T) {
	for _, name := range []string{subject.TCP, subject.TLS, subject.DH64RC4, subject.SCP, subject.Noise} {
		t.Run(name, func(t *testing.T) {
			r, err := apart.Storm(t.Context(), apart.Setup{Subject: name, Conns: 50})
			requireUnits(t, r, err)
		})
	}
}

// requireUnits holds for all work that counts what it does one by one.
func requireUnits(t *testing.T, r apart.Result, err error) {
	t.Helper()
	require.NoError(t, err)
	require.Positive(t, r.Rate)
	require.Positive(t, r.ServerProcessor)
	require.Greater(t, r.Processor, r.ServerProcessor)
	require.Positive(t, r.P50)
	require.GreaterOrEqual(t, r.P99, r.P50)
}

func TestMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		_, err := apart.Memory(t.Context(), apart.Setup{Subject: subject.TCP, Conns: 1}, 0, 0)
		require.ErrorContains(t, err, "Linux")
		return
	}
	idle, err := apart.Memory(t.Context(), apart.Setup{Subject: subject.DH64RC4, Conns: 300}, 0, time.Millisecond)
	require.NoError(t, err)
	require.Positive(t, idle.Resident)
	const sent = 1 << 20 // all of which stays as history
	full, err := apart.Memory(t.Context(), apart.Setup{Subject: subject.DH64RC4, Conns: 30}, sent, time.Millisecond)
	require.NoError(t, err)
	require.Greater(t, full.Resident, float64(sent))
}

func TestErrors(t *testing.T) {
	_, err := apart.Echoes(t.Context(), apart.Setup{Subject: "nothing", Conns: 1}, 128, window)
	require.ErrorContains(t, err, "nothing")
	_, err = apart.Echoes(t.Context(), apart.Setup{Subject: subject.TCP}, 128, window)
	require.ErrorContains(t, err, "no streams")
	_, err = apart.Echoes(t.Context(), apart.Setup{Executable: "/nowhere", Subject: subject.TCP, Conns: 1}, 128, window)
	require.ErrorContains(t, err, "/nowhere")
	_, err = apart.Storm(t.Context(), apart.Setup{Subject: subject.QUIC, Conns: 2})
	require.ErrorContains(t, err, "0 transports were cut")
}

// A measurement ends with its context although an end is stuck.
func TestStuckEnd(t *testing.T) {
	t.Setenv("RELINK_BENCH_STUCK", "1")
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("no answer")
	time.AfterFunc(50*time.Millisecond, func() { cancel(why) })
	_, err := apart.Throughput(ctx, apart.Setup{Subject: subject.TCP, Conns: 1}, apart.Writing{Size: 1000}, window)
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
	require.NoError(t, client.Write(apart.Writing{Size: 3}, nil)) // never 8 bytes' echo is read: both block in the end
	require.NoError(t, server.Watch(apart.Window{}, new(apart.Seen)))
	client.Close()
	require.Eventually(t, func() bool { return server.Watch(apart.Window{}, new(apart.Seen)) != nil }, time.Minute, time.Millisecond)
	server.Close()
}
