package main

import (
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
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
		}
	}()
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
