package main

import (
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Each criterion fails by itself, and is named.
func TestCriteria(t *testing.T) {
	good := func() *result {
		c := counts{Opened: 5, Ended: 5, Bytes: 1000, Resumed: 9, ConnOpened: 5, ConnClosed: 5}
		s := c
		s.ListenersStarted, s.ListenersEnded = 4, 4
		return &result{
			options: options{cuts: 1, cutsAtLeast: 10},
			client:  c, server: serverResult{Counts: s}, cuts: cutCount{total: 10},
			processes: []judgement{{Name: "p", GoroutinesBefore: 3, GoroutinesAfter: 3, FilesBefore: 9, FilesAfter: 9, GrowthBound: growthBound}},
		}
	}
	require.Empty(t, good().print(io.Discard))
	for want, spoil := range map[string]func(r *result){
		"1 bytes were lost":                           func(r *result) { r.client.Lost = 1 },
		"2 bytes were doubled":                        func(r *result) { r.server.Counts.Doubled = 2 },
		"3 bytes were out of place":                   func(r *result) { r.client.Misplaced = 3 },
		"something ended otherwise":                   func(r *result) { r.server.Counts.Failed = 1 },
		"nothing was carried":                         func(r *result) { r.client.Bytes, r.server.Counts.Bytes = 0, 0 },
		"the server served 4":                         func(r *result) { r.server.Counts.Opened, r.server.Counts.Ended = 4, 4 },
		"for their clients":                           func(r *result) { r.client.Ended-- },
		"for the server":                              func(r *result) { r.server.Counts.Ended-- },
		"1 of 4 listeners":                            func(r *result) { r.server.Counts.ListenersEnded-- },
		"the events of the server":                    func(r *result) { r.server.Counts.ConnClosed-- },
		"which is less than 10":                       func(r *result) { r.cuts.total = 9 },
		"no session was resumed":                      func(r *result) { r.client.Resumed = 0 },
		"4 goroutines are left of 3 at the beginning": func(r *result) { r.processes[0].GoroutinesAfter++ },
		"10 descriptors are left of 9":                func(r *result) { r.processes[0].FilesAfter++ },
		"the heap grew by 9.0 MiB":                    func(r *result) { r.processes[0].HeapGrowth = 9 << 20 },
		"4.0 MiB of heap are left":                    func(r *result) { r.processes[0].HeapRest = 4 << 20 },
	} {
		r := good()
		spoil(r)
		failed := r.print(io.Discard)
		require.Len(t, failed, 1, "%v", failed)
		require.Contains(t, failed[0], want)
	}
}

// What a process leaves behind is seen.
func TestMonitorSeesLeak(t *testing.T) {
	m := newMonitor("this process")
	m.settle = 100 * time.Millisecond
	m.start()
	leaked := make(chan struct{})
	go func() { <-leaked }()
	held := make([]byte, 2*restBound)
	m.stop()
	j := m.judge()
	held[0] = 1 // is in use until here
	close(leaked)
	failed := j.failures()
	require.Len(t, failed, 2, "%v", failed)
	require.Contains(t, failed[0], "goroutines are left")
	require.Contains(t, failed[0], "TestMonitorSeesLeak") // its stack is told
	require.Contains(t, failed[1], "of heap are left")
}

func TestGrowth(t *testing.T) {
	var samples []sample
	rnd := rand.New(rand.NewPCG(1, 1))
	for i := range 100 {
		// Ten megabytes in all, under noise of twenty.
		samples = append(samples, sample{at: time.Duration(i) * time.Second, heap: 50e6 + int64(i)*10e6/99 + rnd.Int64N(2e6) - 1e6})
	}
	require.InDelta(t, 10e6, float64(growth(samples)), 1e6)
	require.Zero(t, growth(nil))
	require.Zero(t, growth(samples[:1]))
}

func TestHistogram(t *testing.T) {
	var h histogram
	var all []int64
	rnd := rand.New(rand.NewPCG(2, 2))
	for range 10_000 {
		us := rnd.Int64N(1 << rnd.IntN(34))
		all = append(all, us)
		h.add(time.Duration(us) * time.Microsecond)
	}
	slices.Sort(all)
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 0.999} {
		want := all[int(q*10_000)]
		got := h.quantile(q)
		require.GreaterOrEqual(t, got, want, "%v", q)
		require.LessOrEqual(t, float64(got), float64(want)*1.07+1, "%v", q)
	}
	require.Equal(t, all[len(all)-1], h.quantile(1))
}

func TestPattern(t *testing.T) {
	whole := make([]byte, 300)
	fill(whole, 7, 1000)
	for from := range 40 {
		for n := range 40 {
			part := make([]byte, n)
			fill(part, 7, 1000+int64(from))
			require.Equal(t, whole[from:from+n], part, "%d bytes from %d", n, from)
		}
	}
	v := verifier{key: 7, offset: 1000}
	require.NoError(t, v.check(whole[:123]))
	require.NoError(t, v.check(whole[123:]))
	for _, c := range []struct {
		p    []byte
		want mismatch
	}{
		{whole[5:], mismatch{1000, lost, 5}},
		{append(whole[:100:100], whole[60:]...), mismatch{1100, doubled, 40}},
		{append(whole[:100:100], whole[150:]...), mismatch{1100, lost, 50}},
		{make([]byte, 50), mismatch{1000, misplaced, 50}},
	} {
		v := verifier{key: 7, offset: 1000}
		var m *mismatch
		require.ErrorAs(t, v.check(c.p), &m)
		require.Equal(t, c.want, *m)
	}
}

func TestHeader(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	for i := range 1000 {
		h := plan(rnd, choices[i%len(choices)])
		got, err := decodeHeader(h.encode())
		require.NoError(t, err)
		require.Equal(t, h, got)
		b := h.encode()
		b[rnd.IntN(len(b))] ^= byte(1 + rnd.IntN(255))
		_, err = decodeHeader(b)
		require.Error(t, err)
	}
}
