package gaptest

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A pair is an action that is held itself: in the gap of a scenario both sides write, and
// the session is resumed, up to a gap of the resume. Then one of the two goes on, and the other
// when it has come as far as it can: what an old link still has in hand meets each
// step of the new one.
type pair struct {
	at    moment
	first bool // the scenario goes on first
}

func (p pair) String() string {
	if p.first {
		return "resume-after." + p.at.String()
	}
	return "resume-before." + p.at.String()
}

// pairNamed returns a pair by the name of its action.
func pairNamed(name string) (p pair, ok bool) {
	order, at, _ := strings.Cut(name, ".")
	p.first = order == "resume-after"
	p.at, ok = parseMoment(at)
	return p, ok && p.String() == name
}

// pairedGaps are those of a scenario that are combined with those of a resume: a call that
// has bytes in hand.
func pairedGaps(c scenario, gaps []moment) []moment {
	if c.opens || c.resumes {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(gaps), func(m moment) bool {
		return m.underLock() || !slices.Contains([]string{"Read", "Write", "WriteNonblock", "CloseWrite"}, m.call)
	})
}

// pairs returns the actions, for the gaps of a resume.
func pairs(resume []moment) (list []pair) {
	for _, m := range resume {
		if !m.underLock() && m.call != "Close" {
			list = append(list, pair{m, true}, pair{m, false})
		}
	}
	return list
}

// resumeGaps returns the gaps of the resume that pairs are made with.
func resumeGaps(t *testing.T, s suite, k kind) (gaps []moment) {
	t.Helper()
	inWorld(t, s, k, func(w *world) {
		w.open()
		synctest.Wait()
		w.gate.begin()
		w.writeAndResume()
		time.Sleep(time.Second)
		synctest.Wait()
		gaps = w.gate.moments()
	})
	require.NotEmpty(t, gaps)
	return gaps
}

// writeAndResume leaves both sides with something that the other may have or not, and
// replaces the transport.
func (w *world) writeAndResume() {
	for _, e := range w.ends {
		e.start(writes, "the pair's Write", func() (int, error) { return e.write(actionLane, 150) })
	}
	synctest.Wait()
	w.facts.moved = true
	w.ends[client].NetworkChanged()
}

// runPair is one cell of the matrix whose action is a pair.
func runPair(w *world, c scenario, m moment, p pair) {
	w.begin(c)
	scenario := w.gate.set(m, nil)
	c.play(w)
	w.awaitTrap(scenario, time.Second)
	w.gate.begin()
	resume := w.gate.set(p.at, nil)
	w.writeAndResume()
	w.awaitTrap(resume, time.Second)
	order := []*trap{scenario, resume}
	if !p.first {
		slices.Reverse(order)
	}
	for _, t := range order {
		t.release()
		synctest.Wait()
	}
	w.judge(c)
}
