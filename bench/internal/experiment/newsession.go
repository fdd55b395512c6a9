package experiment

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/relink-go/relink/bench/internal/measure"
	"github.com/relink-go/relink/bench/internal/report"
	"github.com/relink-go/relink/bench/internal/subject"
)

var newSession = Experiment{
	Name:  "sessions",
	Title: "New sessions",
	Text: "Time: one stream after the other is dialled and accepted; a turn is a batch of them, from the first Dial until both sides have the last, and every handshake is over on both " +
		"sides by then. The streams are closed after the turn, outside of the time. Processor time is that of the whole process, so of both sides and the kernel's work on " +
		"their behalf, during the same turn. Rate: several goroutines dial and close as fast as they can for the time of a measurement. " +
		"TLS and QUIC verify a certificate; Noise knows the server's key; RC4, DH64RC4 and SCP do a key exchange that proves nothing.",
	run: runNewSession,
}

// A door is a server with a goroutine that accepts, where several clients may come
// at once and each finds its other side.
type door struct {
	subject  subject.Subject
	listener net.Listener

	mu       sync.Mutex // guards everything below
	changed  sync.Cond
	accepted map[string]net.Conn // by the client's port
	closed   bool
}

func openDoor(s subject.Subject) (*door, error) {
	l, err := s.Listen()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name(), err)
	}
	d := &door{subject: s, listener: l, accepted: make(map[string]net.Conn)}
	d.changed.L = &d.mu
	go func() {
		for {
			c, err := l.Accept()
			d.mu.Lock()
			if err != nil || d.closed {
				d.closed = true
				d.changed.Broadcast()
				d.mu.Unlock()
				if err == nil {
					subject.Abort(c)
				}
				return
			}
			d.accepted[port(c.RemoteAddr())] = c
			d.changed.Broadcast()
			d.mu.Unlock()
		}
	}()
	return d, nil
}

func port(a net.Addr) string {
	_, p, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return p
}

func (d *door) close() {
	_ = d.listener.Close()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for _, c := range d.accepted {
		subject.Abort(c)
	}
}

// errClosedDoor is what a client finds whose server has ended.
var errClosedDoor = errors.New("the server has ended")

// enter dials once and waits for the other side. Through a network with a relay
// the server sees other ports; there only one client may come at a time.
func (d *door) enter(ctx context.Context, n subject.Network) (client, server net.Conn, err error) {
	client, err = d.subject.Dial(ctx, n, d.listener.Addr().String())
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", d.subject.Name(), err)
	}
	_, direct := n.(subject.Loopback)
	mine := port(client.LocalAddr())
	d.mu.Lock()
	defer d.mu.Unlock()
	for !d.closed {
		for p, server := range d.accepted {
			if p == mine || !direct {
				delete(d.accepted, p)
				return client, server, nil
			}
		}
		d.changed.Wait()
	}
	subject.Abort(client)
	return nil, nil, errClosedDoor
}

// batch opens so many streams one after the other, calls done when the last is
// there, and closes them.
func (d *door) batch(ctx context.Context, count int, done func()) error {
	conns := make([]net.Conn, 0, 2*count)
	defer func() {
		for _, c := range conns {
			subject.Abort(c)
		}
	}()
	for range count {
		client, server, err := d.enter(ctx, subject.Loopback{})
		if err != nil {
			return err
		}
		conns = append(conns, client, server)
	}
	done()
	return nil
}

// quiet is how long the closing of a turn's streams may go on in the background
// before the next turn begins.
const quiet = 5 * time.Millisecond

