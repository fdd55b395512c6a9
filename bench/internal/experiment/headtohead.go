package experiment

import (
	"context"

	"github.com/relink-go/relink/bench/internal/report"
	"github.com/relink-go/relink/bench/internal/subject"
)

// writes is a subject that writes messages of a size.
func writes(name string, size, conns int) contender {
	return contender{subject: name, task: writing, size: size, conns: conns}
}

// A duel is a contender with those that it is compared with.
type duel struct {
	first  contender
	others []contender
}

func (d duel) all() []contender { return append([]contender{d.first}, d.others...) }

// of compares one subject with others at the same writes.
func against(name string, size, conns int, others ...string) duel {
	return duel{writes(name, size, conns), each(others, contender{task: writing, size: size, conns: conns})}
}

// The sizes of writes that goals speak of, in bytes.
const (
	tiny  = 64
	small = 1 << 10
	large = 64 << 10
)

// duels are the comparisons that goals and their limits speak of.
func duels(many int) []duel {
	all := []duel{
		{writes(subject.DH64RC4, small, 1), []contender{writes(subject.DH64RC4, large, 1)}},
		{writes(subject.Noise, small, 1), []contender{writes(subject.Noise, large, 1)}},
		against(subject.RC4, 256, 1, subject.DH64RC4, subject.RC4Gathered),
		against(subject.RC4, tiny, 1, subject.DH64RC4, subject.RC4Gathered),
		against(subject.Noise, tiny, 1, subject.TCP),
	}
	for _, conns := range []int{1, many} {
		all = append(all,
			against(subject.Noise, large, conns, subject.TLS, subject.TLSAES256, subject.Classic),
			against(subject.DH64RC4, large, conns, subject.RC4, subject.CryptoRC4, subject.ClassicRC),
			against(subject.RC4, large, conns, subject.RC4Kept))
	}
	return all
}

var headToHead = Experiment{
	Name:  "head-to-head",
	Title: "Throughput: few at a time",
	Text: "The comparisons that the goals speak of, as above but with few at a time, so that the machine of some seconds ago does not count, and with more rounds. " +
		"RC4 (gathered) is the most that gathering small writes brings if nothing else is done. The resumable libraries that others have made cannot be had as a module; classic and classic RC4 stand for them.",
	run: runHeadToHead,
}

func runHeadToHead(ctx context.Context, e *Env, s *report.Section) error {
	list := duels(e.Scale.ManyConns)
	var groups [][]contender
	for _, d := range list {
		groups = append(groups, d.all())
	}
	all, err := e.contest(ctx, e.Scale.DuelRounds, groups...)
	if err != nil {
		return err
	}
	t := report.Table{Columns: []string{"", "relative to", "ratio of speeds", "ratio of processor times", "MB/s", "MB/s of the other", "s/GB", "s/GB of the other"}}
	for i, d := range list {
		f := all[i]
		for _, c := range d.all() {
			s.Figures[processorFigure(c)] = f.summary(c, processorOf, perGB)
		}
		for _, o := range d.others {
			f.compare(s.Figures, d.first, o)
			f.compare(s.Figures, o, d.first)
			t.Rows = append(t.Rows, []string{
				d.first.String(), o.String(),
				report.Spread(f.ratio(d.first, o, speedOf), report.Ratio), report.Spread(f.ratio(d.first, o, processorOf), report.Ratio),
				f.cell(d.first, speedOf, megabytes), f.cell(o, speedOf, megabytes),
				f.cell(d.first, processorOf, perGB), f.cell(o, processorOf, perGB),
			})
		}
	}
	s.Tables = append(s.Tables, t)
	return nil
}
