package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// showProgress shows how the run goes, until the function that it returns is
// called: one line that changes on a terminal, elsewhere a line now and then.
func showProgress(out io.Writer, c *clients, b backend, m *monitor) (stop func()) {
	terminal := false
	if f, ok := out.(*os.File); ok {
		terminal = term.IsTerminal(int(f.Fd()))
	}
	every := max(2*time.Second, c.o.duration/12)
	if terminal {
		every = time.Second
	}
	quit := make(chan struct{})
	var done sync.WaitGroup
	began := time.Now()
	told := make(map[string]bool)
	done.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-quit:
				if terminal {
					say(out, "\n")
				}
				return
			case <-ticker.C:
			}
			for _, f := range append(c.tally.snapshot().Failures, b.counts().Failures...) {
				if !told[f] { // one that is told hours later helps nobody
					told[f] = true
					say(out, "\nFAILED: %s\n", f)
				}
			}
			line := state(time.Since(began), c, b, m.last())
			if terminal {
				say(out, "\r\x1b[K%s", line) // back to the beginning of an empty line
			} else {
				say(out, "%s\n", line)
			}
		}
	})
	return func() {
		close(quit)
		done.Wait()
	}
}

// state is the run at this moment, in one line.
func state(took time.Duration, c *clients, b backend, s sample) string {
	n, m := c.tally.snapshot(), b.counts()
	return fmt.Sprintf("%4.0fs  %d sessions, %d ended  %d cuts, %d resumes  %s  answers %s, p99 %s  heap %s  %d goroutines  %d files  %d failed",
		took.Seconds(), n.ConnOpened-n.ConnClosed, n.Ended, c.cuts.total(), n.Resumed, formatSize(n.Bytes+m.Bytes),
		formatMicros(n.EchoP50), formatMicros(n.EchoP99), formatSize(s.heap), s.goroutines, s.files, n.Failed+m.Failed)
}
