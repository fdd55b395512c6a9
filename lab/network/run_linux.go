package network

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/relink-go/relink"
)

// Settings are those of a run. The zero value of a time is relink's default,
// but for RoundTrip.
type Settings struct {
	RoundTrip        time.Duration
	HandshakeTimeout time.Duration
	LivenessTimeout  time.Duration
	AttemptTimeout   time.Duration
	MaxBackoff       time.Duration

	// Watch is how long to wait for connections that do not recover.
	Watch time.Duration

	// Seed is that of the random loss.
	Seed uint64
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}

// Liveness is the LivenessTimeout in force.
func (s Settings) Liveness() time.Duration {
	return orDefault(s.LivenessTimeout, 15*time.Second)
}

// Redial is the longest time between two moments at which a client that cannot
// reach its server has an attempt under way which can succeed: the rest of one
// attempt after its last packet, and a pause.
func (s Settings) Redial() time.Duration {
	return orDefault(s.AttemptTimeout, 5*time.Second) + orDefault(s.MaxBackoff, 3*time.Second)
}

// KeepAlive is how long the kernel takes to find an idle connection dead: it
// counts in whole seconds.
func (s Settings) KeepAlive() time.Duration {
	up := func(d time.Duration) time.Duration {
		return max(time.Second, (d + time.Second - 1).Truncate(time.Second))
	}
	return up(s.Liveness()/2) + 3*up(s.Liveness()/6)
}

// An Outcome is what became of one pair.
type Outcome struct {
	Subject string
	Load    Load
	Told    bool // NetworkChanged was called

	Client, Server View // what the two applications saw

	// The rest is of sessions only.

	Lost     [2][]Loss     // transports that the client and the server saw end
	Answer   time.Duration // an idle pair's message after the fault took so long
	Resumes  int64
	Replayed int64 // bytes, both directions
	Bytes    int64 // that arrived, and were compared
	Exact    error // nil if each application has what the other wrote; see ErrIncomplete
}

// IsSession reports whether the pair was a session of relink.
func (o Outcome) IsSession() bool { return slices.Contains(Suites, o.Subject) }

// Gap is the longer of the two applications' gaps.
func (o Outcome) Gap() time.Duration { return max(o.Client.Gap, o.Server.Gap) }

// A Report is what a run has brought.
type Report struct {
	Fault    Fault
	Outcomes []Outcome

	// Late is the longest that this process was kept from running, from the
	// fault until all sessions went on: what is longer than expected may be by
	// so much, several times over.
	Late time.Duration

	// LateAfter is the same for the rest of the run.
	LateAfter time.Duration
}

// A scene is a run under way.
type scene struct {
	fault    Fault
	settings Settings
	rig      *Rig
	pairs    []*pair
}

const (
	warmUp = time.Second // so that the connections have left their beginnings
	poll   = 10 * time.Millisecond
	drain  = 60 * time.Second // everything written must have arrived by then
)

// Run brings a fault upon pairs of every kind. Its error says what kept the
// laboratory from working; what went wrong with a connection is in the report.
func Run(f Fault, s Settings) (*Report, error) {
	sc := &scene{fault: f, settings: s}
	var err error
	sc.rig, err = NewRig(RigConfig{RoundTrip: s.RoundTrip, Seed: s.Seed, NAT: f.nat, Tracking: f.tracking})
	if err != nil {
		return nil, err
	}
	defer sc.rig.Close()
	defer func() {
		for _, p := range sc.pairs {
			p.finish()
		}
	}()
	if err := sc.openPairs(); err != nil {
		return nil, err
	}
	for _, p := range sc.pairs {
		waitUntil(drain, func() bool { return p.up.arrived() > 0 && p.down.arrived() > 0 })
	}
	time.Sleep(warmUp)
	pauses := watchPauses()
	defer pauses.stop()
	begun := time.Now()
	for _, p := range sc.pairs {
		p.watch(begun)
	}
	if err := sc.strike(); err != nil {
		return nil, err
	}
	report := &Report{Fault: f, Late: sc.waitRecovery(pauses)}
	pauses = watchPauses()
	defer pauses.stop()
	sc.waitPlain(begun)
	answers := sc.wakeIdle()
	now := time.Now()
	for _, p := range sc.pairs {
		report.Outcomes = append(report.Outcomes, p.outcome(now))
	}
	sc.drain()
	for i, p := range sc.pairs {
		o := &report.Outcomes[i]
		o.Answer = answers[p]
		p.settle(o)
	}
	report.LateAfter = pauses.stop()
	return report, nil
}

// openPairs opens all pairs at once and lets them talk.
func (sc *scene) openPairs() error {
	add := func(p *pair) {
		p.up.seed, p.down.seed = mix(uint64(2*len(sc.pairs)+1)), mix(uint64(2*len(sc.pairs)+2))
		sc.pairs = append(sc.pairs, p)
	}
	for _, suite := range Suites {
		for _, l := range []Load{Game, Bulk, Idle} {
			add(&pair{subject: suite, load: l})
		}
		if sc.fault.Told {
			add(&pair{subject: suite, load: Game, told: true})
		}
	}
	for _, plain := range Plain {
		add(&pair{subject: plain, load: Game})
	}
	errs := make([]error, len(sc.pairs))
	var tasks sync.WaitGroup
	for i, p := range sc.pairs {
		tasks.Go(func() { errs[i] = p.open(sc.rig, sc.settings) })
	}
	tasks.Wait()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("network: opening %s: %w", sc.pairs[i].subject, err)
		}
	}
	for _, p := range sc.pairs {
		p.start()
	}
	return nil
}

