// Package experiment holds what is measured: each file one experiment, which
// runs the same work over all subjects in turns and returns tables, plots and
// figures. Work that ordinary Go benchmarks can do as well is exported.
package experiment

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/relink-go/relink/bench/internal/measure"
	"github.com/relink-go/relink/bench/internal/report"
	"github.com/relink-go/relink/bench/internal/subject"
)

// An Experiment is one section of the report.
type Experiment struct {
	Name  string // what -only matches
	Title string
	Text  string // what is measured and how
	run   func(ctx context.Context, e *Env, s *report.Section) error
}

// All returns the experiments in the order of the report.
func All() []Experiment {
	return []Experiment{
		throughput, headToHead, processors, manyWriters, echo, echoDuels, echoMany, transports, allocations, newSession, resume, storm, cuts,
		resident, memory, crowd, game, longPath,
	}
}

// Run runs the experiment.
func (x Experiment) Run(ctx context.Context, e *Env) (report.Section, error) {
	s := report.Section{Name: x.Name, Title: x.Title, Text: x.Text, Figures: make(report.Figures)}
	if err := x.run(ctx, e, &s); err != nil {
		return s, fmt.Errorf("%s: %w", x.Name, err)
	}
	return s, nil
}

// An Env is what a run gives to its experiments.
type Env struct {
	Scale       Scale
	Credentials subject.Credentials

	// Progress is told what is being measured.
	Progress func(what string)
}

// A Scale says how large a run is.
type Scale struct {
	Name   string
	Rounds int           // of everything that is short
	Time   time.Duration // of one measurement of one subject in one round
	Warm   time.Duration // before it, where the two ends are apart

	DuelRounds  int // of few contenders
	HeavyRounds int // of many sessions in processes of their own

	Sizes     []int // of writes, in bytes
	ManySizes []int // of writes by many writers
	ManyConns int
	Writers   int
	EchoSizes []int
	EchoWarm  time.Duration // long enough for histories to become as long as they get
	EchoBatch int           // messages in a turn
	EchoConns []int         // that take turns

	NewBatch      int // sessions that are there at a time
	Dialers       int // at once
	StormSessions int

	Cuts       int // of each kind
	BlackHoles int

	ResidentSessions int
	SentSessions     int
	TCPSessions      int // of the memory of all subjects
	MemoryRounds     int
	MemorySubjects   []string // nil means all
	CrowdSessions    []int
	CrowdWatch       time.Duration
	CrowdResumes     int // in a round
	Settle           time.Duration

	GameSessions []int
	GameRounds   int
	GameWarm     time.Duration
	GameWindow   time.Duration

	PathTime   time.Duration
	PathRounds int
	PathEchoes int
}

// Complete is what docs/benchmarks.md is written from: about half an hour.
func Complete() Scale {
	return Scale{
		Name: "complete run", Rounds: 5, Time: 200 * time.Millisecond, Warm: 80 * time.Millisecond, DuelRounds: 13, HeavyRounds: 3,
		Sizes: []int{64, 1 << 10, 16 << 10, 64 << 10}, ManySizes: []int{64, 64 << 10}, ManyConns: 16, Writers: 16,
		EchoSizes: []int{128, 4 << 10}, EchoWarm: 400 * time.Millisecond, EchoBatch: 200, EchoConns: []int{1, 10, 100, 1000},
		NewBatch: 200, Dialers: 8, StormSessions: 2000,
		Cuts: 20, BlackHoles: 5,
		ResidentSessions: 5000, SentSessions: 250,
		TCPSessions: 1000, MemoryRounds: 3,
		CrowdSessions: []int{1000, 10_000, 100_000}, CrowdWatch: 5 * time.Second, CrowdResumes: 400, Settle: time.Second,
		GameSessions: []int{1000, 4000}, GameRounds: 3, GameWarm: time.Second, GameWindow: 4 * time.Second,
		PathTime: 2 * time.Second, PathRounds: 3, PathEchoes: 10,
	}
}

// Quick is a look at everything in about two minutes. Its figures are noisy.
func Quick() Scale {
	s := Complete()
	s.Name, s.Rounds, s.Time, s.Warm = "quick run: noisy, and smaller than the goals ask", 1, 30*time.Millisecond, 20*time.Millisecond
	s.Sizes, s.ManySizes = []int{64, 1 << 10, 64 << 10}, []int{1 << 10}
	s.EchoSizes, s.EchoWarm, s.EchoBatch = []int{128}, 50*time.Millisecond, 100
	s.DuelRounds, s.HeavyRounds, s.EchoConns = 3, 1, []int{1, 100}
	s.NewBatch, s.StormSessions, s.ResidentSessions, s.SentSessions = 20, 200, 500, 20
	s.Cuts, s.BlackHoles = 3, 1
	s.TCPSessions, s.MemoryRounds = 200, 1
	s.CrowdSessions, s.CrowdWatch, s.CrowdResumes, s.Settle = []int{200, 1000}, time.Second, 30, 300*time.Millisecond
	s.GameSessions, s.GameRounds, s.GameWarm, s.GameWindow = []int{500}, 1, 200*time.Millisecond, time.Second
	s.PathTime, s.PathRounds, s.PathEchoes = 300*time.Millisecond, 1, 3
	return s
}

