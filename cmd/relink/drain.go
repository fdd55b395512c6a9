package main

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"time"

	"github.com/relink-go/relink"
)

// lastWords is how long a process that has aborted sessions stays, so that relink can
// tell their peers: it takes up to 100 ms for that, and nothing else tells when it
// is over.
const lastWords = 150 * time.Millisecond

// drain serves the sessions there are until they have ended, the limit is over or
// another signal comes.
func (s *service) drain(why string, served <-chan error, signals <-chan os.Signal) int {
	return s.drainBut(why, served, signals, 0)
}

// retire is drain for a process that another one has replaced: what it has accepted may
// still become a session. The first signal asks for what happens anyway.
func (s *service) retire(served <-chan error, signals <-chan os.Signal) int {
	s.draining.Store(true)
	spare := 1
	timer := time.NewTimer(cmp.Or(s.current().handshakeTimeout, handshakeTime))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-signals:
		spare = 0
	}
	return s.drainBut("the process that has taken over", served, signals, spare)
}

// handshakeTime is how long a handshake takes at most, unless the configuration says
// something else.
const handshakeTime = 10 * time.Second

// drainBut is drain, which passes over some signals.
func (s *service) drainBut(why string, served <-chan error, signals <-chan os.Signal, spare int) int {
	limit := s.current().drain
	s.logger.Info("draining: no new sessions, a second signal ends those there are", "asked by", why, "sessions", count(s.listener), "limit", limit)
	s.draining.Store(true)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if limit > 0 {
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	go func() {
		for range spare + 1 {
			select {
			case <-signals:
			case <-ctx.Done():
				return
			}
		}
		cancel()
	}()
	if s.before != nil { // this process is the way to that one
		_ = s.listener.Acceptor().Close()
		s.awaitBefore(ctx.Done())
	}
	err := s.listener.Shutdown(ctx)
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		s.logger.Warn("accepting had failed", "error", err)
	}
	status := exitOK
	if err != nil {
		s.logger.Warn("ending the sessions that are left", "sessions", count(s.listener))
		status = exitFailed
	}
	for c := range s.listener.Sessions() {
		_ = c.Abort()
	}
	s.server.Wait()
	if err != nil {
		time.Sleep(lastWords)
	}
	s.logger.Info("ended")
	return status
}

func count(l *relink.Listener) int {
	s := l.Stats()
	return s.Connected + s.Suspended
}
