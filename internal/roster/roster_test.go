package roster_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/clock"
	"github.com/relink-go/relink/internal/roster"
	"github.com/relink-go/relink/internal/suite"
)

func key(n int) roster.Key { return roster.Key{Key: suite.Key{byte(n), byte(n >> 8)}} }

// A known is what the test knows of a session.
type known struct {
	roster.Entry
	due       clock.Time // zero: it is not on the agenda
	suspended bool
}

// However sessions come, go and change their times, the next is the one that is due first, and all
// counts are right.
func TestAgainstModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		random := rand.New(rand.NewPCG(seed, 1))
		var r roster.Roster[*known]
		var all []*known
		for step := range 1000 {
			k := new(known)
			if len(all) > 0 {
				k = all[random.IntN(len(all))]
			}
			due := clock.Time(1 + random.IntN(1000))
			switch random.IntN(7) {
			case 0, 1:
				k = new(known)
				require.NoError(t, r.Offer(k, &k.Entry, key(step)))
				r.Admit(k, &k.Entry)
				all = append(all, k)
			case 2:
				if k.Live() && !k.suspended {
					k.due = due
					r.Schedule(k, &k.Entry, due)
				}
			case 3:
				if k.Live() && !k.suspended {
					k.due, k.suspended = due, true
					r.Suspend(k, &k.Entry, due, random.IntN(2) == 0)
				}
			case 4:
				if k.suspended {
					k.due = due
				}
				r.Reschedule(k, &k.Entry, due)
			case 5:
				k.due, k.suspended = 0, false
				r.Unschedule(k, &k.Entry)
			case 6:
				require.Equal(t, slices.Contains(all, k), r.Drop(k, &k.Entry))
				all = slices.DeleteFunc(all, func(other *known) bool { return other == k })
			}
			require.Equal(t, len(all), r.Live())
			require.Equal(t, len(all), r.Keys())
			require.Zero(t, r.Provisional())
			suspended, first := 0, clock.Time(0)
			for _, k := range all {
				if k.suspended {
					suspended++
				}
				require.Equal(t, k.suspended, k.Suspended())
				if k.due != 0 && (first == 0 || k.due < first) {
					first = k.due
				}
			}
			require.Equal(t, suspended, r.Suspended())
			require.Len(t, r.Away(), suspended)
			_, _, reclaimable := r.Reclaimable()
			require.Equal(t, suspended > 0, reclaimable)
			_, next, ok := r.Next()
			require.Equal(t, first != 0, ok)
			require.Equal(t, first, next)
			if step%50 == 0 {
				var listed []*known
				at, more := 0, true
				for ; more; at += 7 {
					listed, more = r.Batch(listed, at, 7)
				}
				require.ElementsMatch(t, all, listed)
			}
		}
	}
}

// A key is one session's, and changing keys either does all of it or nothing.
func TestKeys(t *testing.T) {
	t.Parallel()
	var r roster.Roster[string]
	var a, b roster.Entry
	require.NoError(t, r.Offer("a", &a, key(1)))
	require.NoError(t, r.Offer("b", &b, key(2)))
	require.ErrorIs(t, r.Offer("c", new(roster.Entry), key(1)), suite.ErrKeyTaken)
	require.Equal(t, 2, r.Provisional())
	require.False(t, a.Live())
	require.True(t, a.Known())
	r.Admit("a", &a)
	require.ErrorIs(t, r.SetKeys("a", &a, []roster.Key{key(3), key(2)}), suite.ErrKeyTaken)
	require.Equal(t, []roster.Key{key(1)}, a.Keys())
	require.NoError(t, r.SetKeys("a", &a, []roster.Key{key(1), key(3)}))
	for _, n := range []int{1, 3} {
		who, ok := r.Find(key(n))
		require.True(t, ok)
		require.Equal(t, "a", who)
	}
	require.Equal(t, map[string]bool{"a": true, "b": true}, r.Found())
	require.False(t, r.Drop("b", &b), "it was never established")
	require.Zero(t, r.Provisional())
	require.True(t, r.Drop("a", &a))
	require.False(t, r.Drop("a", &a), "twice")
	require.Zero(t, r.Keys())
}

