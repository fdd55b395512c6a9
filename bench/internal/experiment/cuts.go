package experiment

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/bench/internal/report"
	"github.com/relink-go/relink/bench/internal/subject"
	"github.com/relink-go/relink/bench/internal/wan"
	"github.com/relink-go/relink/internal/faultnet"
)

var cuts = Experiment{
	Name:  "cuts",
	Title: "From a cut to flowing data",
	Text: "Both sides send a message of 16 bytes every millisecond, through a relay that cuts the connection. The time runs from the cut until both sides have received a message " +
		"that was sent after it. FIN: the relay closes both connections cleanly. Reset: it resets them. Black hole: it drops every packet from then on (on Linux; elsewhere it stops " +
		"forwarding), and the loss is found by LivenessTimeout, which is 1 s here, 15 s by default. NetworkChanged: the client's application calls it, as a phone's does when the system reports a new network. " +
		"Over the long path the relay stands at the server, and the news of a reset travels at once.",
	run: runCuts,
}

// livenessInCuts is the smallest that relink takes.
const livenessInCuts = time.Second

// A cutKind is one way to lose a transport.
type cutKind struct {
	name  string
	far   bool // also over the long path
	count func(Scale) int
	cut   func(*faultnet.Relay, *relink.Conn)
}

var cutKinds = []cutKind{
	{"NetworkChanged", true, func(s Scale) int { return s.Cuts }, func(_ *faultnet.Relay, c *relink.Conn) { c.NetworkChanged() }},
	{"FIN", true, func(s Scale) int { return s.Cuts }, func(r *faultnet.Relay, _ *relink.Conn) { r.Cut(faultnet.End) }},
	{"reset", true, func(s Scale) int { return s.Cuts }, func(r *faultnet.Relay, _ *relink.Conn) { r.Cut(faultnet.Reset) }},
	{"black hole", false, func(s Scale) int { return s.BlackHoles }, func(r *faultnet.Relay, _ *relink.Conn) { r.Cut(faultnet.BlackHole) }},
}

func runCuts(ctx context.Context, e *Env, s *report.Section) error {
	suites := subject.Resumables(e.Credentials)
	for _, far := range []bool{false, true} {
		var n subject.Network = subject.Loopback{}
		file := "cuts"
		if far {
			path := wan.New(wan.Default)
			defer path.Close()
			n, file = path, "cuts-long-path"
		}
		table := report.Table{Caption: "Milliseconds, " + n.Name(), Columns: []string{"kind of cut"}}
		plot := report.Plot{
			File: file, Title: "From a cut until data flows again, " + n.Name(),
			X: report.Axis{Label: "milliseconds", Log: true},
		}
		for _, k := range cutKinds {
			if !far || k.far {
				plot.Categories = append(plot.Categories, k.name)
				table.Rows = append(table.Rows, []string{k.name})
			}
		}
		for _, suite := range suites {
			e.Progress(suite.Name() + ", " + n.Name())
			gaps, err := cutAll(ctx, e, suite, n, plot.Categories)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", suite.Name(), n.Name(), err)
			}
			table.Columns = append(table.Columns, suite.Name())
			for i, name := range plot.Categories {
				gap := gaps.summary(name)
				table.Rows[i] = append(table.Rows[i], report.Spread(gap, report.Number))
				s.Figures[fmt.Sprintf("gap after %s, %s, %s", name, suite.Name(), n.Name())] = gap
			}
			plot.Series = append(plot.Series, report.Series{Name: suite.Name(), Points: gaps.dotted(plot.Categories, 1)})
		}
		s.Tables, s.Plots = append(s.Tables, table), append(s.Plots, plot)
	}
	return nil
}

