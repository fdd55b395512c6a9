package proxy

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relink-go/relink"
)

// Settings are what a [Server] can be given anew while it runs. They must not be
// changed while they are used.
type Settings struct {
	Routes *Routes // required
	Limits Limits
}

// A Server joins each session of a listener to a connection of its own to an
// upstream. All methods may be called from any goroutine.
type Server struct {
	settings atomic.Pointer[Settings]
	logger   *slog.Logger
	sessions sync.WaitGroup
	joined   sync.Map // of *relink.Conn: how to end it, a context.CancelCauseFunc
}

// NewServer returns a server with these settings. It says to the logger why a
// session was not served, and how it ended where that was not meant. Nil means
// silence.
func NewServer(s Settings, logger *slog.Logger) *Server {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	server := &Server{logger: logger}
	server.Set(s)
	return server
}

// Set replaces the settings for sessions that begin from now on. Others keep what they
// have.
func (s *Server) Set(settings Settings) { s.settings.Store(&settings) }

// Serve accepts sessions until Accept fails, and returns its error. Sessions that
// were accepted go on: see [Server.Wait]. What a client writes before its upstream
// is there stays in the session. A session without an upstream is aborted.
func (s *Server) Serve(l *relink.Listener) error {
	for {
		c, err := l.AcceptConn()
		if err != nil {
			return err
		}
		s.sessions.Go(func() { s.serve(c) })
	}
}

// Wait waits until no session is served any more. It must not be called beside
// [Server.Serve], but after it.
func (s *Server) Wait() { s.sessions.Wait() }

// End ends a session and its connection in order, as [Join] does with [ErrEnd]; one that is not
// joined yet is closed. Close of the session alone would be a failure to its connection, which
// is reset then.
func (s *Server) End(c *relink.Conn) {
	if end, ok := s.joined.Load(c); ok {
		end.(context.CancelCauseFunc)(ErrEnd)
		return
	}
	_ = c.Close()
}

func (s *Server) serve(c *relink.Conn) {
	settings := s.settings.Load()
	log := s.logger.With("session", c.ID(), "client", c.RemoteAddr())
	up, err := settings.Routes.Find(c.Identity().Target)
	if err != nil {
		log.Warn("session turned away", "error", err)
		c.Abort()
		return
	}
	// A session that ends meanwhile needs no upstream any more.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dialled := make(chan struct{})
	go func() {
		select {
		case <-c.Done():
			cancel()
		case <-dialled:
		}
	}()
	begun := time.Now()
	other, err := up.Dial(ctx, c)
	close(dialled)
	if err != nil {
		log.Error("no connection to the upstream", "upstream", up.Addresses, "error", err)
		c.Abort()
		return
	}
	log = log.With("upstream", other.RemoteAddr())
	log.Debug("joined", "dial", time.Since(begun))
	joined, end := context.WithCancelCause(context.Background())
	s.joined.Store(c, end)
	defer func() {
		s.joined.Delete(c)
		end(nil)
	}()
	switch err := Join(joined, c, other, settings.Limits); {
	case err == nil:
		log.Debug("ended")
	case errors.Is(err, relink.ErrPeerClosed), errors.Is(err, relink.ErrSessionLost):
		log.Info("the client has gone", "error", err)
	default:
		log.Warn("ended", "error", err)
	}
}
