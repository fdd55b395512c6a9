package simulation

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"time"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// play does the steps.
func (w *world) play() {
	for i := range w.s.Steps {
		st := &w.s.Steps[i]
		if st.After > 0 {
			time.Sleep(st.After)
			w.rest()
			if !w.ok() {
				return
			}
		}
		w.tellStep(st)
		if st.Do == Sleep {
			w.sleep(st)
			continue
		}
		w.mu.Lock()
		if w.do(st) {
			w.counts.Steps[string(st.Do)]++
		}
		w.mu.Unlock()
	}
	w.rest()
}

func (w *world) tellStep(st *Step) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell("step", "%v", st)
}

// do does a step, unless there is nothing for it to act on. The lock is held.
func (w *world) do(st *Step) bool {
	s := w.sessions[st.Conn%len(w.sessions)]
	e := s.client
	if st.Side == Server {
		e = s.server
	}
	switch st.Do {
	case Open:
		return s.open()
	case Write:
		e.writeOn(st.N, st.M)
	case Read:
		e.readOn(st.N, st.M)
	case Pause:
		e.pause()
	case Deadline:
		return e.setDeadline(st.Which, st.For)
	case CloseWrite:
		return e.closeWrite()
	case Close:
		return e.close()
	case Abort:
		return e.abort()
	case WaitAcked:
		return e.waitAcked()
	case Network:
		if s.client.conn == nil {
			return false
		}
		s.client.conn.NetworkChanged()
	default:
		return w.doNetwork(st, s)
	}
	return true
}

// doNetwork is do for the steps of the network.
func (w *world) doNetwork(st *Step, s *session) bool {
	switch st.Do {
	case Cut, CutAt, Stall, Release, Hostile:
		if st.Path >= len(s.paths) {
			return false
		}
		return w.doPath(st, s.paths[len(s.paths)-1-st.Path])
	case ReleaseAll:
		w.releaseAll()
	case CutDials, StallDials, LoseAnswers, FailDials:
		if st.N <= 0 {
			return false
		}
		w.dials.faults = append(w.dials.faults, &dialFault{*st, st.N})
	case Down:
		w.dials.down = faultnet.Refuse
		if st.Which == hang {
			w.dials.down = faultnet.Hang
		}
		w.net.SetDown(w.dials.down)
	case Up:
		w.dials.down = faultnet.NotDown
		w.net.SetDown(faultnet.NotDown)
	case Host:
		w.net.SetClientHost(fmt.Sprintf("10.0.0.%d", st.N))
	case Reshape:
		o := w.pathOptions()
		o.Segment, o.Delay = st.N, st.For
		w.net.SetOptions(o)
	case AcceptFails:
		errs := make([]error, max(0, st.N))
		for i := range errs {
			errs[i] = faultnet.ErrTooManyFiles
		}
		w.inner.FailNext(errs...)
	case Shutdown:
		if w.draining {
			return false
		}
		w.stopped, w.draining = true, true
		w.wg.Go(func() { w.shutdown(st.For) })
	case StopAccept:
		w.stopped, w.draining = true, true
		w.wg.Go(func() { _ = w.l.Close() })
	default:
		panic(fmt.Sprintf("simulation: nobody does the step %v", st))
	}
	w.dials.changed()
	return true
}

func (w *world) shutdown(within time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	err := w.l.Shutdown(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell("listener", "shutdown: %v", err)
}

// doPath does a step to one path.
func (w *world) doPath(st *Step, p *faultnet.Path) bool {
	switch st.Do {
	case Cut:
		w.counts.Cuts[st.Kind.String()]++
		p.Cut(st.Kind)
		w.silenced(p, st.Kind)
	case CutAt:
		w.counts.Cuts[st.Kind.String()+" at a byte"]++
		p.CutAt(st.Dir, p.Sent(st.Dir)+int64(max(0, st.N)), st.Kind)
		w.silenced(p, st.Kind)
	case Stall:
		p.Stall(st.Dir)
	case Release:
		p.Release(st.Dir)
	case Hostile:
		b := p.Bytes(faultnet.Up)
		if st.N >= 0 {
			b = b[:min(st.N, len(b))]
		}
		w.wg.Go(func() { w.attack(b, st.Stay) })
	default:
	}
	return true
}

// silenced notes that a path has become silent, or may.
func (w *world) silenced(p *faultnet.Path, k faultnet.Kind) {
	switch k {
	case faultnet.BlackHole, faultnet.BlackHoleUp, faultnet.BlackHoleDown, faultnet.EndUp, faultnet.EndDown:
		w.silent = append(w.silent, p)
	default:
	}
}

// attack sends bytes to the listener, and leaves, or stays and listens.
func (w *world) attack(b []byte, stay bool) {
	c, err := w.net.DialThrough(context.Background(), nil)
	if err != nil {
		return
	}
	w.mu.Lock()
	w.hostiles = append(w.hostiles, c)
	if w.ending {
		stay = false
	}
	w.mu.Unlock()
	if stay {
		w.wg.Go(func() { drain(c) })
	}
	for b = bytes.Clone(b); len(b) > 0; {
		n, err := c.Write(b) // which may take less
		if err != nil || n == 0 {
			break
		}
		b = b[n:]
	}
	if !stay {
		_ = c.Close()
	}
}

// drain reads until an error.
func drain(c net.Conn) {
	b := make([]byte, 1<<10)
	for {
		if _, err := c.Read(b); err != nil {
			return
		}
	}
}

// releaseAll ends all stalls: what old transports hold is delivered late.
func (w *world) releaseAll() {
	for _, p := range w.net.Paths() {
		p.Release(faultnet.Up)
		p.Release(faultnet.Down)
	}
}

// sleep is the sleep of the clients' device. Dials hang, and those under way
// fail at its end; what is under way on the paths waits, or is lost if the kind
// of cut says so. The client's timers run on in a bubble, which they would not
// on a real device: only a client whose AttemptTimeout is longer than the sleep
// has nothing running.
func (w *world) sleep(st *Step) {
	w.mu.Lock()
	w.counts.Steps[string(Sleep)]++
	w.dials.asleep = true
	w.dials.slept++
	w.dials.changed()
	w.net.SetDown(faultnet.Hang)
	for _, s := range w.sessions {
		for _, p := range s.paths {
			if st.Kind != faultnet.Reset {
				p.Cut(st.Kind)
				w.silenced(p, st.Kind)
			}
			p.Stall(faultnet.Up)
			p.Stall(faultnet.Down)
		}
	}
	w.mu.Unlock()
	time.Sleep(st.For)
	w.mu.Lock()
	w.dials.asleep = false
	w.dials.slept++
	w.dials.changed()
	w.net.SetDown(w.dials.down)
	w.releaseAll()
	w.mu.Unlock()
}

// state names a session's state as its events have it.
func (l *life) state() relink.State {
	switch {
	case l.over():
		return relink.StateClosed
	case l.suspended():
		return relink.StateSuspended
	default:
		return relink.StateConnected
	}
}
