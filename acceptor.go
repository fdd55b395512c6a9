package relink

import (
	"net"
	"sync/atomic"
)

// An acceptor is a listener for servers: see [Listener.Acceptor].
type acceptor struct {
	l      *Listener
	closed atomic.Bool
}

// Acceptor returns l as a server wants it that closes its listener first and waits for
// its connections afterwards, as Shutdown of an http.Server and GracefulStop of a gRPC
// server do: its Close only ends accepting. New sessions are refused from then on, those
// that nobody has accepted end, and the others stay resumable until they end or l is
// closed. Addr is that of l; Accept returns what [Listener.Accept] does.
//
// All acceptors of a listener accept from it, and after Close of one nothing more is
// accepted by the others or by l. The program that has made l closes it, once the server
// has stopped: [Listener.Shutdown] also waits until what the sessions have written is
// delivered.
func (l *Listener) Acceptor() net.Listener { return &acceptor{l: l} }

func (a *acceptor) Accept() (net.Conn, error) { return a.l.Accept() }

func (a *acceptor) Addr() net.Addr { return a.l.Addr() }

func (a *acceptor) Close() error {
	if a.closed.Swap(true) {
		return a.l.opError(net.ErrClosed)
	}
	a.l.stopAccepting()
	return nil
}

// stopAccepting refuses new sessions, and ends those that wait for Accept: nobody
// would ever serve them.
func (l *Listener) stopAccepting() {
	l.mu.Lock()
	l.draining, l.stopped = true, true
	backlog := l.backlog.clear()
	l.acceptable.Broadcast()
	l.mu.Unlock()
	for _, c := range backlog {
		_ = c.Abort()
	}
}
