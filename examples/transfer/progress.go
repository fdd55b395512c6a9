package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/relink-go/relink/internal/faultnet"
)

// showProgress shows how far the transfer is, until the function that it
// returns is called: as a bar on a terminal, elsewhere as a line now and then.
func showProgress(out io.Writer, e *end, s *saboteur) (stop func()) {
	show, every := linesTo(out), time.Second
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		show, every = barOn(out), 100*time.Millisecond
	}
	quit := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for over := false; !over; {
			select {
			case <-ticker.C:
			case <-quit:
				over = true
			}
			if size := e.size.Load(); size > 0 {
				show(e.moved.Load(), size, happened(e, s), over)
			}
		}
	})
	return func() {
		close(quit)
		done.Wait()
	}
}

// A display shows a state of the transfer. The last one is over.
type display func(moved, size int64, happened string, over bool)

// barOn returns a display that draws a bar.
func barOn(terminal io.Writer) display {
	var bar *progressbar.ProgressBar
	return func(moved, size int64, happened string, over bool) {
		if bar == nil {
			bar = progressbar.NewOptions64(size,
				progressbar.OptionSetWriter(terminal),
				progressbar.OptionShowBytes(true),
				progressbar.OptionUseIECUnits(true),
				progressbar.OptionSetWidth(24),
				progressbar.OptionSetPredictTime(false),
			)
		}
		bar.Describe(happened)
		_ = bar.Set64(moved) // a terminal that is gone is no reason to stop
		if over {
			_ = bar.Exit()
			fmt.Fprintln(terminal)
		}
	}
}

// linesTo returns a display that prints lines.
func linesTo(out io.Writer) display {
	last, before := time.Now(), int64(0)
	return func(moved, size int64, happened string, over bool) {
		if over || moved == size {
			return // the report follows
		}
		rate := float64(moved-before) / time.Since(last).Seconds()
		last, before = time.Now(), moved
		fmt.Fprintf(out, "%3d%%  %s of %s, %s/s, %s\n", 100*moved/size, formatSize(moved), formatSize(size), formatSize(int64(rate)), happened)
	}
}

// happened says what the transfer has gone through so far.
func happened(e *end, s *saboteur) string {
	var resumes int64
	if conn := e.conn.Load(); conn != nil {
		resumes = conn.Stats().Resumes
	}
	if s == nil {
		return fmt.Sprintf("resumes: %d", resumes)
	}
	return fmt.Sprintf("cuts: %d, resumes: %d", s.total(), resumes)
}

// errDiffer is the one thing that must not happen.
var errDiffer = errors.New("what has arrived is not what was sent: please report this as a bug of relink")

// report says how it went, from what the ends that ran here know.
func report(out io.Writer, s *saboteur, ends ...*end) error {
	var size, resumes, replayed int64
	var gap, pause, took time.Duration
	var sent, received digest
	for _, e := range ends {
		if e.conn.Load() == nil {
			continue
		}
		size, sent, received = e.size.Load(), e.sent, e.received
		resumes = max(resumes, e.stats.Resumes)
		replayed += e.stats.Replayed
		gap, pause, took = max(gap, e.stats.LongestGap), max(pause, e.pause), max(took, e.took)
	}
	verdict := "identical"
	if sent != received {
		verdict = "DIFFERENT"
	}
	fmt.Fprintf(out, "sent      SHA-256 %x\n", sent)
	fmt.Fprintf(out, "received  SHA-256 %x, %s\n", received, verdict)
	if s != nil {
		fmt.Fprintf(out, "cuts      %d: %d resets, %d clean ends, %d black holes\n", s.total(),
			s.made[faultnet.Reset].Load(), s.made[faultnet.End].Load(), s.made[faultnet.BlackHole].Load())
	}
	fmt.Fprintf(out, "resumes   %d\n", resumes)
	fmt.Fprintf(out, "replayed  %s\n", formatSize(replayed))
	fmt.Fprintf(out, "gap       %v at most without a transport, %v without progress\n", gap.Round(10*time.Microsecond), pause.Round(10*time.Microsecond))
	fmt.Fprintf(out, "time      %v for %d bytes, %s/s\n", took.Round(time.Millisecond), size, formatSize(int64(float64(size)/max(took.Seconds(), 1e-9))))
	if sent != received {
		return errDiffer
	}
	return nil
}
