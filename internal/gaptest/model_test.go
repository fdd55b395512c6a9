package gaptest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// facts are what was done to a session, by the scenario and by the action. What must be
// true at the end follows from them.
type facts struct {
	closed, closedWrite, aborted [2]bool    // by which end
	deadline                     [3][2]bool // of which direction of which end

	unopened       bool          // only one side has come to have a session
	gone           bool          // the server has lost the session
	listenerClosed bool          // so that no transport can be replaced any more
	shutdown       bool          // no new session is taken
	revoked        bool          // the session, by the server's key
	cut            bool          // the transport
	moved          bool          // the transport is to be replaced
	copies         bool          // of a resume's request came after it, and must not disturb it
	held           time.Duration // how long the scenario was held
}

// ended reports whether an end has called for the end of the whole session.
func (f *facts) ended(r role) bool { return f.closed[r] || f.aborted[r] }

// uncertain reports whether the session may end although nobody has called for it.
func (f *facts) uncertain() bool { return f.listenerClosed || f.held >= resumeTimeout }

// judgeEnd requires, where the action has ended a stream over a link that nothing
// disturbs, that the peer can read to its end at once: it is in nobody's hands any more.
func (w *world) judgeEnd(a action) {
	synctest.Wait()
	f := &w.facts
	if !w.suite.noise || !a.own || !f.closedWrite[a.side] && !f.closed[a.side] || f.aborted[a.side] || f.ended(a.side.other()) || f.gone || f.held > 0 ||
		w.dials() != w.dialled || w.ends[client].State() == relink.StateResuming {
		return
	}
	e := w.ends[a.side.other()]
	k := e.start(reads, "the Reads to the end", func() (int, error) { return 0, e.drain(true) })
	synctest.Wait()
	w.requires(k.over(), "the end of the stream is not there: %v", k)
}

// remembered reports whether a client that comes back is told of the end: the server's
// listener remembers the sessions that it has aborted, where the wire has a word for it.
func (w *world) remembered(r role) bool {
	f := &w.facts
	return w.suite.noise && r == client && f.aborted[server] && !f.closed[server] && !f.gone && !f.listenerClosed && !f.shutdown && f.held == 0
}

// heard reports whether what an end does must reach the other soon: not where an Abort
// finds a record half sent, or nobody is left to answer, or the time to say it was over.
func (f *facts) heard(r role) bool {
	return !f.aborted[r] && !f.listenerClosed && !f.shutdown && f.held == 0
}

// calm reports whether the session must live on.
func (f *facts) calm() bool {
	return !f.unopened && !f.ended(client) && !f.ended(server) && !f.gone && !f.revoked && !f.uncertain()
}

// A fate is what may become of the Reads of one end.
type fate struct {
	must bool    // they must come to an end; else they may, with one of the errors
	ends []error // how
	eof  bool    // or with io.EOF
	all  bool    // which says that everything was read
}

// fateOf returns what may become of the Reads of an end that has not ended the session
// itself.
func (w *world) fateOf(r role) (f fate) {
	peer, classic := r.other(), !w.suite.noise
	f.all = true
	if w.facts.revoked { // or what has come before that
		return fate{true, []error{relink.ErrDenied, relink.ErrSessionLost, relink.ErrExpired}, w.facts.closedWrite[peer] || w.facts.closed[peer], true}
	}
	if w.facts.closedWrite[peer] || w.facts.closed[peer] {
		f.must, f.eof = true, true
	}
	if w.facts.closed[peer] && (w.facts.held >= closeTimeout || w.facts.uncertain()) { // it could not deliver in time
		f.ends = append(f.ends, relink.ErrSessionLost, relink.ErrExpired)
		f.eof, f.all = f.eof || classic, f.all && !classic
	}
	if w.facts.closed[peer] && classic { // a cut just then looks like the end of the process
		f.ends = append(f.ends, relink.ErrSessionLost, relink.ErrExpired)
	}
	if w.remembered(r) {
		f.must, f.ends = true, []error{relink.ErrSessionLost}
		return f
	}
	if w.facts.aborted[peer] || w.facts.gone || w.facts.uncertain() {
		f.must = f.must || w.facts.aborted[peer] || w.facts.gone
		f.ends = append(f.ends, relink.ErrSessionLost, relink.ErrExpired)
		f.eof, f.all = f.eof || classic, f.all && !classic // its wire cannot tell the two
	}
	return f
}

// judge requires of the session what follows from the facts, and ends it.
func (w *world) judge(c scenario) {
	if c.opens && !w.opened() {
		w.facts.unopened = true
		w.part()
		return
	}
	w.judgeDeadlines()
	if w.kind == wary {
		w.judgeSuspicion(c)
	} else if w.facts.copies {
		w.requires(w.dials() == w.dialled+1, "copies of a resume's request have pushed the resume out: it took %d dials", w.dials()-w.dialled)
	}
	if w.hole != nil {
		w.hole.Cut(faultnet.ResetNow) // as a keep-alive does in time, where the wire has no pings
	}
	var last [2]*call
	for _, e := range w.ends {
		if !w.facts.ended(e.role) && !w.facts.closedWrite[e.role] {
			e.start(writes, "the last Write", func() (int, error) { return e.write(lastLane, 64) })
		}
	}
	for _, e := range w.ends {
		if f := w.fateOf(e.role); !w.facts.ended(e.role) {
			last[e.role] = e.start(reads, "the last Reads", func() (int, error) { return 0, e.drain(f.must) })
		}
	}
	for _, e := range w.ends {
		if l := last[e.role]; l != nil {
			limit := 5 * time.Minute // until a server that is told nothing gives up, and some more
			if w.remembered(e.role) || w.suite.noise && w.facts.heard(e.role.other()) {
				limit = time.Minute
			}
			w.await(l, limit)
			w.judgeReads(e.role, l.err)
		}
	}
	for _, k := range w.all() {
		w.judgeCall(k)
	}
	w.part()
}

