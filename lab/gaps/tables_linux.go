package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/relink-go/relink/lab/network"
)

// A column of a table, by what it picks of the runs.
type column struct {
	subject string
	load    network.Load
	told    bool
}

// pick returns the outcomes of one column, one for each run.
func pick(runs []*network.Report, c column) []network.Outcome {
	var all []network.Outcome
	for _, r := range runs {
		for _, o := range r.Outcomes {
			if o.Subject == c.subject && o.Load == c.load && o.Told == c.told {
				all = append(all, o)
			}
		}
	}
	return all
}

// median is the middle one, or the lower of the two.
func median[T int64 | time.Duration](values []T) T {
	slices.Sort(values)
	return values[(len(values)-1)/2]
}

// medianOf is the median of one figure of the outcomes.
func medianOf[T int64 | time.Duration](all []network.Outcome, figure func(network.Outcome) T) T {
	values := make([]T, len(all))
	for i, o := range all {
		values[i] = figure(o)
	}
	return median(values)
}

// seconds shows a time as precisely as it can be meant.
func seconds(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.2f", d.Seconds())
	default:
		return fmt.Sprintf("%.1f", d.Seconds())
	}
}

// tables shows what was measured.
func tables(s network.Settings, faults []network.Fault, reports map[string][]*network.Report) string {
	var b strings.Builder
	rounds, late := 0, time.Duration(0)
	for _, runs := range reports {
		rounds = max(rounds, len(runs))
		for _, r := range runs {
			late = max(late, r.Late)
		}
	}
	fmt.Fprintf(&b, "Medians of %d runs, in seconds. The round trip takes %v; LivenessTimeout is %v. "+
		"In all runs this process was kept from running for at most %v at a time.\n\n",
		rounds, s.RoundTrip, s.Liveness(), late.Round(time.Millisecond))
	gapTable(&b, faults, reports)
	b.WriteString("\n")
	bulkTable(&b, faults, reports)
	b.WriteString("\n")
	idleTable(&b, faults, reports)
	return b.String()
}

// header starts a table.
func header(b *strings.Builder, cells ...string) {
	row(b, cells...)
	row(b, strings.Split(strings.Repeat("--- ", len(cells)-1)+"---", " ")...)
}

func row(b *strings.Builder, cells ...string) {
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

// gapTable is the longest time without a byte under 20 messages a second.
func gapTable(b *strings.Builder, faults []network.Fault, reports map[string][]*network.Report) {
	b.WriteString("**20 messages a second each way**: the longest time without a message, client's application / server's application.\n\n")
	cells := []string{"fault", "lasts"}
	cells = append(cells, network.Plain...)
	cells = append(cells, network.Suites...)
	for _, suite := range network.Suites {
		cells = append(cells, suite+", told")
	}
	header(b, cells...)
	for _, f := range faults {
		cells := []string{f.Name, "–"}
		if f.Lasts > 0 {
			cells[1] = seconds(f.Lasts)
		}
		for _, plain := range network.Plain {
			cells = append(cells, plainCell(pick(reports[f.Name], column{plain, network.Game, false})))
		}
		for _, told := range []bool{false, true} {
			for _, suite := range network.Suites {
				cells = append(cells, gapCell(pick(reports[f.Name], column{suite, network.Game, told})))
			}
		}
		row(b, cells...)
	}
}

// gapCell shows what the two applications of a session saw.
func gapCell(all []network.Outcome) string {
	if len(all) == 0 {
		return ""
	}
	client := medianOf(all, func(o network.Outcome) time.Duration { return o.Client.Gap })
	server := medianOf(all, func(o network.Outcome) time.Duration { return o.Server.Gap })
	for _, o := range all {
		if o.Client.Open || o.Server.Open {
			return fmt.Sprintf("%s / %s, and in a run it did not end", seconds(client), seconds(server))
		}
	}
	return seconds(client) + " / " + seconds(server)
}

// plainCell shows what became of a connection that nothing resumes: an error of
// either side, or how long it was quiet.
func plainCell(all []network.Outcome) string {
	var failed, quiet, gaps []time.Duration
	for _, o := range all {
		switch gap := max(o.Client.Gap, o.Server.Gap); {
		case o.Client.Err != nil || o.Server.Err != nil:
			first := time.Duration(0)
			for _, v := range []network.View{o.Client, o.Server} {
				if v.Err != nil && (first == 0 || v.ErrAt < first) {
					first = v.ErrAt
				}
			}
			failed = append(failed, first)
		case o.Client.Open || o.Server.Open:
			quiet = append(quiet, gap)
		default:
			gaps = append(gaps, gap)
		}
	}
	switch most := max(len(failed), len(quiet), len(gaps)); {
	case most == 0:
		return ""
	case len(failed) == most:
		return "dies after " + seconds(median(failed))
	case len(quiet) == most:
		return "silent, no error in " + seconds(slices.Min(quiet))
	default:
		return seconds(median(gaps))
	}
}

// bulkTable is about a steady stream.
func bulkTable(b *strings.Builder, faults []network.Fault, reports map[string][]*network.Report) {
	b.WriteString("**256 KB a second each way**, without NetworkChanged: the longer gap of the two; how often the session resumed; " +
		"KB sent again.\n\n")
	header(b, append([]string{"fault"}, network.Suites...)...)
	for _, f := range faults {
		cells := []string{f.Name}
		for _, suite := range network.Suites {
			all := pick(reports[f.Name], column{suite, network.Bulk, false})
			if len(all) == 0 {
				cells = append(cells, "")
				continue
			}
			cells = append(cells, fmt.Sprintf("%s; %d; %.0f",
				seconds(medianOf(all, network.Outcome.Gap)),
				medianOf(all, func(o network.Outcome) int64 { return o.Resumes }),
				float64(medianOf(all, func(o network.Outcome) int64 { return o.Replayed }))/1e3))
		}
		row(b, cells...)
	}
}

// idleTable is about a session that says nothing.
func idleTable(b *strings.Builder, faults []network.Fault, reports map[string][]*network.Report) {
	b.WriteString("**An idle session**, without NetworkChanged: when the client and the server noticed the loss (– if not at all), and " +
		"how long the first message each way took afterwards.\n\n")
	header(b, append([]string{"fault"}, network.Suites...)...)
	for _, f := range faults {
		cells := []string{f.Name}
		for _, suite := range network.Suites {
			all := pick(reports[f.Name], column{suite, network.Idle, false})
			if len(all) == 0 {
				cells = append(cells, "")
				continue
			}
			cells = append(cells, fmt.Sprintf("%s / %s; %s", noticed(all, 0), noticed(all, 1),
				seconds(medianOf(all, func(o network.Outcome) time.Duration { return o.Answer }))))
		}
		row(b, cells...)
	}
}

// noticed is when a side first lost a transport, in most of the runs.
func noticed(all []network.Outcome, side int) string {
	var at []time.Duration
	for _, o := range all {
		if len(o.Lost[side]) > 0 {
			at = append(at, o.Lost[side][0].At)
		}
	}
	if 2*len(at) <= len(all) {
		return "–"
	}
	return seconds(median(at))
}
