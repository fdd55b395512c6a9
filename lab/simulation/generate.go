package simulation

import (
	"math/rand/v2"
	"time"

	"github.com/relink-go/relink/internal/faultnet"
)

// Generate makes a schedule from a seed. Each seed enables a random part of all
// kinds of trouble, with weights of its own (swarm testing: Groce and others,
// 2012), so that some schedules have much of a few kinds, and rare kinds meet
// without being drowned by the common ones.
func Generate(seed uint64) Schedule {
	g := &generator{rnd: rand.New(rand.NewPCG(seed, 0x51))}
	g.s.Config = Default()
	g.s.Seed = seed
	g.s.Suite = suiteNames[seed%uint64(len(suiteNames))]
	g.config()
	g.steps()
	return g.s
}

type generator struct {
	rnd    *rand.Rand
	s      Schedule
	bursty bool // steps may follow one another without a rest
	budget int  // bytes that may still be written
}

// chance is true once in n times.
func (g *generator) chance(n int) bool { return g.rnd.IntN(n) == 0 }

func pick[T any](g *generator, of ...T) T { return of[g.rnd.IntN(len(of))] }

// upTo is a number from 0 to most, the small ones more often than the large.
func (g *generator) upTo(most int) int {
	if most <= 0 {
		return 0
	}
	bits := 1
	for 1<<bits < most {
		bits++
	}
	return min(most, g.rnd.IntN(1<<g.rnd.IntN(bits+1)+1))
}

// during is a time up to most, odd to the nanosecond, so that no two things
// happen in the same instant that need not: their order is the scheduler's.
func (g *generator) during(most time.Duration) time.Duration {
	d := time.Duration(1)
	for range g.rnd.IntN(1 + bitsOf(int64(most))) {
		d *= 2
	}
	return 1 + time.Duration(g.rnd.Int64N(int64(min(d, most))))
}

func bitsOf(n int64) (bits int) {
	for ; n > 0; n >>= 1 {
		bits++
	}
	return bits
}

func (g *generator) config() {
	c := &g.s.Config
	c.Conns = pick(g, 1, 1, 1, 1, 2, 2, 3)
	c.Buffer = pick(g, -1, 300, 1<<10, 4<<10, 4<<10, 16<<10)
	c.Segment = pick(g, 0, 0, 0, 1000, 100, 13)
	c.Delay = pick(g, 0, 0, 311*time.Microsecond, 5003*time.Microsecond, 40009*time.Microsecond)
	c.Opaque = g.chance(5)
	c.ResetOnUnread = g.chance(2)
	c.ShortWrites = g.chance(4)
	c.EOFWithData = g.chance(3)
	if c.Delay > 10*time.Millisecond && c.Buffer < 4<<10 {
		c.Buffer = 4 << 10 // else a transfer takes minutes
	}
	limit := func() int {
		n := 1 << (10 + g.rnd.IntN(6))
		if suites[c.Suite].records || g.chance(20) {
			return n // also limits that the network can swallow, which is a gap
		}
		return max(n, 4*c.Buffer)
	}
	c.ClientLimit, c.ServerLimit = limit(), limit()
	if g.chance(2) {
		c.ServerLimit = c.ClientLimit
	}
	if g.chance(4) {
		c.ClientResume = pick(g, 5*time.Second, 20*time.Second, time.Minute) + g.during(time.Second)
	}
	if g.chance(4) {
		c.ServerResume = pick(g, 5*time.Second, 20*time.Second, time.Minute) + g.during(time.Second)
	}
	if g.chance(3) {
		c.Attempt = pick(g, time.Second, 3*time.Second, time.Hour)
	}
	if g.chance(4) {
		c.Handshake = pick(g, 2*time.Second, 4*time.Second, 30*time.Second)
	}
	if g.chance(4) {
		c.Linger = pick(g, time.Second, 15*time.Second, time.Minute)
	}
	if g.chance(4) {
		c.Liveness = pick(g, 1*time.Second, 3*time.Second, 60*time.Second)
	}
	if g.chance(4) {
		c.MinBackoff = pick(g, time.Millisecond, 500*time.Millisecond)
		c.MaxBackoff = pick(g, 500*time.Millisecond, 5*time.Second)
	}
	c.Quiet = suites[c.Suite].records && g.chance(2)
	c.End = pick(g, endings...)
	c.Tail = g.upTo(2 << 10)
	g.bursty = g.chance(4)
	g.budget = 96 << 10
	if c.Segment > 0 {
		g.budget = min(g.budget, 2000*c.Segment)
	}
	if c.Buffer > 0 {
		g.budget = min(g.budget, 100*c.Buffer)
	}
	if c.Delay > 10*time.Millisecond {
		g.budget = min(g.budget, 32<<10)
	}
}

