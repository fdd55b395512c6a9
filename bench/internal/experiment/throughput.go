package experiment

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/relink-go/relink/bench/internal/measure"
	"github.com/relink-go/relink/bench/internal/report"
	"github.com/relink-go/relink/bench/internal/subject"
)

var throughput = Experiment{
	Name:  "throughput",
	Title: "Throughput: one writer, by size of the writes",
	Text: "One goroutine writes messages of one size to one connection over loopback TCP (QUIC: UDP), another reads into a buffer of 256 KiB; both are in one process. " +
		"A turn is a batch of messages, from the first Write until the last byte was read; the batch is chosen so that a turn takes a third of a measurement, and the subjects take turns " +
		"three times a round, on connections that are new in each. The speed is that of the application's bytes. Sizes at which gathering " +
		"helps are small writes: relink sends what a row of Writes has left behind with one system call.",
	run: runThroughput,
}

// turnsInRound is how often each subject has its turn in a round, so that a slow
// second of the machine does not fall on one of them.
const turnsInRound = 3

// A bulk is a subject's connections for writing, with the batch for its turn.
type bulk struct {
	name  string
	pairs []*subject.Pair
	locks []sync.Locker // one for each pair, nil where the subject needs none
	batch int           // messages in a turn, on each connection
}

// openBulk opens the connections.
func openBulk(ctx context.Context, s subject.Subject, n subject.Network, conns, writers int) (*bulk, error) {
	b := &bulk{name: s.Name()}
	for range conns {
		p, err := subject.Open(ctx, s, n)
		if err != nil {
			b.close()
			return nil, err
		}
		var lock sync.Locker
		if writers > 1 && !s.ConcurrentWrites() {
			lock = new(sync.Mutex)
		}
		b.pairs, b.locks = append(b.pairs, p), append(b.locks, lock)
	}
	return b, nil
}

func (b *bulk) close() {
	for _, p := range b.pairs {
		p.Close()
	}
}

// turn sends the batch on all connections at once and returns the time.
func (b *bulk) turn(size, messages, writers int) (time.Duration, error) {
	start := time.Now()
	if len(b.pairs) == 1 {
		err := WriteBatch(b.pairs[0].Client, b.pairs[0].Server, size, messages, writers, b.locks[0])
		return time.Since(start), err
	}
	errs := make([]error, len(b.pairs))
	var wg sync.WaitGroup
	for i, p := range b.pairs {
		wg.Go(func() { errs[i] = WriteBatch(p.Client, p.Server, size, messages, writers, b.locks[i]) })
	}
	wg.Wait()
	return time.Since(start), errors.Join(errs...)
}

// calibrate chooses the batch so that a turn takes about as long as wanted.
func (b *bulk) calibrate(size, writers int, want time.Duration) error {
	const most = 1 << 20
	for b.batch = writers; ; b.batch *= 2 {
		took, err := b.turn(size, b.batch, writers)
		if err != nil {
			return err
		}
		if took >= want/2 || b.batch >= most {
			// Once more, since the first batches are also the first steps of TCP and of the
			// connection's buffers.
			if took, err = b.turn(size, b.batch, writers); err != nil {
				return err
			}
			b.batch = min(most, max(writers, int(float64(b.batch)*float64(want)/float64(max(took, 1)))))
			return nil
		}
	}
}

// A load is what speeds does to every subject.
type load struct{ size, conns, writers int }