// Who gives way to new sessions is the longest suspended of those that may, and memory is taken
// from these first.
func TestWhoGivesWay(t *testing.T) {
	t.Parallel()
	var r roster.Roster[string]
	entries := make(map[string]*roster.Entry)
	for i, name := range []string{"a", "b", "c"} {
		entries[name] = new(roster.Entry)
		require.NoError(t, r.Offer(name, entries[name], key(i)))
		r.Admit(name, entries[name])
	}
	_, ok := r.Evictable()
	require.False(t, ok)
	require.True(t, r.Suspend("a", entries["a"], 10, false))
	require.True(t, r.Suspend("b", entries["b"], 5, true))
	require.False(t, r.Suspend("c", entries["c"], 7, true))
	for _, want := range []string{"b", "c", "a"} {
		who, evictable, ok := r.Reclaimable()
		require.True(t, ok)
		require.Equal(t, want, who)
		require.Equal(t, want != "a", evictable)
		who, ok = r.Evictable()
		require.Equal(t, want != "a", ok)
		if ok {
			require.Equal(t, want, who)
		}
		r.Unschedule(want, entries[want])
	}
}

// A session can be accepted when OnEvent was told of it, in the order in which that was.
func TestBacklog(t *testing.T) {
	t.Parallel()
	var b roster.Backlog[string]
	b.Add("a", true)
	b.Add("b", false)
	b.Add("c", true)
	b.Add("d", true)
	require.True(t, b.Tell("c"))
	require.True(t, b.Tell("a"))
	require.False(t, b.Tell("x"), "it has ended")
	b.Remove("c")
	b.Remove("x")
	require.Equal(t, 3, b.Len())
	for _, want := range []string{"b", "a"} {
		who, ok := b.Next()
		require.True(t, ok)
		require.Equal(t, want, who)
	}
	_, ok := b.Next()
	require.False(t, ok)
	b.Add("e", false)
	require.Equal(t, []string{"e", "d"}, b.Clear())
	require.Zero(t, b.Len())
}

// An erasable is a session that notes that its secrets were overwritten.
type erasable struct {
	suite.Session
	erased *int
}

func (e erasable) Erase() { *e.erased++ }

// The secrets of an ended session are overwritten when it is forgotten, and not before.
func TestEndedAreErased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var e roster.Ended
		n := 0
		s := erasable{erased: &n}
		erased := func(want int) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			require.Equal(t, want, n)
		}
		add := func(i int) {
			mu.Lock()
			defer mu.Unlock()
			e.Add(s, &suite.EndedError{}, []roster.Key{key(i)}, time.Second, &mu)
		}
		add(0)
		time.Sleep(999 * time.Millisecond)
		erased(0)
		time.Sleep(time.Second) // its time is up
		erased(1)
		for i := range roster.MaxTombstones + 1 {
			add(i)
		}
		erased(2) // another one has its place
		mu.Lock()
		e.Clear()
		mu.Unlock()
		erased(2 + roster.MaxTombstones)
		roster.Erase(nil) // of a suite that has nothing to erase
	})
}

// Ended sessions are remembered for as long as it was said, and at most so many.
func TestEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		mu.Lock()
		defer mu.Unlock()
		wait := func(d time.Duration) {
			mu.Unlock()
			time.Sleep(d)
			synctest.Wait()
			mu.Lock()
		}
		var e roster.Ended
		how := &suite.EndedError{Code: suite.ResetAborted}
		e.Add(nil, how, []roster.Key{key(0)}, time.Second, &mu)
		e.Add(nil, how, []roster.Key{key(1)}, 2*time.Second, &mu)
		target, ok := e.Find(key(1))
		require.True(t, ok)
		require.Equal(t, how, target.Check(suite.Offsets{}))
		wait(1500 * time.Millisecond)
		_, ok = e.Find(key(0))
		require.False(t, ok)
		require.Equal(t, 1, e.Len())
		wait(time.Second)
		require.Zero(t, e.Len())
		for i := range roster.MaxTombstones + 1 {
			e.Add(nil, how, []roster.Key{key(i)}, time.Second, &mu)
		}
		require.Equal(t, roster.MaxTombstones, e.Len())
		_, ok = e.Find(key(0))
		require.False(t, ok)
		e.Clear()
		require.Zero(t, e.Len())
	})
}