// A choice is one kind of trouble with its weight in this schedule.
type choice struct {
	weight int
	make   func(*generator)
}

// steps makes the steps: first the sessions are opened, now and then through
// trouble, then a mixture.
func (g *generator) steps() {
	if g.chance(6) {
		g.dialTrouble()
	}
	for i := range g.s.Conns {
		g.step(Step{Do: Open, Conn: i})
	}
	var all []choice
	for _, c := range []struct {
		usual  int // weight
		one    int // enabled once in so many schedules
		choose func(*generator)
	}{
		{30, 1, (*generator).write},
		{30, 1, (*generator).read},
		{6, 3, (*generator).pause},
		{10, 3, (*generator).deadline},
		{4, 4, func(g *generator) { g.app(WaitAcked) }},
		{2, 6, func(g *generator) { g.app(CloseWrite) }},
		{1, 5, func(g *generator) { g.app(Close) }},
		{1, 8, func(g *generator) { g.app(Abort) }},
		{8, 2, func(g *generator) { g.step(Step{Do: Network, Conn: g.conn()}) }},
		{10, 2, (*generator).cut},
		{10, 2, (*generator).cutAt},
		{8, 3, (*generator).stall},
		{6, 3, (*generator).dialTrouble},
		{4, 4, (*generator).outage},
		{3, 5, (*generator).lateDelivery},
		{4, 4, (*generator).racingResumes},
		{3, 5, (*generator).lostAnswer},
		{4, 4, (*generator).hostile},
		{2, 6, (*generator).moved},
		{2, 8, func(g *generator) { g.step(Step{Do: AcceptFails, N: 1 + g.upTo(4)}) }},
		{2, 8, (*generator).sleep},
		{1, 25, (*generator).stop},
	} {
		if g.chance(c.one) {
			all = append(all, choice{1 + g.rnd.IntN(2*c.usual), c.choose})
		}
	}
	total := 0
	for _, c := range all {
		total += c.weight
	}
	for range 4 + g.upTo(36) {
		n := g.rnd.IntN(total)
		for _, c := range all {
			if n -= c.weight; n < 0 {
				c.make(g)
				break
			}
		}
	}
}

// step adds a step, some time after the one before.
func (g *generator) step(s Step) {
	switch {
	case g.bursty && g.chance(3):
		s.After = 0
	case g.chance(8):
		s.After = g.during(8 * time.Second)
	default:
		s.After = g.during(300 * time.Millisecond)
	}
	g.s.Steps = append(g.s.Steps, s)
}

// soon adds a step right after the one before.
func (g *generator) soon(s Step) {
	s.After = g.during(50 * time.Millisecond)
	g.s.Steps = append(g.s.Steps, s)
}

// amid adds a step while the handshake that the one before has begun is under
// way, often.
func (g *generator) amid(s Step) {
	switch {
	case g.chance(4):
		g.step(s)
		return
	case g.s.Delay > 0:
		s.After = 1 + time.Duration(g.rnd.Int64N(int64(8*g.s.Delay)))
	default:
		s.After = 0
	}
	g.s.Steps = append(g.s.Steps, s)
}

func (g *generator) conn() int           { return g.rnd.IntN(g.s.Conns) }
func (g *generator) side() Side          { return pick(g, Client, Server) }
func (g *generator) dir() faultnet.Dir   { return pick(g, faultnet.Up, faultnet.Down) }
func (g *generator) path() int           { return pick(g, 0, 0, 0, 0, 0, 1, 1, 2) }
func (g *generator) kind() faultnet.Kind { return pick(g, kinds...) }