// speeds measures bytes a second for each subject and round.
func speeds(ctx context.Context, e *Env, l load) (series, error) {
	found := make(series)
	batches := make(map[string]int)
	for range e.Scale.Rounds {
		if err := speedRound(ctx, e, l, batches, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// speedRound is one round. Its connections are new: where the memory of one
// happens to lie can make a tenth of its speed, for as long as it lives.
func speedRound(ctx context.Context, e *Env, l load, batches map[string]int, found series) error {
	subjects := e.forData()
	bulks := make([]*bulk, 0, len(subjects))
	defer func() {
		for _, b := range bulks {
			b.close()
		}
	}()
	for _, s := range subjects {
		b, err := openBulk(ctx, s, subject.Loopback{}, l.conns, l.writers)
		if err != nil {
			return err
		}
		bulks = append(bulks, b)
		if b.batch = batches[b.name]; b.batch > 0 {
			_, err = b.turn(l.size, b.batch, l.writers) // as calibrate does last
		} else {
			err = b.calibrate(l.size, l.writers, e.Scale.Time/turnsInRound)
			batches[b.name] = b.batch
		}
		if err != nil {
			return fmt.Errorf("%s, %s: %w", b.name, report.Bytes(l.size), err)
		}
	}
	spent := make([]time.Duration, len(bulks))
	err := measure.Turns(turnsInRound, len(bulks), func(_, i int) error {
		took, err := bulks[i].turn(l.size, bulks[i].batch, l.writers)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", bulks[i].name, report.Bytes(l.size), err)
		}
		spent[i] += took
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	for i, b := range bulks {
		found.add(b.name, float64(l.size*b.batch*l.conns*turnsInRound)/spent[i].Seconds())
	}
	return nil
}

func runThroughput(ctx context.Context, e *Env, s *report.Section) error {
	bySize := make(map[int]series)
	for _, size := range e.Scale.Sizes {
		e.Progress(report.Bytes(size))
		found, err := speeds(ctx, e, load{size, 1, 1})
		if err != nil {
			return err
		}
		bySize[size] = found
	}
	of := names(e.forData())
	speedTables(s, of, e.Scale.Sizes, bySize, "MB/s")
	s.Plots = append(s.Plots, speedPlot("throughput", "Throughput of one writer over loopback", of, e.Scale.Sizes, bySize))
	return nil
}

// megabyte is 10⁶ bytes.
const megabyte = 1e6

// speedTables adds a table of speeds and one of ratios.
func speedTables(s *report.Section, of []string, sizes []int, bySize map[int]series, caption string) {
	speed := report.Table{Caption: caption, Columns: []string{"subject"}}
	ratio := report.Table{Caption: "Ratio to the rival (more is faster)", Columns: []string{"subject", "rival"}}
	for _, size := range sizes {
		speed.Columns = append(speed.Columns, report.Bytes(size))
		ratio.Columns = append(ratio.Columns, report.Bytes(size))
	}
	for _, name := range of {
		row, ratios := []string{name}, []string{name, versus(name)}
		for _, size := range sizes {
			row = append(row, report.Number(bySize[size].summary(name).Median/megabyte))
			ratios = append(ratios, bySize[size].ratioCell(name))
		}
		speed.Rows = append(speed.Rows, row)
		if versus(name) != "–" {
			ratio.Rows = append(ratio.Rows, ratios)
		}
	}
	s.Tables = append(s.Tables, ratio, speed)
}

func speedPlot(file, title string, of []string, sizes []int, bySize map[int]series) report.Plot {
	p := report.Plot{
		File: file, Title: title,
		X: report.Axis{Label: "size of a write", Log: true, Ticks: sizeTicks(sizes)},
		Y: report.Axis{Label: "MB/s", Log: true},
	}
	for _, name := range of {
		line := report.Series{Name: name}
		for _, size := range sizes {
			line.Points = append(line.Points, at(float64(size), measure.Summarize(bySize[size].scaled(name, 1/megabyte))))
		}
		p.Series = append(p.Series, line)
	}
	return p
}

var manyWriters = Experiment{
	Name:  "writers",
	Title: "Throughput: many writers",
	Text: "The same with many goroutines that write at once: first all on one connection (with a mutex around Write where a subject forbids concurrent writes: RC4 and QUIC), " +
		"then each on a connection of its own, whose reader is a goroutine of its own too.",
	run: runManyWriters,
}

func runManyWriters(ctx context.Context, e *Env, s *report.Section) error {
	n := e.Scale.Writers
	of := names(e.forData())
	for _, kind := range []struct {
		what           string
		conns, writers int
	}{
		{fmt.Sprintf("%d goroutines on one connection", n), 1, n},
		{fmt.Sprintf("%d connections with a writer each", n), n, 1},
	} {
		bySize := make(map[int]series)
		for _, size := range e.Scale.ManySizes {
			e.Progress(kind.what + ", " + report.Bytes(size))
			found, err := speeds(ctx, e, load{size, kind.conns, kind.writers})
			if err != nil {
				return err
			}
			bySize[size] = found
		}
		from := len(s.Tables)
		speedTables(s, of, e.Scale.ManySizes, bySize, "MB/s")
		for i := range s.Tables[from:] {
			s.Tables[from+i].Caption += ", " + kind.what
		}
		file := "writers-one-connection"
		if kind.conns > 1 {
			file = "writers-many-connections"
		}
		s.Plots = append(s.Plots, speedPlot(file, "Throughput: "+kind.what, of, e.Scale.ManySizes, bySize))
	}
	return nil
}