// Tiny shows that everything works. Its figures mean nothing.
func Tiny() Scale {
	s := Quick()
	s.Name, s.Time, s.Warm = "tiny run: the figures mean nothing", 5*time.Millisecond, 0
	s.Sizes, s.ManySizes, s.ManyConns, s.Writers = []int{1 << 10}, []int{256}, 2, 4
	s.DuelRounds, s.EchoSizes, s.EchoWarm, s.EchoBatch, s.EchoConns = 1, []int{128}, 0, 10, []int{1, 5}
	s.NewBatch, s.Dialers, s.Cuts = 2, 2, 1
	s.StormSessions, s.ResidentSessions, s.SentSessions = 20, 100, 2
	s.TCPSessions, s.CrowdSessions, s.CrowdWatch, s.CrowdResumes, s.Settle = 5, []int{5, 10}, 10*time.Millisecond, 4, 10*time.Millisecond
	s.MemorySubjects = []string{subject.TCP, subject.DH64RC4, subject.SCP, subject.Noise}
	s.GameSessions, s.GameWarm, s.GameWindow = []int{5, 10}, 10*time.Millisecond, 100*time.Millisecond
	s.PathTime, s.PathEchoes = 50*time.Millisecond, 1
	return s
}

// forData returns the subjects that carry data.
func (e *Env) forData() []subject.Subject { return subject.ForData(e.Credentials) }

// names returns how subjects are called.
func names[S subject.Subject](subjects []S) []string {
	all := make([]string, len(subjects))
	for i, s := range subjects {
		all[i] = s.Name()
	}
	return all
}

// A series of values, one a round, for each subject.
type series map[string][]float64

func (s series) add(name string, v float64) { s[name] = append(s[name], v) }

// median returns the median of the values and their spread.
func (s series) summary(name string) measure.Summary { return measure.Summarize(s[name]) }

// ratio returns the summary of the rounds' ratios.
func (s series) ratio(a, b string) measure.Summary {
	return measure.Summarize(measure.Ratios(s[a], s[b]))
}

// scaled returns the values times a factor.
func (s series) scaled(name string, factor float64) []float64 {
	values := slices.Clone(s[name])
	for i := range values {
		values[i] *= factor
	}
	return values
}

// rivalOf is what each subject is compared with: the same cipher without
// resumption, and TCP for what has no cipher.
var rivalOf = map[string]string{
	subject.CryptoRC4:   subject.TCP,
	subject.RC4:         subject.TCP,
	subject.RC4Kept:     subject.RC4,
	subject.RC4Gathered: subject.RC4,
	subject.TLS:         subject.TCP,
	subject.TLSX25519:   subject.TCP,
	subject.TLSAES256:   subject.TCP,
	subject.DH64RC4:     subject.RC4,
	subject.SCP:         subject.RC4,
	subject.Noise:       subject.TLSAES256,
	subject.Yamux:       subject.TCP,
	subject.QUIC:        subject.TLS,
	subject.Classic:     subject.TCP,
	subject.ClassicRC:   subject.RC4,

	subject.NoiseTLS:       subject.TLS,
	subject.NoiseWebSocket: subject.WebSocket,
	subject.NoiseQUIC:      subject.QUIC,
	subject.NoiseKCP:       subject.KCP,
}

// versus names a comparison in a table's cell.
func versus(name string) string {
	if r, ok := rivalOf[name]; ok {
		return r
	}
	return "–"
}

// ratioCell formats the comparison of a subject with its rival.
func (s series) ratioCell(name string) string {
	r, ok := rivalOf[name]
	if !ok || len(s[r]) == 0 {
		return "–"
	}
	return report.Spread(s.ratio(name, r), report.Ratio)
}

// compare adds the figures "what: a / b" that goals are judged by.
func (s series) compare(to report.Figures, what string, pairs ...[2]string) {
	for _, p := range pairs {
		if len(s[p[0]]) > 0 && len(s[p[1]]) > 0 {
			to[figure(what, p[0], p[1])] = s.ratio(p[0], p[1])
		}
	}
}

// figure names a comparison.
func figure(what, a, b string) string { return fmt.Sprintf("%s: %s / %s", what, a, b) }

// dotted returns a plot's points: one category for each name.
func (s series) dotted(of []string, factor float64) []report.Point {
	var points []report.Point
	for i, name := range of {
		m := measure.Summarize(s.scaled(name, factor))
		points = append(points, report.Point{Y: float64(i), X: m.Median, Low: m.Low, High: m.High})
	}
	return points
}

// point returns a point of a line.
func point(x float64, m measure.Summary) report.Point {
	return report.Point{X: x, Y: m.Median, Low: m.Low, High: m.High}
}

// sizeTicks label an axis of sizes.
func sizeTicks(sizes []int) []report.Tick {
	var ticks []report.Tick
	for _, n := range sizes {
		ticks = append(ticks, report.Tick{At: float64(n), Label: report.Bytes(n)})
	}
	return ticks
}

// megabyte is 10⁶ bytes.
const megabyte = 1e6