// loss is a kind of cut that both ends hear of.
func (g *generator) loss() faultnet.Kind {
	return pick(g, faultnet.Reset, faultnet.ResetNow, faultnet.End)
}

func (g *generator) app(v Verb) { g.step(Step{Do: v, Conn: g.conn(), Side: g.side()}) }

func (g *generator) write() {
	limit := g.s.ClientLimit
	n := min(1+g.upTo(4*limit), g.budget)
	if g.chance(4) {
		n = min(1+g.rnd.IntN(2*limit), g.budget)
	}
	g.budget -= n
	g.step(Step{Do: Write, Conn: g.conn(), Side: g.side(), N: n, M: pick(g, 0, 0, 1+g.upTo(n), max(1, n/5))})
}

func (g *generator) read() {
	n := 1 + g.upTo(32<<10)
	if g.chance(3) {
		n = -1
	}
	g.step(Step{Do: Read, Conn: g.conn(), Side: g.side(), N: n, M: pick(g, 0, 0, 64+g.upTo(8<<10))})
}

func (g *generator) pause() { g.app(Pause) }

func (g *generator) deadline() {
	d := pick(g, 0, -time.Second, g.during(10*time.Millisecond), g.during(time.Second), g.during(20*time.Second))
	g.step(Step{Do: Deadline, Conn: g.conn(), Side: g.side(), Which: pick(g, reads, writes, both), For: d})
}

func (g *generator) cut() {
	c, k := g.conn(), g.kind()
	if g.chance(5) { // of a handshake by time, not by byte
		g.step(Step{Do: Network, Conn: c})
		g.amid(Step{Do: Cut, Conn: c, Path: g.path(), Kind: k})
	} else {
		g.step(Step{Do: Cut, Conn: c, Path: g.path(), Kind: k})
	}
	g.afterSilence(c, k)
}

func (g *generator) cutAt() {
	c, k := g.conn(), g.kind()
	g.step(Step{Do: CutAt, Conn: c, Path: g.path(), Dir: g.dir(), N: g.upTo(8 << 10), Kind: k})
	g.afterSilence(c, k)
}

// afterSilence has the application report the change of network that has made
// a path silent, often: on a classic wire nothing else finds it.
func (g *generator) afterSilence(conn int, k faultnet.Kind) {
	if k >= faultnet.BlackHole && k <= faultnet.BlackHoleDown && !g.chance(3) {
		g.step(Step{Do: Network, Conn: conn})
	}
}

func (g *generator) stall() {
	c, p, d := g.conn(), g.path(), g.dir()
	g.step(Step{Do: Stall, Conn: c, Path: p, Dir: d})
	switch g.rnd.IntN(4) {
	case 0:
	case 1:
		g.step(Step{Do: ReleaseAll})
	default:
		g.step(Step{Do: Release, Conn: c, Path: p, Dir: d})
	}
}

// dialTrouble harms handshakes to come.
func (g *generator) dialTrouble() {
	n := 1 + g.upTo(4)
	switch g.rnd.IntN(5) {
	case 0:
		g.step(Step{Do: FailDials, N: n})
	case 1:
		g.step(Step{Do: StallDials, N: n, Dir: g.dir()})
		if g.chance(2) {
			g.step(Step{Do: ReleaseAll})
		}
	default: // in the handshake, or in a record behind it
		g.step(Step{Do: CutDials, N: n, Dir: g.dir(), M: g.rnd.IntN(1 << (1 + g.rnd.IntN(9))), Kind: g.kind()})
	}
	if g.chance(2) {
		g.soon(Step{Do: Cut, Conn: g.conn(), Kind: g.loss()})
	}
}

