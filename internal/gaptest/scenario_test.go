package gaptest

import (
	"bytes"
	"context"
	"slices"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A scenario is what goes on in whose steps the gaps are.
type scenario struct {
	name string

	// opens says that it opens the session, so that there are no ends before.
	opens bool

	// resumes says that it resumes it.
	resumes bool

	// wary says that it is for a client that suspects silent links.
	wary bool

	// prepare brings the session to where play begins; nil does nothing.
	prepare func(w *world)

	// play begins it and waits for nothing that a gap may hold.
	play func(w *world)
}

// largeWrite is more than a Write hands over, or encrypts, in one step.
const largeWrite = 40_000

// bySides are the scenarios of one end.
var bySides = []struct {
	name    string
	only    func(s suite) bool
	prepare func(w *world, e *end)
	play    func(w *world, e *end)
}{
	{name: "read", play: func(w *world, e *end) {
		e.start(reads, "the scenario's Read", func() (int, error) { return e.read(4096) })
		synctest.Wait()
		e.peer().start(writes, "the scenario's Write to be read", func() (int, error) { return e.peer().write(scenarioLane, 300) })
	}},
	{name: "write", play: func(w *world, e *end) {
		e.start(writes, "the scenario's Write", func() (int, error) { return e.write(scenarioLane, 300) })
	}},
	{name: "writes", play: func(w *world, e *end) {
		e.start(writes, "the scenario's Writes in a row", func() (int, error) {
			for range 8 {
				if n, err := e.write(scenarioLane, 50); err != nil {
					return n, err
				}
			}
			return 0, nil
		})
	}},
	{name: "largewrite", play: func(w *world, e *end) {
		e.start(writes, "the scenario's large Write", func() (int, error) { return e.write(scenarioLane, largeWrite) })
	}},
	{name: "early", prepare: func(w *world, _ *end) { // what was written while the network is away comes with the handshake
		w.suspend()
		for _, e := range w.ends {
			n, err := e.write(scenarioLane, 200)
			require.NoError(w.t, err)
			require.Equal(w.t, 200, n)
		}
	}, play: func(w *world, _ *end) { w.comeBack() }},
	// Data and the end of the stream come in one record.
	{name: "finish", only: isNoise, prepare: func(w *world, e *end) {
		w.suspend()
		_, err := e.write(scenarioLane, 5000) // more than a handshake carries
		require.NoError(w.t, err)
		w.facts.closedWrite[e.role] = true
		require.NoError(w.t, e.CloseWrite())
	}, play: func(w *world, e *end) {
		e.peer().start(reads, "the scenario's Read", func() (int, error) { return e.peer().read(100) })
		w.comeBack()
	}},
	{name: "closewrite", only: isNoise, play: func(w *world, e *end) {
		w.facts.closedWrite[e.role] = true
		e.start(none, "the scenario's CloseWrite", func() (int, error) { return 0, e.CloseWrite() })
	}},
	{name: "close", play: func(w *world, e *end) {
		w.facts.closed[e.role] = true
		e.start(none, "the scenario's Close", func() (int, error) { return 0, e.Close() })
	}},
	{name: "abort", play: func(w *world, e *end) {
		w.facts.aborted[e.role] = true
		e.start(none, "the scenario's Abort", func() (int, error) { return 0, e.Abort() })
	}},
	{name: "deadline", play: func(w *world, e *end) {
		w.facts.deadline[reads][e.role] = true
		e.start(reads, "the scenario's Read", func() (int, error) { return e.read(4096) })
		synctest.Wait()
		e.start(none, "the scenario's SetReadDeadline", func() (int, error) { return 0, e.SetReadDeadline(time.Now().Add(time.Second)) })
	}},
}

func isNoise(s suite) bool { return s.noise }

// suspend takes the network away, so that both sides know it.
func (w *world) suspend() {
	w.net.SetDown(faultnet.Refuse)
	w.path().Cut(faultnet.Reset)
	for _, e := range w.ends { // a server looks only while somebody reads
		require.NoError(w.t, e.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
		_, _ = e.Read(make([]byte, 1))
		require.NoError(w.t, e.SetReadDeadline(time.Time{}))
		require.Contains(w.t, []relink.State{relink.StateSuspended, relink.StateResuming}, e.State())
	}
}

// comeBack gives it back.
func (w *world) comeBack() {
	w.net.SetDown(faultnet.NotDown)
	w.facts.moved = true
	w.ends[client].NetworkChanged()
}

// scenarios returns those of a suite.
func scenarios(s suite) []scenario {
	list := []scenario{
		{name: "open", opens: true, play: func(w *world) {
			w.start("the scenario's Dial", func() (int, error) { return 0, w.dial() })
			w.start("the scenario's Accept", func() (int, error) { return 0, w.accept() })
		}},
		// A resume, with what each side has written and the other has not.
		{name: "resume", resumes: true, play: func(w *world) {
			w.net.OnDial(func(_ int, p *faultnet.Path) error { p.Record(); return nil })
			for _, e := range w.ends {
				e.start(reads, "the scenario's Read", func() (int, error) { return e.read(4096) })
			}
			synctest.Wait()
			w.path().Stall(faultnet.Up)
			w.path().Stall(faultnet.Down)
			for _, e := range w.ends {
				e.start(writes, "the scenario's Write", func() (int, error) { return e.write(scenarioLane, 200) })
			}
			synctest.Wait()
			w.path().Cut(faultnet.ResetNow)
		}},
		// The answer to a resume is lost, and the client asks again.
		{name: "lost", resumes: true, play: func(w *world) {
			lost := false
			w.net.OnDial(func(_ int, p *faultnet.Path) error {
				p.Record()
				if !lost {
					lost = true
					p.CutAt(faultnet.Down, 1, faultnet.Reset)
				}
				return nil
			})
			w.ends[client].NetworkChanged()
			time.Sleep(3 * time.Second) // the pause after an attempt that failed
		}},
		// A resume, after copies of its request have come as far as they can without their last
		// byte. It must succeed at its first attempt, whatever becomes of them.
		{name: "copied", resumes: true, play: func(w *world) {
			w.net.OnDial(func(_ int, p *faultnet.Path) error {
				p.Record()
				p.Stall(faultnet.Up)
				return nil
			})
			w.ends[client].NetworkChanged()
			time.Sleep(50 * time.Millisecond)
			w.net.OnDial(nil)
			p := w.path()
			copied := p.Bytes(faultnet.Up)
			if len(copied) > 0 { // else it is held before it
				require.NoError(w.t, w.repeat(copied[:len(copied)-1]))
				w.rest = copied[len(copied)-1:]
				synctest.Wait()
			}
			p.Release(faultnet.Up)
		}},
		// The server has lost the session, and the client asks whether that is so.
		{name: "query", resumes: true, prepare: func(w *world) {
			w.suspend()
			w.facts.gone = true
			w.replaceListener()
		}, play: func(w *world) { w.comeBack() }},
	}
	if s.noise {
		// A second transport beside a link that is silent.
		list = append(list, scenario{name: "suspected", resumes: true, wary: true, play: func(w *world) {
			e := w.ends[client]
			w.silent = w.path()
			w.silent.Stall(faultnet.Up)
			w.silent.Stall(faultnet.Down)
			e.start(writes, "the scenario's Write", func() (int, error) { return e.write(scenarioLane, 200) })
			time.Sleep(time.Second)
		}})
	}
	for _, b := range bySides {
		if b.only != nil && !b.only(s) {
			continue
		}
		for _, r := range []role{client, server} {
			if b.name == "early" && r == server {
				continue // it is one scenario for both
			}
			var prepare func(w *world)
			if b.prepare != nil {
				prepare = func(w *world) { b.prepare(w, w.ends[r]) }
			}
			list = append(list, scenario{name: r.String() + "-" + b.name, resumes: b.name == "early", prepare: prepare, play: func(w *world) { b.play(w, w.ends[r]) }})
		}
	}
	return list
}

func scenarioNamed(s suite, name string) (scenario, bool) {
	list := scenarios(s)
	i := slices.IndexFunc(list, func(c scenario) bool { return c.name == name })
	if i < 0 {
		return scenario{}, false
	}
	return list[i], true
}

// begin brings the world to where the scenario begins, and counts from there.
func (w *world) begin(c scenario) {
	if !c.opens {
		w.open()
	}
	if c.prepare != nil {
		c.prepare(w)
	}
	synctest.Wait()
	w.dialled = w.dials()
	w.gate.begin()
}

// trace plays a scenario undisturbed and returns its gaps.
func trace(w *world, c scenario) []moment {
	w.begin(c)
	c.play(w)
	time.Sleep(5 * time.Second)
	synctest.Wait()
	return w.gate.moments()
}

// An action is what happens in a gap.
type action struct {
	name string

	// on says that it needs an open session.
	on bool

	only func(s suite) bool // those it is for; nil is for all

	// atOnce says that it is one call that never waits for anything.
	atOnce bool

	own   bool // it is a call of an end
	side  role // which
	obeys dir

	do func(w *world) (int, error)
}

// ownActions are calls of one end.
var ownActions = []struct {
	name   string
	only   func(s suite) bool
	atOnce bool
	obeys  dir
	do     func(w *world, e *end) (int, error)
}{
	{name: "Read", obeys: reads, do: func(_ *world, e *end) (int, error) { return e.read(4096) }},
	{name: "Write", obeys: writes, do: func(_ *world, e *end) (int, error) { return e.write(actionLane, 120) }},
	{name: "WriteMuch", obeys: writes, do: func(_ *world, e *end) (int, error) { return e.write(actionLane, 2*replayLimit) }},
	{name: "ReadFrom", obeys: writes, do: func(_ *world, e *end) (int, error) {
		n, err := e.ReadFrom(bytes.NewReader(e.next(actionLane, 120)))
		e.fellShort(actionLane, 120-int(n))
		return int(n), err
	}},
	{name: "TryWrite", atOnce: true, do: func(_ *world, e *end) (int, error) { return e.tryWrite(actionLane, 120) }},
	{name: "CloseWrite", only: isNoise, atOnce: true, do: func(w *world, e *end) (int, error) {
		w.facts.closedWrite[e.role] = true
		return 0, e.CloseWrite()
	}},
	{name: "Close", atOnce: true, do: func(w *world, e *end) (int, error) {
		w.facts.closed[e.role] = true
		return 0, e.Close()
	}},
	{name: "CloseContext", do: func(w *world, e *end) (int, error) {
		w.facts.closed[e.role] = true
		return 0, e.CloseContext(context.Background())
	}},
	{name: "Abort", atOnce: true, do: func(w *world, e *end) (int, error) {
		w.facts.aborted[e.role] = true
		return 0, e.Abort()
	}},
	{name: "Flush", do: func(_ *world, e *end) (int, error) { return 0, e.Flush(context.Background()) }},
	{name: "WaitAcked", only: isNoise, do: func(_ *world, e *end) (int, error) {
		return 0, e.WaitAcked(context.Background(), e.Stats().BytesWritten)
	}},
	{name: "PastDeadline", atOnce: true, do: func(w *world, e *end) (int, error) {
		w.facts.deadline[reads][e.role], w.facts.deadline[writes][e.role] = true, true
		return 0, e.SetDeadline(time.Unix(1, 0))
	}},
	{name: "Deadline", atOnce: true, do: func(w *world, e *end) (int, error) {
		w.facts.deadline[reads][e.role], w.facts.deadline[writes][e.role] = true, true
		return 0, e.SetDeadline(time.Now().Add(time.Second))
	}},
	{name: "Queries", atOnce: true, do: func(_ *world, e *end) (int, error) {
		_, _, _, _, _, _ = e.ID(), e.Suite(), e.String(), e.LocalAddr(), e.RemoteAddr(), e.Label()
		_, _, _, _, _, _ = e.State(), e.Stats(), e.Done(), e.Err(), e.Room(), e.Acked()
		_ = e.Identity()
		_, _ = e.ChannelBinding()
		return 0, nil
	}},
	{name: "NetworkChanged", atOnce: true, do: func(w *world, e *end) (int, error) {
		w.facts.moved = true
		e.NetworkChanged()
		return 0, nil
	}},
	{name: "Cut", atOnce: true, do: func(w *world, e *end) (int, error) {
		w.facts.cut, w.facts.moved = true, true
		e.Cut()
		return 0, nil
	}},
	{name: "SetVigilance", atOnce: true, do: func(_ *world, e *end) (int, error) { return 0, e.SetVigilance(relink.VigilanceOff) }},
	{name: "SetResumeTimeout", atOnce: true, do: func(_ *world, e *end) (int, error) { return 0, e.SetResumeTimeout(resumeTimeout / 2) }},
}

// worldActions are what others do.
var worldActions = []action{
	{name: "listener.Close", atOnce: true, do: func(w *world) (int, error) {
		w.facts.listenerClosed = true
		return 0, w.l.Close()
	}},
	{name: "listener.Shutdown", do: func(w *world) (int, error) {
		w.facts.shutdown = true
		return 0, w.l.Shutdown(context.Background())
	}},
	{name: "listener.Queries", atOnce: true, do: func(w *world) (int, error) {
		_, _ = w.l.Stats(), w.l.Addr()
		for range w.l.Sessions() {
		}
		return 0, nil
	}},
	{name: "listener.Acceptor.Close", atOnce: true, do: func(w *world) (int, error) {
		w.facts.shutdown = true
		return 0, w.l.Acceptor().Close()
	}},
	{name: "listener.Revoke", on: true, only: func(s suite) bool { return s.name == "Noise" }, atOnce: true, do: func(w *world) (int, error) {
		key, _ := w.ends[client].PeerKey()
		n := w.l.Revoke(key)
		w.facts.revoked = n > 0
		return n, nil
	}},
	{name: "net.Reset", do: func(w *world) (int, error) { return w.cut(faultnet.Reset) }},
	{name: "net.ResetNow", do: func(w *world) (int, error) { return w.cut(faultnet.ResetNow) }},
	{name: "net.End", do: func(w *world) (int, error) { return w.cut(faultnet.End) }},
	{name: "net.BlackHole", on: true, do: func(w *world) (int, error) {
		w.hole = w.path()
		n, err := w.cut(faultnet.BlackHole)
		w.ends[client].NetworkChanged()
		return n, err
	}},
	{name: "net.Replay", on: true, do: func(w *world) (int, error) { return 0, w.replay() }},
	{name: "time.Tick", do: func(w *world) (int, error) { return w.pass(250 * time.Millisecond) }},
	{name: "time.Attempt", do: func(w *world) (int, error) { return w.pass(attemptTimeout + time.Second) }},
	{name: "time.Handshake", do: func(w *world) (int, error) { return w.pass(handshakeTime + time.Second) }},
	{name: "time.Liveness", do: func(w *world) (int, error) { return w.pass(2*livenessTime + time.Second) }},
	{name: "time.Resume", do: func(w *world) (int, error) { return w.pass(resumeTimeout + time.Second) }},
}

// actions returns those of a suite for a scenario.
func actions(s suite, c scenario) []action {
	var list []action
	for _, a := range worldActions {
		if (!a.on || !c.opens) && (a.only == nil || a.only(s)) {
			list = append(list, a)
		}
	}
	if c.opens {
		return list
	}
	if c.wary {
		list = append(list, action{name: "net.Speak", do: (*world).speak})
	}
	for _, o := range ownActions {
		if o.only != nil && !o.only(s) {
			continue
		}
		for _, r := range []role{client, server} {
			list = append(list, action{
				name: r.String() + "." + o.name, atOnce: o.atOnce, own: true, side: r, obeys: o.obeys,
				do: func(w *world) (int, error) { return o.do(w, w.ends[r]) },
			})
		}
	}
	return list
}

func actionNamed(s suite, c scenario, name string) (action, bool) {
	list := actions(s, c)
	i := slices.IndexFunc(list, func(a action) bool { return a.name == name })
	if i < 0 {
		return action{}, false
	}
	return list[i], true
}

// cut cuts the newest path.
func (w *world) cut(k faultnet.Kind) (int, error) {
	w.facts.cut, w.facts.moved = true, true
	if p := w.path(); p != nil {
		p.Cut(k)
	}
	return 0, nil
}

// speak has a link that was silent bring everything.
func (w *world) speak() (int, error) {
	before := w.ends[client].Stats().Resumes
	w.silent.Release(faultnet.Up)
	w.silent.Release(faultnet.Down)
	if before > 0 {
		return 0, nil // it is no link any more
	}
	w.spoke = true
	return 0, nil
}

// pass lets time pass.
func (w *world) pass(d time.Duration) (int, error) {
	w.facts.held = d
	time.Sleep(d)
	return 0, nil
}

// replay repeats what a client has sent to resume: now, if it is about to, or else before.
func (w *world) replay() error {
	copies := w.path().Bytes(faultnet.Up)
	if len(copies) == 0 {
		copies = w.recorded
	}
	if len(w.rest) > 0 { // they are there but for the last byte
		w.facts.copies = w.suite.noise && w.gate.count(server, "Authorize") > 0 // else the copies come first, and the client asks again
		for _, c := range w.raw {
			if _, err := c.Write(w.rest); err != nil {
				return err
			}
		}
		return nil
	}
	return w.repeat(copies)
}

// repeat says the same as a client once more, five times.
func (w *world) repeat(copies []byte) error {
	for range 5 {
		c, err := w.net.DialThrough(context.Background(), func(p *faultnet.Path) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.strange = append(w.strange, p)
			return nil
		})
		if err != nil {
			return err
		}
		w.raw = append(w.raw, c)
		if _, err := c.Write(copies); err != nil {
			return err
		}
	}
	return nil
}
