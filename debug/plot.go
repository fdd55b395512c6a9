package debug

import (
	"fmt"
	"time"
)

// A plot shows one value of each slot of the last hour as a bar.
type plot struct {
	Title, Class string
	Most         string // the greatest value, in words
	Bars         []bar
}

// A bar is a value in a plot of 240 by 48.
type bar struct {
	X, Y, Height float64
	Text         string
}

const (
	barWidth   = 2.0 // that of a slot
	plotHeight = 48.0
)

// plots returns those of the page.
func plots(hour []slot) []plot {
	count := func(n int64) string { return fmt.Sprint(n) }
	return []plot{
		newPlot("resumes", "good", hour, func(s *slot) int64 { return s.resumed }, count),
		newPlot("longest gap", "warn", hour, func(s *slot) int64 { return int64(s.gap) }, func(n int64) string { return inTime(time.Duration(n)) }),
		newPlot("losses", "warn", hour, func(s *slot) int64 { return s.suspended }, count),
		newPlot("new sessions", "calm", hour, func(s *slot) int64 { return s.opened }, count),
		newPlot("refused", "bad", hour, func(s *slot) int64 { return s.refused }, count),
		newPlot("sent again", "calm", hour, func(s *slot) int64 { return s.replayed }, inBytes),
	}
}

func newPlot(title, class string, hour []slot, value func(*slot) int64, text func(int64) string) plot {
	p := plot{Title: title, Class: class}
	most := int64(0)
	for i := range hour {
		most = max(most, value(&hour[i]))
	}
	p.Most = text(most)
	for i := range hour {
		v := value(&hour[i])
		if v <= 0 {
			continue
		}
		height := max(1.5, float64(v)/float64(most)*(plotHeight-2))
		at := time.Unix(hour[i].number*int64(slotTime/time.Second), 0)
		p.Bars = append(p.Bars, bar{X: float64(i) * barWidth, Y: plotHeight - height, Height: height, Text: at.Format("15:04:05") + " " + text(v)})
	}
	return p
}
