package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/relink-go/relink/lab/network"
)

// report makes a report of one outcome.
func report(o network.Outcome) *network.Report {
	return &network.Report{Outcomes: []network.Outcome{o}}
}

func TestCells(t *testing.T) {
	view := func(ms int, open bool, err error, at int) network.View {
		return network.View{Gap: time.Duration(ms) * time.Millisecond, Open: open, Err: err, ErrAt: time.Duration(at) * time.Millisecond}
	}
	gone := errors.New("reset")
	for _, c := range []struct {
		name  string
		cell  func([]network.Outcome) string
		views [][2]network.View // client and server of each run
		want  string
	}{
		{"none", gapCell, nil, ""},
		{"median of each side", gapCell, [][2]network.View{
			{view(100, false, nil, 0), view(900, false, nil, 0)},
			{view(200, false, nil, 0), view(800, false, nil, 0)},
			{view(300, false, nil, 0), view(700, false, nil, 0)},
		}, "0.20 / 0.80"},
		{"long", gapCell, [][2]network.View{{view(60_240, false, nil, 0), view(10_000, false, nil, 0)}}, "60.2 / 10.0"},
		{"stuck", gapCell, [][2]network.View{{view(100, true, nil, 0), view(100, false, nil, 0)}}, "0.10 / 0.10, and in a run it did not end"},
		{"plain, recovered", plainCell, [][2]network.View{{view(100, false, nil, 0), view(250, false, nil, 0)}}, "0.25"},
		{"plain, silent", plainCell, [][2]network.View{{view(65_000, true, nil, 0), view(64_000, true, nil, 0)}}, "silent, no error in 65.0"},
		{"plain, first error", plainCell, [][2]network.View{{view(5000, true, gone, 300), view(5000, true, gone, 200)}}, "dies after 0.20"},
	} {
		var runs []*network.Report
		for _, v := range c.views {
			runs = append(runs, report(network.Outcome{Subject: "x", Client: v[0], Server: v[1]}))
		}
		if got := c.cell(pick(runs, column{subject: "x"})); got != c.want {
			t.Errorf("%s: %q, and %q was to be", c.name, got, c.want)
		}
	}
}

// Every fault has a row in each table, of as many cells as the header.
func TestTablesAreWhole(t *testing.T) {
	faults := network.Faults()
	reports := make(map[string][]*network.Report)
	for _, f := range faults {
		r := report(network.Outcome{Subject: network.Noise, Load: network.Game})
		r.Fault = f
		reports[f.Name] = append(reports[f.Name], r)
	}
	text := tables(network.Settings{}, faults, reports)
	for _, f := range faults {
		if n := strings.Count(text, "| "+f.Name+" |"); n != 3 {
			t.Errorf("%s has %d rows", f.Name, n)
		}
	}
	width := 0
	for line := range strings.Lines(text) {
		cells := strings.Count(line, "|")
		if cells > 0 && width > 0 && cells != width {
			t.Errorf("%d cells after %d: %s", cells, width, line)
		}
		width = cells
	}
}
