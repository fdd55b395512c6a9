package simulation_test

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/lab/simulation"
)

// The tests of this file do harm that the network never does, and require that
// the simulation finds it, names the seed and shrinks the schedule.

// A harmed is a transport that harms what it carries.
type harmed struct {
	net.Conn
	at    int64 // bytes that are read before the harm
	harm  func(b []byte) bool
	count int64
}

func (h *harmed) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	h.count += int64(n)
	if h.count > h.at && n > 0 && h.harm(b[:n]) {
		h.harm = func([]byte) bool { return false }
	}
	return n, err
}

// Interruptible says that deadlines do no harm, as the path below says it.
func (h *harmed) Interruptible() bool { return true }

// harms are the ways to do harm once so many bytes have been read.
var harms = map[string]func(b []byte) bool{
	"corrupt": func(b []byte) bool { b[len(b)-1] ^= 1; return true },
	"panic": func([]byte) bool {
		go panic("harm") // by itself: what a transport panics with, the library contains
		return true
	},
	"leak": func([]byte) bool {
		go func() { <-make(chan int) }()
		return true
	},
	"spin": func([]byte) bool {
		go func() {
			for {
				time.Sleep(time.Hour)
			}
		}()
		return true
	},
}

// harmVariable makes a worker do one of harms.
const harmVariable = "RELINK_SIMULATION_HARM"

func harm(name string, at int64) simulation.Options {
	return simulation.Options{Wrap: func(c net.Conn) net.Conn {
		return &harmed{Conn: c, at: at, harm: harms[name]}
	}}
}

func harmFromEnvironment(t *testing.T) simulation.Options {
	t.Helper()
	name := os.Getenv(harmVariable)
	if name == "" {
		return simulation.Options{}
	}
	require.Contains(t, harms, name)
	return harm(name, 200)
}

// A byte that is changed on the way of a wire that does not protect it is
// found, and the schedule shrinks to what it takes: a session and some bytes.
func TestCorruptionIsFoundAndShrunk(t *testing.T) {
	o := harm("corrupt", 600)
	shrunk := 0
	for seed := uint64(0); shrunk < 3; seed++ {
		require.Less(t, seed, uint64(1000), "nothing is found")
		s := simulation.Generate(seed)
		r := simulation.Run(t, s, o)
		if r.Failure == nil || r.Failure.Class != "wrong byte" || len(s.Steps) < 10 {
			continue
		}
		shrunk++
		fails := simulation.FailsLike(t, *r.Failure, o, 2)
		short := simulation.Shrink(s, fails)
		t.Logf("seed %d: from %d steps to\n%v", seed, len(s.Steps), short)
		require.LessOrEqual(t, len(short.Steps), 3)
		require.True(t, fails(short))
		// What is printed says all.
		again, err := simulation.Parse(short.String())
		require.NoError(t, err)
		require.Equal(t, short, again)
		require.Nil(t, simulation.Run(t, short, simulation.Options{}).Failure, "it fails without the harm")
	}
}

// A goroutine that is left behind, or one that never ends, is found with its
// seed: the bubble cannot end.
func TestLeftoverIsFound(t *testing.T) {
	for _, name := range []string{"leak", "spin"} {
		t.Run(name, func(t *testing.T) {
			o := harm(name, 100)
			s, err := simulation.Parse("config suite=snet\n+1ms open\n+1ms write side=server n=500\n+1ms network\n")
			require.NoError(t, err)
			r := simulation.Run(t, s, o)
			require.NotNil(t, r.Failure)
			require.Equal(t, "deadlock", r.Failure.Class)
			short := simulation.Shrink(s, simulation.FailsLike(t, *r.Failure, o, 1))
			require.LessOrEqual(t, len(short.Steps), 2, "%v", short)
		})
	}
}

// A panic in a goroutine of the library ends a worker, and the fleet goes on
// with the next seed. It shrinks in processes of its own.
func TestPanicIsFoundAndShrunk(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts some hundred processes")
	}
	binary, err := os.Executable()
	require.NoError(t, err)
	env := harmVariable + "=panic"
	const n = 12
	f := simulation.Fleet{Binary: binary, Env: []string{env}, Workers: 2, First: 0, N: n}
	_, found, err := f.Run()
	require.NoError(t, err)
	require.NotEmpty(t, found)
	var crash *simulation.Found
	for i := range found {
		require.Equal(t, "panic", found[i].Failure.Class)
		require.Contains(t, found[i].Failure.Detail, "panic: harm")
		if s := simulation.Generate(found[i].Seed); crash == nil || len(s.Steps) < len(simulation.Generate(crash.Seed).Steps) {
			crash = &found[i]
		}
	}
	crashes := simulation.Crashes(binary, t.TempDir(), env)
	s := simulation.Generate(crash.Seed)
	require.True(t, crashes(s))
	tries := 0
	short := simulation.Shrink(s, func(s simulation.Schedule) bool {
		tries++
		return tries < 120 && crashes(s)
	})
	t.Logf("%d processes, from %d steps to\n%v", tries, len(s.Steps), short)
	require.LessOrEqual(t, len(short.Steps), 3)
}

// The shrinker finds the two steps that matter, in their order, whatever lies
// between them, and makes their arguments simple.
func TestShrink(t *testing.T) {
	for seed := range uint64(200) {
		s := simulation.Generate(seed)
		big := func(s simulation.Schedule) bool {
			wrote := false
			for _, st := range s.Steps {
				if st.Do == simulation.Cut && wrote {
					return true
				}
				wrote = wrote || st.Do == simulation.Write && st.N >= 37
			}
			return false
		}
		if !big(s) {
			continue
		}
		short := simulation.Shrink(s, big)
		require.Len(t, short.Steps, 2, "seed %d\n%v", seed, short)
		text := short.String()
		require.Less(t, short.Steps[0].N, 100, text)
		require.Equal(t, 1, short.Conns)
		require.Equal(t, 3, strings.Count(text, "\n"))
	}
}