// strike lets the fault happen, from its beginning to its end.
func (sc *scene) strike() error {
	var live []socket
	for _, p := range sc.pairs {
		live = append(live, socket{p.client, p.server})
	}
	if err := sc.fault.begin(sc.rig, live); err != nil {
		return err
	}
	time.Sleep(sc.fault.Lasts)
	if sc.fault.end != nil {
		if err := sc.fault.end(sc.rig); err != nil {
			return err
		}
	}
	for _, p := range sc.pairs {
		if p.told {
			p.client.(*relink.Conn).NetworkChanged()
		}
	}
	return nil
}

// waitRecovery waits until data that was written after the fault arrives in
// every session, or enough time has passed. It returns how much the sessions
// were disturbed until then.
func (sc *scene) waitRecovery(pauses *pauseWatch) (late time.Duration) {
	for _, p := range sc.pairs {
		p.up.over()
		p.down.over()
	}
	enough := max(sc.settings.Watch, sc.settings.Liveness()+sc.settings.Redial()+settle)
	waitUntil(enough, func() bool {
		return !slices.ContainsFunc(sc.pairs, func(p *pair) bool { return !p.plain() && !p.flowing() })
	})
	time.Sleep(settle)
	return pauses.stop()
}

// waitPlain waits for the others, too, and until idle sessions must have
// noticed.
func (sc *scene) waitPlain(begun time.Time) {
	time.Sleep(sc.settings.KeepAlive() - time.Since(begun))
	waitUntil(sc.fault.Lasts+sc.settings.Watch-time.Since(begun), func() bool {
		return !slices.ContainsFunc(sc.pairs, func(p *pair) bool { return p.plain() && !p.flowing() })
	})
}

// wakeIdle lets the idle pairs talk again, and measures how long that takes.
func (sc *scene) wakeIdle() map[*pair]time.Duration {
	answers := make(map[*pair]time.Duration)
	var mu sync.Mutex
	var tasks sync.WaitGroup
	for _, p := range sc.pairs {
		if p.load != Idle {
			continue
		}
		tasks.Go(func() {
			start := time.Now()
			p.say()
			waitUntil(drain, p.drained)
			mu.Lock()
			defer mu.Unlock()
			answers[p] = time.Since(start)
		})
	}
	tasks.Wait()
	return answers
}

// drain stops the writers and waits until everything has arrived.
func (sc *scene) drain() {
	var tasks sync.WaitGroup
	for _, p := range sc.pairs {
		p.stop()
		if p.plain() {
			continue // they may never drain
		}
		tasks.Go(func() {
			stopped := make(chan struct{})
			go func() {
				p.writers.Wait()
				close(stopped)
			}()
			select {
			case <-stopped:
			case <-time.After(drain):
				return // exact says what is missing
			}
			waitUntil(drain, p.drained)
		})
	}
	tasks.Wait()
	time.Sleep(settle) // bytes that come twice come now
}

// waitUntil waits for a condition, but not for ever.
func waitUntil(limit time.Duration, condition func() bool) {
	for start := time.Now(); !condition() && time.Since(start) < limit; {
		time.Sleep(poll)
	}
}

// outcome says what the pair saw while it was watched.
func (p *pair) outcome(now time.Time) Outcome {
	o := Outcome{Subject: p.subject, Load: p.load, Told: p.told}
	o.Lost = [2][]Loss{p.ends[0].losses(), p.ends[1].losses()}
	if p.load != Idle {
		o.Client, o.Server = p.down.view(now), p.up.view(now)
	}
	return o
}

// settle adds what is known once all is over.
func (p *pair) settle(o *Outcome) {
	o.Exact = p.exact()
	o.Bytes = p.up.arrived() + p.down.arrived()
	now := p.stats()
	o.Resumes = now[0].Resumes - p.before[0].Resumes
	for i := range now {
		o.Replayed += now[i].Replayed - p.before[i].Replayed
	}
}

// A pauseWatch measures how late this process is woken.
type pauseWatch struct {
	quit    chan struct{}
	once    sync.Once
	done    chan struct{}
	longest time.Duration
}

func watchPauses() *pauseWatch {
	w := &pauseWatch{quit: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for {
			before := time.Now()
			select {
			case <-w.quit:
				return
			case <-time.After(poll):
				w.longest = max(w.longest, time.Since(before)-poll)
			}
		}
	}()
	return w
}

// stop returns the longest delay. It may be called again.
func (w *pauseWatch) stop() time.Duration {
	w.once.Do(func() { close(w.quit) })
	<-w.done
	return w.longest
}
