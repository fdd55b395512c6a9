package gaptest

import (
	"fmt"
	"hash/fnv"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// share returns which part of the matrix a run takes: RELINK_GAPS=3/20 is the third of
// twenty parts, RELINK_GAPS=1/1 is all, which takes many minutes.
func share(t *testing.T) (part, of uint32) {
	part, of = 1, 100
	if testing.Short() {
		of = 400
	}
	if s := os.Getenv("RELINK_GAPS"); s != "" {
		_, err := fmt.Sscanf(s, "%d/%d", &part, &of)
		require.NoError(t, err, "RELINK_GAPS is %q: use 3/20, for instance", s)
		require.True(t, 1 <= part && part <= of, "RELINK_GAPS is %q: there is no such part", s)
	}
	return part, of
}

// always are the rows that each run takes whole: those in which a mistake that was made on
// purpose shows nowhere else.
var always = regexp.MustCompile(`^(` + strings.Join([]string{
	`Noise/quick/(client-write/.*/client|server-write/.*/server)\.CloseWrite`, // beside a record that is being written
	`DH64RC4/quick/client-read/client\.Read\..*/resume-after\.client\..*`,     // what an old link still brings
	`Noise/plain/client-read/server\.Read\..*/resume-after\.client\..*`,       // and after early data
	`Noise/plain/copied/.*/net\.Replay`,                                       // copies that come as far as they can
	`Noise/wary/suspected/client\..*/net\.Speak`,                              // a link that answers while its successor is at the door
	`Noise/quick/resume/server\.Authorize\..*/server\.Abort`,                  // an end between two looks
}, "|") + `)$`)

// TestGaps plays each scenario once for each of its gaps and each action.
func TestGaps(t *testing.T) {
	crew := newCrew(t)
	part, of := share(t)
	t.Cleanup(func() { // how often a session acknowledges, for instance, is not the same each time
		if asked, skipped := crew.asked.Load(), crew.skipped.Load(); skipped > 10+asked/20 {
			t.Errorf("%d of %d gaps were not come to", skipped, asked)
		}
	})
	for _, s := range suites {
		for _, k := range kindsOf(s) {
			t.Run(s.name+"/"+k.String(), func(t *testing.T) {
				t.Parallel()
				run := func(c scenario, m moment, action string) {
					name := strings.Join([]string{s.name, k.String(), c.name, m.String(), action}, "/")
					if number(name)%of == part-1 || always.MatchString(name) {
						t.Run(c.name+"/"+m.String()+"/"+action, func(t *testing.T) { crew.run(t, "TestGaps/"+name) })
					}
				}
				resume := pairs(resumeGaps(t, s, k))
				for _, c := range scenarios(s) {
					if c.wary && k != wary {
						continue
					}
					gaps := gapsOf(t, s, k, c)
					for _, m := range gaps {
						for _, a := range actions(s, c) {
							run(c, m, a.name)
						}
					}
					for _, m := range pairedGaps(c, gaps) {
						for _, p := range resume {
							run(c, m, p.String())
						}
					}
				}
			})
		}
	}
}

// number numbers cells, so that a part of the matrix has some of all rows.
func number(cell string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(cell))
	return h.Sum32()
}

// gapsOf returns a scenario's gaps.
func gapsOf(t *testing.T, s suite, k kind, c scenario) (gaps []moment) {
	t.Helper()
	inWorld(t, s, k, func(w *world) { gaps = trace(w, c) })
	if k != opaque { // whose deadlines concern nobody
		require.NotEmpty(t, gaps, "%s: nothing was called", c.name)
	}
	return gaps
}

// gapNamed returns a cell of the matrix by its name.
func gapNamed(name string) (func(t *testing.T), bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 5 {
		return nil, false
	}
	i := slices.IndexFunc(suites, func(s suite) bool { return s.name == parts[0] })
	m, ok := parseMoment(parts[3])
	if i < 0 || !ok {
		return nil, false
	}
	kinds := kindsOf(suites[i])
	j := slices.IndexFunc(kinds, func(k kind) bool { return k.String() == parts[1] })
	if j < 0 {
		return nil, false
	}
	c, ok := scenarioNamed(suites[i], parts[2])
	if !ok {
		return nil, false
	}
	if p, ok := pairNamed(parts[4]); ok {
		return func(t *testing.T) {
			inWorld(t, suites[i], kinds[j], func(w *world) { runPair(w, c, m, p) })
		}, true
	}
	a, ok := actionNamed(suites[i], c, parts[4])
	return func(t *testing.T) {
		inWorld(t, suites[i], kinds[j], func(w *world) { runGap(w, c, m, a) })
	}, ok
}

// runGap is one cell.
func runGap(w *world, c scenario, m moment, a action) {
	if a.name == "net.Replay" {
		w.open()
		w.record()
		w.begin(scenario{opens: true, prepare: c.prepare})
	} else {
		w.begin(c)
	}
	act := func() *call {
		k := &call{name: "the action " + a.name, obeys: a.obeys}
		if a.own {
			k.end = w.ends[a.side]
		}
		return w.begun(k, func() (int, error) { return a.do(w) })
	}
	var done *call
	var during func()
	if m.underLock() {
		during = func() { done = act() }
	}
	trap := w.gate.set(m, during)
	c.play(w)
	w.awaitTrap(trap, 8*time.Second) // some come after a pause
	if done == nil {
		done = act()
	}
	if w.settle(done); a.atOnce {
		require.True(w.t, done.over(), "it waits: %v", done)
		require.Zero(w.t, done.took, "%v", done)
	}
	trap.release()
	w.judgeEnd(a)
	w.judge(c)
}

// awaitTrap waits until a trap has caught its call.
func (w *world) awaitTrap(t *trap, limit time.Duration) {
	for began := time.Now(); time.Since(began) <= limit; time.Sleep(100 * time.Millisecond) {
		if synctest.Wait(); w.gate.holds(t) {
			return
		}
	}
	w.t.Skip("this time the scenario does not come to this gap")
}

// settle lets the action come as far as it can.
func (w *world) settle(c *call) {
	synctest.Wait()
	if w.facts.held > 0 {
		time.Sleep(w.facts.held)
		synctest.Wait()
	}
}
