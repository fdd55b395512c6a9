package experiment

import (
	"context"
	"fmt"
	"time"

	"github.com/relink-go/relink/bench/internal/measure"
	"github.com/relink-go/relink/bench/internal/report"
	"github.com/relink-go/relink/bench/internal/subject"
)

var allocations = Experiment{
	Name:  "allocations",
	Title: "Allocations",
	Text: "Objects that both sides together allocate for one message: for an echo of 128 B a Write and a Read on each side, for a write of 16 KiB one Write and the Reads that " +
		"take it. 8 MiB were carried before in each direction, so that buffers and histories have grown. What the rest of the process allocates in the background counts too, which " +
		"is why a thousandth may remain.",
	run: runAllocations,
}

const (
	echoAllocations  = "allocations per echo: "
	writeAllocations = "allocations per write: "
)

func runAllocations(ctx context.Context, e *Env, s *report.Section) error {
	const small, large, warm = 128, 16 << 10, 8 << 20
	messages := max(100, int(e.Scale.Time/(20*time.Microsecond)))
	subjects := e.forData()
	t := report.Table{Columns: []string{"subject", "echo of 128 B", "write of 16 KiB"}}
	for _, subj := range subjects {
		name := subj.Name()
		e.Progress(name)
		p, err := subject.Open(ctx, subj, subject.Loopback{})
		if err != nil {
			return err
		}
		err = func() error {
			defer p.Close()
			if err := WriteBatch(p.Client, p.Server, large, warm/large, 1, nil); err != nil {
				return err
			}
			if err := WriteBatch(p.Server, p.Client, large, warm/large, 1, nil); err != nil {
				return err
			}
			var echoes, writes []float64
			for range e.Scale.Rounds {
				before := measure.Mallocs()
				if err := WriteBatch(p.Client, p.Server, large, messages, 1, nil); err != nil {
					return err
				}
				writes = append(writes, perMessage(before, messages))
			}
			go Echo(p.Server, small)
			if err := RoundTrips(p.Client, small, 100, nil); err != nil {
				return err
			}
			for range e.Scale.Rounds {
				before := measure.Mallocs()
				if err := RoundTrips(p.Client, small, messages, nil); err != nil {
					return err
				}
				echoes = append(echoes, perMessage(before, messages))
			}
			s.Figures[echoAllocations+name] = measure.Summarize(echoes)
			s.Figures[writeAllocations+name] = measure.Summarize(writes)
			t.Rows = append(t.Rows, []string{name, thousandths(s.Figures[echoAllocations+name].Median), thousandths(s.Figures[writeAllocations+name].Median)})
			return nil
		}()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	s.Tables = append(s.Tables, t)
	return nil
}

// batchAllocations is what a batch allocates itself: its buffers, channel and
// goroutine.
const batchAllocations = 8

func perMessage(before uint64, messages int) float64 {
	return max(0, float64(measure.Mallocs()-before)-batchAllocations) / float64(messages)
}

// thousandths formats what ought to be zero.
func thousandths(v float64) string { return fmt.Sprintf("%.3f", v) }
