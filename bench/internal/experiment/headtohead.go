package experiment

import (
	"context"
	"errors"
	"fmt"

	"github.com/relink-go/relink/bench/internal/measure"
	"github.com/relink-go/relink/bench/internal/report"
	"github.com/relink-go/relink/bench/internal/subject"
)

// A contender is a subject with the size of its writes.
type contender struct {
	subject string
	size    int
}

func (c contender) String() string { return c.subject + ", " + report.Bytes(c.size) }

// largest is the size of the writes that cost least for each byte.
const largest = 256 << 10

// duels are the comparisons that goals and their limits speak of.
var duels = [][2]contender{
	{{subject.DH64RC4, 64 << 10}, {subject.RC4, 64 << 10}},
	{{subject.RC4Kept, 64 << 10}, {subject.RC4, 64 << 10}},
	{{subject.DH64RC4, 64 << 10}, {subject.CryptoRC4, 64 << 10}},
	{{subject.DH64RC4, 1 << 10}, {subject.DH64RC4, 64 << 10}},
	{{subject.Noise, 1 << 10}, {subject.Noise, 64 << 10}},
	{{subject.DH64RC4, 256}, {subject.RC4, 256}},
	{{subject.RC4Gathered, 256}, {subject.RC4, 256}},
	{{subject.RC4, largest}, {subject.RC4, 256}},
	{{subject.DH64RC4, 64}, {subject.RC4, 64}},
	{{subject.RC4Gathered, 64}, {subject.RC4, 64}},
	{{subject.RC4, largest}, {subject.RC4, 64}},
	{{subject.Noise, 64 << 10}, {subject.TLSAES256, 64 << 10}},
	{{subject.Noise, 64 << 10}, {subject.TLS, 64 << 10}},
	{{subject.Noise, 64}, {subject.TCP, 64}},
}

// duelFigure names the speed of one contender relative to another's.
func duelFigure(a, b contender) string { return fmt.Sprintf("speed: %v / %v", a, b) }

var headToHead = Experiment{
	Name:  "head-to-head",
	Title: "Throughput: two at a time",
	Text: "The comparisons that the goals speak of, as above but with two at a time, so that the machine of some seconds ago does not count, and with more rounds. " +
		"Two sizes of one subject share a connection. RC4's own largest writes over its small ones are the most that gathering small writes could bring if it cost nothing: they would then go at the speed of the cipher. " +
		"RC4 (gathered) is what is left of that by the copying of each write alone.",
	run: runHeadToHead,
}

func runHeadToHead(ctx context.Context, e *Env, s *report.Section) error {
	t := report.Table{Columns: []string{"subject, size of its writes", "relative to", "ratio of speeds", "MB/s", "MB/s of the other"}}
	found := make([]series, len(duels))
	for i := range found {
		found[i] = make(series)
	}
	err := e.duelRounds(len(duels), func(i int) error {
		if err := duel(ctx, e, duels[i], found[i]); err != nil {
			return fmt.Errorf("%v and %v: %w", duels[i][0], duels[i][1], err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, d := range duels {
		a, b := d[0].String(), d[1].String()
		ratio := found[i].ratio(a, b)
		s.Figures[duelFigure(d[0], d[1])] = ratio
		t.Rows = append(t.Rows, []string{
			a, b, report.Spread(ratio, report.Ratio),
			report.Number(found[i].summary(a).Median / megabyte), report.Number(found[i].summary(b).Median / megabyte),
		})
	}
	s.Tables = append(s.Tables, t)
	return nil
}

// duel is one round of two contenders, on connections that are new.
func duel(ctx context.Context, e *Env, d [2]contender, found series) error {
	subjects, err := subject.Named(e.Credentials, d[0].subject, d[1].subject)
	if err != nil {
		return err
	}
	var bulks [2]*bulk
	if bulks[0], err = openBulk(ctx, subjects[0], subject.Loopback{}, 1, 1); err != nil {
		return err
	}
	defer bulks[0].close()
	bulks[1] = bulks[0]
	if d[0].subject != d[1].subject {
		if bulks[1], err = openBulk(ctx, subjects[1], subject.Loopback{}, 1, 1); err != nil {
			return err
		}
		defer bulks[1].close()
	}
	var batches [2]int
	for i, b := range bulks {
		if err := b.calibrate(d[i].size, 1, e.Scale.Time/turnsInRound); err != nil {
			return err
		}
		batches[i] = b.batch
	}
	var seconds [2]float64
	err = measure.Turns(turnsInRound, len(bulks), func(_, i int) error {
		took, err := bulks[i].turn(d[i].size, batches[i], 1)
		seconds[i] += took.Seconds()
		return errors.Join(err, ctx.Err())
	})
	for i, c := range d {
		found.add(c.String(), float64(c.size*batches[i]*turnsInRound)/seconds[i])
	}
	return err
}
