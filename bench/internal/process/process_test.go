package process_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/bench/internal/process"
)

func TestMain(m *testing.M) {
	if process.Serve(map[string]any{"Test": new(service)}) {
		return
	}
	os.Exit(m.Run())
}

// A service is what the processes of these tests offer.
type service struct{}

// About is what a process says of itself.
type About struct{ PID, CPUs, GOMAXPROCS int }

func (*service) About(_ process.None, a *About) error {
	*a = About{os.Getpid(), runtime.NumCPU(), runtime.GOMAXPROCS(0)}
	return nil
}

func (*service) Fail(why string, _ *process.None) error { return errors.New(why) }

func (*service) Exit(code int, _ *process.None) error {
	os.Exit(code)
	return nil
}

func (*service) Hang(_ process.None, _ *process.None) error { select {} }

func start(ctx context.Context, t *testing.T, o process.Options) *process.Process {
	t.Helper()
	p, err := process.Start(ctx, o)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

func TestOptions(t *testing.T) {
	var a About
	require.NoError(t, start(t.Context(), t, process.Options{}).Call("Test.About", process.None{}, &a))
	require.NotEqual(t, os.Getpid(), a.PID)
	require.NoError(t, start(t.Context(), t, process.Options{GOMAXPROCS: 3}).Call("Test.About", process.None{}, &a))
	require.Equal(t, 3, a.GOMAXPROCS)

	_, err := process.Start(t.Context(), process.Options{Executable: "/nowhere"})
	require.ErrorContains(t, err, "/nowhere")
}

func TestPinned(t *testing.T) {
	processors, err := process.Processors()
	if runtime.GOOS != "linux" {
		require.Error(t, err)
		_, err = process.Start(t.Context(), process.Options{Processors: []int{0}})
		require.ErrorContains(t, err, "Linux")
		return
	}
	require.NoError(t, err)
	require.Len(t, processors, runtime.NumCPU())
	for _, one := range processors {
		var a About
		require.NoError(t, start(t.Context(), t, process.Options{Processors: []int{one}}).Call("Test.About", process.None{}, &a))
		require.Equal(t, 1, a.CPUs)
	}
	_, err = process.Start(t.Context(), process.Options{Processors: []int{1000}})
	require.ErrorContains(t, err, "1000")
	left, err := process.Processors()
	require.NoError(t, err)
	require.Equal(t, processors, left, "the parent stays where it was")
}

func TestErrors(t *testing.T) {
	p := start(t.Context(), t, process.Options{})
	require.ErrorContains(t, p.Call("Test.Fail", "the reason", new(process.None)), "the reason")
	require.ErrorContains(t, p.Call("Test.Nothing", process.None{}, new(process.None)), "Nothing")
	require.ErrorContains(t, p.Call("Test.Exit", 3, new(process.None)), "the process has ended")
	require.ErrorContains(t, p.Call("Test.About", process.None{}, new(About)), "the process has ended")
}

// A call to a process that hangs ends with the context, which says why.
func TestContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	p := start(ctx, t, process.Options{})
	var a About
	require.NoError(t, p.Call("Test.About", process.None{}, &a))
	called := make(chan error, 1)
	go func() { called <- p.Call("Test.Hang", process.None{}, new(process.None)) }()
	why := errors.New("that is enough")
	cancel(why)
	require.ErrorIs(t, <-called, why)
	p.Close()
	requireGone(t, a.PID)
	_, err := process.Start(ctx, process.Options{})
	require.ErrorIs(t, err, why)
}

// Close leaves no process behind, and ends a call that is under way.
func TestClose(t *testing.T) {
	p := start(t.Context(), t, process.Options{})
	var a About
	require.NoError(t, p.Call("Test.About", process.None{}, &a))
	called := make(chan error, 1)
	go func() { called <- p.Call("Test.Hang", process.None{}, new(process.None)) }()
	p.Close()
	require.ErrorContains(t, <-called, "the process has ended")
	requireGone(t, a.PID)
}

func requireGone(t *testing.T, pid int) {
	t.Helper()
	found, err := os.FindProcess(pid)
	if err != nil {
		return // so Windows says it
	}
	require.Eventually(t, func() bool { return errors.Is(found.Signal(noSignal), os.ErrProcessDone) }, time.Minute, time.Millisecond)
}