// cutAll opens a session through a relay and cuts it in every way, in turns. The
// gaps are in milliseconds.
func cutAll(ctx context.Context, e *Env, suite subject.Resumable, n subject.Network, kinds []string) (series, error) {
	cfg := relink.Config{LivenessTimeout: livenessInCuts}
	l, err := suite.NewListener(cfg)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	relay, err := faultnet.NewRelay(l.Addr().String())
	if err != nil {
		return nil, err
	}
	defer relay.Close()
	d, err := suite.NewDialer(n, cfg)
	if err != nil {
		return nil, err
	}
	client, err := d.DialConn(ctx, "tcp", relay.Addr())
	if err != nil {
		return nil, err
	}
	server, err := l.AcceptConn()
	if err != nil {
		_ = client.Abort()
		return nil, err
	}
	f := newFlow(client, server)
	defer f.stop()
	defer func() { _, _ = client.Abort(), server.Abort() }()

	gaps := make(series)
	for i := range max(e.Scale.Cuts, e.Scale.BlackHoles) {
		for _, k := range cutKinds {
			if !slices.Contains(kinds, k.name) || i >= k.count(e.Scale) {
				continue
			}
			// Data flows before it is cut, so that each gap is one of its own.
			if _, err := f.flowing(ctx, time.Now()); err != nil {
				return nil, fmt.Errorf("before %s: %w", k.name, err)
			}
			start := time.Now()
			k.cut(relay, client)
			flowing, err := f.flowing(ctx, time.Now())
			if err != nil {
				return nil, fmt.Errorf("after %s: %w", k.name, err)
			}
			gaps.add(k.name, float64(flowing.Sub(start))/float64(time.Millisecond))
		}
	}
	return gaps, nil
}

// A flow is a stream of small messages both ways, each of which says when it was
// sent.
type flow struct {
	epoch time.Time
	conns []net.Conn
	wg    sync.WaitGroup
	quit  chan struct{}

	mu      sync.Mutex // guards everything below
	changed sync.Cond
	newest  []arrival // of each side
	err     error
}

// An arrival is a message that came: when it was sent and when it came.
type arrival struct {
	wanted   time.Time // the first message sent after this is looked for
	sent, at time.Time
}

// flowEvery is the time between messages.
const flowEvery = time.Millisecond

func newFlow(conns ...net.Conn) *flow {
	f := &flow{epoch: time.Now(), conns: conns, quit: make(chan struct{}), newest: make([]arrival, len(conns))}
	f.changed.L = &f.mu
	for i, c := range conns {
		f.wg.Go(func() { f.send(c) })
		f.wg.Go(func() { f.receive(i, c) })
	}
	return f
}

// flowMessage is the size of a message: its time and padding.
const flowMessage = 16

func (f *flow) send(c net.Conn) {
	var message [flowMessage]byte
	ticker := time.NewTicker(flowEvery)
	defer ticker.Stop()
	for {
		select {
		case <-f.quit:
			return
		case <-ticker.C:
		}
		binary.BigEndian.PutUint64(message[:], uint64(time.Since(f.epoch)))
		if _, err := c.Write(message[:]); err != nil {
			f.fail(err)
			return
		}
	}
}

func (f *flow) receive(side int, c net.Conn) {
	var message [flowMessage]byte
	for {
		if _, err := io.ReadFull(c, message[:]); err != nil {
			f.fail(err)
			return
		}
		at := time.Now()
		sent := f.epoch.Add(time.Duration(binary.BigEndian.Uint64(message[:])))
		f.mu.Lock()
		if a := &f.newest[side]; a.sent.IsZero() && !a.wanted.IsZero() && sent.After(a.wanted) {
			a.sent, a.at = sent, at
			f.changed.Broadcast()
		}
		f.mu.Unlock()
	}
}

func (f *flow) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = errors.Join(f.err, err)
	f.changed.Broadcast()
}

// flowing waits until both sides have received a message that was sent after the
// moment, and returns when the second of them had.
func (f *flow) flowing(ctx context.Context, after time.Time) (time.Time, error) {
	stop := context.AfterFunc(ctx, func() { f.fail(ctx.Err()) })
	defer stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.newest {
		f.newest[i] = arrival{wanted: after}
	}
	var last time.Time
	for i := range f.newest {
		for f.newest[i].sent.IsZero() && f.err == nil {
			f.changed.Wait()
		}
		if f.err != nil {
			return time.Time{}, f.err
		}
		if f.newest[i].at.After(last) {
			last = f.newest[i].at
		}
	}
	return last, nil
}

// stop ends the flow. Its streams must have been ended before.
func (f *flow) stop() {
	close(f.quit)
	f.wg.Wait()
}
