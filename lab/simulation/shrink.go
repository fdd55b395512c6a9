package simulation

import (
	"slices"
	"time"
)

// maxTries bounds the candidates that a shrinking tries.
const maxTries = 4000

// Shrink makes a schedule that fails as short and as simple as it can and still
// fails: steps go in chunks, then one by one (delta debugging: Zeller and
// Hildebrandt, 2002), then the configuration's fields get their defaults and
// the steps' arguments become smaller and rounder. fails says whether a
// candidate fails in the same way; it is asked a few thousand times at most.
func Shrink(s Schedule, fails func(Schedule) bool) Schedule {
	k := &shrinker{best: s, fails: fails, left: maxTries}
	for {
		before := k.best.String()
		k.dropSteps()
		k.simplifyConfig()
		k.simplifySteps()
		if k.left <= 0 || k.best.String() == before {
			return k.best
		}
	}
}

type shrinker struct {
	best  Schedule
	fails func(Schedule) bool
	left  int
}

// try keeps a candidate that differs from the best and fails.
func (k *shrinker) try(s Schedule) bool {
	if k.left <= 0 {
		return false
	}
	k.left--
	if !k.fails(s) {
		return false
	}
	k.best = s
	return true
}

// with returns the best schedule with a copy of its steps.
func (k *shrinker) with() Schedule {
	s := k.best
	s.Steps = slices.Clone(s.Steps)
	return s
}

// dropSteps removes chunks of steps, from half of them down to one.
func (k *shrinker) dropSteps() {
	for size := max(1, len(k.best.Steps)/2); size > 0; size /= 2 {
		for i := len(k.best.Steps) - size; i >= 0; i -= size {
			if i+size > len(k.best.Steps) {
				continue
			}
			if !k.try(k.without(i, size, true)) {
				k.try(k.without(i, size, false))
			}
		}
	}
}

// without returns the best schedule without some steps. What follows them
// comes at its old time, or earlier by the time that they took.
func (k *shrinker) without(i, n int, keepTime bool) Schedule {
	s := k.with()
	var took time.Duration
	for _, st := range s.Steps[i : i+n] {
		took += st.After
	}
	s.Steps = slices.Delete(s.Steps, i, i+n)
	if keepTime && i < len(s.Steps) {
		s.Steps[i].After += took
	}
	return s
}

// simplifyConfig gives fields their defaults, all but those that say what the
// schedule is about.
func (k *shrinker) simplifyConfig() {
	d := Default()
	for i, f := range k.best.Config.fields() {
		s := k.with()
		to := d.fields()[i].String()
		if f.name == "seed" || f.name == "suite" || f.String() == to {
			continue
		}
		if err := s.Config.fields()[i].set(to); err != nil {
			panic(err)
		}
		k.try(s)
	}
}

// simplifySteps makes one argument after the other simpler.
func (k *shrinker) simplifySteps() {
	for i := range k.best.Steps {
		for j := range k.best.Steps[i].fields() {
			k.simplifyField(i, j)
		}
		for _, after := range simplerTimes(k.best.Steps[i].After) {
			s := k.with()
			s.Steps[i].After = after
			if k.try(s) {
				break
			}
		}
	}
}

func (k *shrinker) simplifyField(i, j int) {
	value := func(s *Schedule) any { return s.Steps[i].fields()[j].value }
	switch v := value(&k.best).(type) {
	case *int:
		if *v < 0 {
			return // all, which is simple
		}
		for _, n := range simplerNumbers(*v) {
			s := k.with()
			*value(&s).(*int) = n
			if k.try(s) {
				break
			}
		}
	case *time.Duration:
		for _, d := range simplerTimes(*v) {
			s := k.with()
			*value(&s).(*time.Duration) = d
			if k.try(s) {
				break
			}
		}
	case *bool:
		if *v {
			s := k.with()
			*value(&s).(*bool) = false
			k.try(s)
		}
	}
}

// simplerNumbers returns what to try in place of n, the simplest first.
func simplerNumbers(n int) (to []int) {
	for _, m := range []int{0, 1, 10, 100, 1000, n / 2, n - n%1000, n - n%100, n - n%10} {
		if m < n && !slices.Contains(to, m) {
			to = append(to, m)
		}
	}
	return to
}

// simplerTimes is the same for times. Steps that were apart stay apart.
func simplerTimes(d time.Duration) (to []time.Duration) {
	if d <= 0 {
		return nil
	}
	for _, e := range []time.Duration{time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond, time.Second, 10 * time.Second} {
		to = append(to, e)
		if r := d.Truncate(e); r > 0 {
			to = append(to, r)
		}
	}
	// What is round already stays.
	if i := slices.Index(to, d); i >= 0 {
		to = to[:i]
	}
	return slices.DeleteFunc(to, func(t time.Duration) bool { return t > d && t != time.Millisecond })
}