// outage takes the network away for a while.
func (g *generator) outage() {
	g.step(Step{Do: Down, Which: pick(g, refuse, hang)})
	for i := range g.s.Conns {
		if g.chance(2) {
			g.soon(Step{Do: Cut, Conn: i, Kind: g.kind()})
		}
	}
	for range g.rnd.IntN(3) {
		pick(g, (*generator).write, (*generator).read, (*generator).deadline)(g)
	}
	if g.chance(6) { // as long as a session may live, or longer
		most := max(g.s.ClientResume, g.s.ServerResume)
		g.s.Steps = append(g.s.Steps, Step{Do: Up, After: most/2 + g.during(most)})
		return
	}
	g.step(Step{Do: Up})
}

// lateDelivery has a transport that the client has given up deliver what it
// held when the next one lives.
func (g *generator) lateDelivery() {
	c := g.conn()
	g.step(Step{Do: Stall, Conn: c, Dir: faultnet.Up})
	g.soon(Step{Do: Write, Conn: c, Side: Client, N: g.spend(1 + g.upTo(4<<10))})
	if g.chance(2) {
		g.soon(Step{Do: Stall, Conn: c, Dir: faultnet.Down})
		g.soon(Step{Do: Write, Conn: c, Side: Server, N: g.spend(1 + g.upTo(4<<10))})
	}
	g.soon(Step{Do: Network, Conn: c})
	if g.chance(3) {
		g.write()
	}
	g.amid(Step{Do: ReleaseAll})
}

// spend takes n bytes from what may be written.
func (g *generator) spend(n int) int {
	n = min(n, g.budget)
	g.budget -= n
	return n
}

// racingResumes has the client give up attempts whose requests are under way,
// so that several arrive at once.
func (g *generator) racingResumes() {
	c, n := g.conn(), 1+g.rnd.IntN(3)
	g.step(Step{Do: StallDials, N: n, Dir: faultnet.Up})
	for range n + g.rnd.IntN(2) {
		g.soon(Step{Do: Network, Conn: c})
	}
	g.amid(Step{Do: ReleaseAll})
	if g.chance(2) {
		g.amid(Step{Do: Network, Conn: c})
	}
}

// lostAnswer lets the server's answers to a few resumes vanish.
func (g *generator) lostAnswer() {
	c := g.conn()
	g.step(Step{Do: LoseAnswers, N: 1 + g.rnd.IntN(2)})
	g.soon(Step{Do: Cut, Conn: c, Kind: g.loss()})
	if g.chance(2) {
		g.step(Step{Do: Network, Conn: c})
	}
}

// hostile replays what a client has sent.
func (g *generator) hostile() {
	n := -1
	if g.chance(2) {
		n = g.rnd.IntN(1 << (1 + g.rnd.IntN(9)))
	}
	c := g.conn()
	if g.chance(2) {
		g.step(Step{Do: Network, Conn: c})
	}
	g.step(Step{Do: Hostile, Conn: c, Path: g.rnd.IntN(3), N: n, Stay: g.chance(2)})
}

// moved changes the clients' address and the shape of the network.
func (g *generator) moved() {
	if g.chance(2) {
		g.step(Step{Do: Host, N: 2 + g.rnd.IntN(200)})
	}
	g.step(Step{Do: Reshape, N: pick(g, 0, 100, 1300), For: pick(g, 0, time.Millisecond, g.s.Delay)})
	g.soon(Step{Do: Network, Conn: g.conn()})
}

func (g *generator) sleep() {
	d := g.during(30 * time.Second)
	if g.chance(2) {
		d = g.s.ClientResume + g.during(time.Minute)
		if g.chance(2) {
			g.s.ServerResume = d + 10*time.Minute
			g.s.Attempt = time.Hour
		}
	}
	g.step(Step{Do: Sleep, For: d, Kind: pick(g, faultnet.Reset, faultnet.ResetNow, faultnet.BlackHole, faultnet.BlackHole)})
	if !g.chance(3) {
		g.soon(Step{Do: Network, Conn: g.conn()})
	}
}

func (g *generator) stop() {
	if g.chance(2) {
		g.step(Step{Do: StopAccept})
		return
	}
	g.step(Step{Do: Shutdown, For: g.during(time.Minute)})
}