func runNewSession(ctx context.Context, e *Env, s *report.Section) error {
	subjects := subject.ForHandshakes(e.Credentials)
	of := names(subjects)
	var doors []*door
	defer func() {
		for _, d := range doors {
			d.close()
		}
	}()
	for _, subj := range subjects {
		d, err := openDoor(subj)
		if err != nil {
			return err
		}
		doors = append(doors, d)
		if err := d.batch(ctx, 2, func() {}); err != nil {
			return err
		}
	}
	e.Progress("one after the other")
	wall, processor, err := takeTurns(ctx, e, doors, e.Scale.Rounds, turnsInRound)
	if err != nil {
		return err
	}
	e.Progress("few, with more rounds")
	few := slices.DeleteFunc(slices.Clone(doors), func(d *door) bool { return !slices.Contains(newSessionDuelists, d.subject.Name()) })
	duelWall, duelProcessor, err := takeTurns(ctx, e, few, e.Scale.DuelRounds, 5*turnsInRound)
	if err != nil {
		return err
	}
	duels := report.Table{Caption: "These alone in turns, with more and longer rounds", Columns: []string{"subject", "time / TCP", "processor time / TCP"}}
	for _, name := range newSessionDuelists {
		if name == subject.TCP {
			continue
		}
		duelWall.compare(s.Figures, newSessionDuel, [2]string{name, subject.TCP})
		duels.Rows = append(duels.Rows, []string{
			name, report.Spread(duelWall.ratio(name, subject.TCP), report.Number), report.Spread(duelProcessor.ratio(name, subject.TCP), report.Number),
		})
	}
	e.Progress("rates")
	rates := make(series)
	err = measure.Turns(e.Scale.Rounds, len(doors), func(_, i int) error {
		n, took, err := doors[i].rush(ctx, e.Scale.Dialers, e.Scale.Time)
		rates.add(of[i], float64(n)/took.Seconds())
		time.Sleep(quiet)
		return err
	})
	if err != nil {
		return err
	}

	t := report.Table{
		Caption: "Times relative to TCP's connect and accept (less is faster)",
		Columns: []string{"subject", "time / TCP", "microseconds", "processor time / TCP", "processor µs, both sides", "sessions a second"},
	}
	for _, name := range of {
		t.Rows = append(t.Rows, []string{
			name, report.Spread(wall.ratio(name, subject.TCP), report.Number), report.Number(wall.summary(name).Median / 1e3),
			report.Spread(processor.ratio(name, subject.TCP), report.Number), report.Number(processor.summary(name).Median / 1e3),
			report.Number(rates.summary(name).Median),
		})
		processor.compare(s.Figures, newSessionProcessor, [2]string{name, subject.TCP}, [2]string{name, subject.TLS}, [2]string{name, subject.TLSX25519})
	}
	against := report.Table{Caption: "Processor time of Noise against TLS", Columns: []string{"", "ratio"}}
	for _, rival := range []string{subject.TLS, subject.TLSX25519} {
		against.Rows = append(against.Rows, []string{subject.Noise + " / " + rival, report.Spread(processor.ratio(subject.Noise, rival), report.Number)})
	}
	s.Tables = append(s.Tables, t, duels, against)
	s.Plots = append(s.Plots, report.Plot{
		File: "sessions", Title: "A new session over loopback",
		X: report.Axis{Label: "microseconds", Log: true}, Categories: of,
		Series: []report.Series{{Name: "time", Points: wall.dotted(of, 1e-3)}, {Name: "processor time", Points: processor.dotted(of, 1e-3)}},
	})
	return nil
}

// newSessionDuelists are TCP, what the goal compares with it, and its limit.
var newSessionDuelists = []string{subject.TCP, subject.DH64RC4, subject.RC4Steps}

// takeTurns returns the time and the processor time of a new stream by subject, in
// rounds of so many turns each.
func takeTurns(ctx context.Context, e *Env, doors []*door, rounds, turns int) (wall, processor series, err error) {
	wall, processor = make(series), make(series)
	perRound := make([]struct{ wall, processor time.Duration }, len(doors))
	err = measure.Turns(rounds*turns, len(doors), func(turn, i int) error {
		before, _ := measure.ProcessorTime()
		start := time.Now()
		err := doors[i].batch(ctx, e.Scale.NewBatch, func() {
			perRound[i].wall += time.Since(start)
			after, _ := measure.ProcessorTime()
			perRound[i].processor += after - before
		})
		if turn%turns == turns-1 {
			n := float64(e.Scale.NewBatch * turns)
			name := doors[i].subject.Name()
			wall.add(name, float64(perRound[i].wall)/n)
			processor.add(name, float64(perRound[i].processor)/n)
			perRound[i].wall, perRound[i].processor = 0, 0
		}
		time.Sleep(quiet)
		return err
	})
	return wall, processor, err
}

const (
	newSessionDuel      = "new session, time, few at a time"
	newSessionProcessor = "new session, processor time"
)

// rush lets several goroutines dial and close for a while.
func (d *door) rush(ctx context.Context, dialers int, while time.Duration) (int64, time.Duration, error) {
	return rushOf(dialers, while, func(int) error {
		client, server, err := d.enter(ctx, subject.Loopback{})
		if err != nil {
			return err
		}
		subject.Abort(client)
		subject.Abort(server)
		return nil
	})
}