// judgeSuspicion requires that a link which answers at once is not suspected, and that
// of two links one is given up.
func (w *world) judgeSuspicion(c scenario) {
	f := &w.facts
	if f.calm() && f.held == 0 && !f.moved && !c.opens && !c.resumes {
		w.requires(w.suspicions.Load() == 0, "a link was suspected that had answered")
		w.requires(w.dials() == w.dialled, "a link was replaced that had answered")
	}
	if w.spoke {
		w.requires(w.ends[client].Stats().Resumes == 0, "a link was detached that had answered")
	}
	if !f.calm() || w.hole != nil {
		return
	}
	for range 100 { // what was begun is ended soon
		if w.ends[client].State() == relink.StateConnected && w.gate.alive(client) == 1 && w.gate.alive(server)-len(w.raw) <= 1 {
			return
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
	}
	w.requires(false, "a side keeps more than one transport: client %d, server %d", w.gate.alive(client), w.gate.alive(server))
}

// opened waits for the session of a scenario that opens one, and reports whether it came
// about.
func (w *world) opened() bool {
	for _, k := range w.all() {
		if k.name == "the scenario's Dial" {
			w.await(k, time.Minute)
		}
	}
	if w.ends[client].Conn != nil {
		time.Sleep(time.Second)
		synctest.Wait()
	}
	both := w.ends[client].Conn != nil && w.ends[server].Conn != nil
	disturbed := w.facts.cut || w.facts.held > 0 || w.facts.listenerClosed || w.facts.shutdown
	w.requires(both || disturbed, "no session came about, and nothing was in its way")
	return both
}

// await requires that a call returns in time.
func (w *world) await(c *call, limit time.Duration) {
	w.t.Helper()
	for synctest.Wait(); !c.over() && time.Since(c.at) < limit; synctest.Wait() {
		time.Sleep(100 * time.Millisecond)
	}
	w.requires(c.over(), "it does not return: %v", c)
}

// judgeDeadlines requires that whoever waited was woken by a deadline, and takes it
// away.
func (w *world) judgeDeadlines() {
	time.Sleep(time.Second)
	synctest.Wait()
	for _, e := range w.ends {
		if !w.facts.deadline[reads][e.role] && !w.facts.deadline[writes][e.role] {
			continue
		}
		for _, k := range w.all() {
			if k.end == e && w.facts.deadline[k.obeys][e.role] {
				w.requires(k.over(), "the deadline does not end it: %v", k)
			}
		}
		if err := e.SetDeadline(time.Time{}); !w.facts.ended(e.role) {
			require.NoError(w.t, err)
		}
	}
}

// judgeReads judges how the last Reads of an end have ended.
func (w *world) judgeReads(r role, err error) {
	w.t.Helper()
	f := w.fateOf(r)
	missing := w.ends[r].missing()
	switch {
	case err == nil:
		require.False(w.t, f.must)
	case errors.Is(err, io.EOF):
		w.requires(f.eof, "%v: the stream has ended, and nobody has ended it", r)
		w.requires(missing == 0 || !f.all, "%v: the end says that all was read, and %d bytes are missing", r, missing)
	default:
		for _, allowed := range f.ends {
			if errors.Is(err, allowed) {
				return
			}
		}
		w.requires(false, "a Read has failed: %v: %v", r, err)
	}
}

// judgeCall judges how another call has ended.
func (w *world) judgeCall(k *call) {
	w.t.Helper()
	if !k.over() {
		return // part sees to it that it ends
	}
	err := k.err
	require.NotErrorIs(w.t, err, errDiffers, "%v", k)
	switch {
	case err == nil, k.end == nil:
	case w.facts.deadline[k.obeys][k.end.role] && errors.Is(err, os.ErrDeadlineExceeded):
	case w.facts.ended(k.end.role) && errors.Is(err, net.ErrClosed):
	case w.facts.closedWrite[k.end.role] && errors.Is(err, net.ErrClosed):
	case !w.facts.calm():
		require.True(w.t, isTyped(err), "%v", k)
	case w.facts.closedWrite[k.end.role.other()] && errors.Is(err, io.EOF):
	default:
		w.requires(false, "a call has failed: %v", k)
	}
}

// part ends the session, and requires that it ends as it should and leaves nothing.
func (w *world) part() {
	calm := w.facts.calm()
	for _, e := range w.ends {
		if e.Conn != nil {
			_ = e.Close() // it may have been called
		}
	}
	began := time.Now()
	for _, e := range w.ends {
		if e.Conn == nil {
			continue
		}
		select {
		case <-e.Done():
		case <-time.After(5 * time.Minute):
			w.requires(false, "the session does not end: %v", e.role)
		}
		if took := time.Since(began); took > closeTimeout {
			w.requires(false, "the session ends late: %v: after %v", e.role, took)
		}
		if calm {
			require.NoError(w.t, e.Err(), "%v", e.role)
		}
	}
	if err := w.l.Close(); !w.facts.listenerClosed && !w.facts.shutdown {
		require.NoError(w.t, err)
	}
	w.requireNothingLeft()
}

func (f facts) String() string {
	return fmt.Sprintf("closed %v, one direction %v, aborted %v, deadline %v, gone %v, listener closed %v, shutdown %v, revoked %v, cut %v, moved %v, held %v",
		f.closed, f.closedWrite, f.aborted, f.deadline, f.gone, f.listenerClosed, f.shutdown, f.revoked, f.cut, f.moved, f.held)
}
