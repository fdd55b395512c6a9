package hang_test

import (
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/hang"
)

// A process that hangs in a way that synctest does not know ends within seconds, and says
// what there is to say.
func TestWatch(t *testing.T) {
	if os.Getenv("RELINK_HANG_CHILD") != "" {
		hang.Watch(time.Hour, func() string { return "the test's state" })
		synctest.Test(t, func(*testing.T) {
			var mu sync.Mutex
			mu.Lock()
			go mu.Lock()
			synctest.Wait()
		})
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	c := exec.CommandContext(t.Context(), exe, "-test.run=^TestWatch$", "-test.timeout=5m")
	c.Env = append(os.Environ(), "RELINK_HANG_CHILD=1")
	out, err := c.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "hangs: nobody can go on\n\tthe test's state")
	require.Contains(t, string(out), "sync.Mutex.Lock")
	require.NotContains(t, string(out), "timed out after 5m")
}

// A watch that is stopped says nothing more.
func TestWatchStopped(t *testing.T) {
	stop := hang.Watch(0, func() string { return "not stopped" })
	stop()
	stop()
}

func TestLively(t *testing.T) {
	const own = "goroutine 1 [running]:\nmain.main()\n\n"
	for state, lively := range map[string]bool{
		"running":                            true,
		"runnable":                           true,
		"runnable, synctest bubble 1":        true,
		"syscall, locked to thread":          true,
		"IO wait":                            true,
		"GC assist wait":                     true,
		"sleep":                              true,
		"sleep (durable), synctest bubble 1": false,
		"sleep, synctest bubble 1":           false,
		"sync.Mutex.Lock, 2 minutes":         false,
		"chan receive":                       false,
		"select (durable), synctest bubble":  false,
	} {
		require.Equal(t, lively, hang.Lively(own+"goroutine 7 ["+state+"]:\nmain.f()\n"), state)
	}
	require.False(t, hang.Lively(own))
}

type inner struct{ n int }

type outer struct {
	name string
	in   *inner
	none *inner
	self *outer
	long []byte
}

func (*outer) String() string { panic("it must not be called") }

func TestDescribe(t *testing.T) {
	o := &outer{name: "x", in: &inner{7}, none: nil, long: make([]byte, 99)}
	o.self = o
	s := hang.Describe(o)
	for _, want := range []string{"outer:", "name=x", "in → inner: n=7", "long=99 of uint8"} {
		require.Contains(t, s, want)
	}
	require.NotContains(t, s, "none")
	require.Less(t, strings.Count(s, "name=x"), 3)
	require.Equal(t, "*hang_test.outer, nothing", hang.Describe((*outer)(nil)))
}
