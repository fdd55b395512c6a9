package relink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	core "github.com/relink-go/relink"
)

// acceptPause is how long the proxy waits where the process has no descriptors left.
const acceptPause = 100 * time.Millisecond

// A LocalProxy gives each connection that it accepts on this device a session of its own
// with the server, for what can open a socket and nothing else: Unity, OkHttp, a
// WebView, a C library. [StartProxy] makes one.
//
// The bytes are passed on as they are, in both directions, with half-closes. A session
// that could not be opened, or that was lost, resets the local connection; a Unix socket
// has no reset, and there it looks like an end. On the suites "dh64rc4" and "scp" an end
// from the local side ends the session, for their wires know no half-close.
type LocalProxy struct {
	dialer    *dialer // nil in a LocalProxy that the app has made itself
	events    *events
	listeners []net.Listener
	address   string // of TCP, or ""
	socket    string // of the Unix socket, or ""
	ctx       context.Context
	cancel    context.CancelFunc
	wg        sync.WaitGroup // the accepting goroutines and those of the connections

	mu       sync.Mutex // guards what follows
	conns    map[net.Conn]*core.Conn
	accepted int64
	refused  int64
	failed   int64
	lastErr  string
}

// StartProxy listens on a free port of 127.0.0.1, and on the Unix socket if the config
// names one. It does not speak with the server before somebody connects.
func StartProxy(config *Config) (proxy *LocalProxy, err error) {
	defer guard("StartProxy", &err)
	if config == nil {
		return nil, argument("StartProxy: the config is null")
	}
	s := config.snapshot()
	if s.proxyConns == 0 {
		s.proxyConns = defaultProxyConns
	}
	if s.proxyWithoutTCP && s.proxySocket == "" {
		return nil, argument("StartProxy: nothing to listen on: SetProxyTCP is false and there is no SetProxySocket")
	}
	d, err := newDialer("StartProxy", s)
	if err != nil {
		return nil, err
	}
	p := &LocalProxy{dialer: d, events: newEvents(), conns: make(map[net.Conn]*core.Conn)}
	if err := p.listen(); err != nil {
		for _, l := range p.listeners {
			_ = l.Close()
		}
		return nil, err
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	for _, l := range p.listeners {
		p.wg.Go(func() { p.accept(l) })
	}
	return p, nil
}

func (p *LocalProxy) listen() error {
	if !p.dialer.proxyWithoutTCP {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return &codedError{CodeNetwork, fmt.Errorf("StartProxy: %w", err)}
		}
		p.listeners = append(p.listeners, l)
		p.address = l.Addr().String()
	}
	if path := p.dialer.proxySocket; path != "" {
		l, err := listenUnix(path)
		if err != nil {
			return err
		}
		p.listeners = append(p.listeners, l)
		p.socket = path
	}
	return nil
}

// listenUnix listens on a socket for this user alone, in place of one that a process has
// left behind when it was killed.
func listenUnix(path string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil {
		if info.Mode()&os.ModeSocket == 0 {
			return nil, argument("StartProxy: %s is there and is no socket", path)
		}
		if c, err := net.Dial("unix", path); err == nil {
			_ = c.Close()
			return nil, argument("StartProxy: somebody listens on %s already", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, argument("StartProxy: %w", err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, argument("StartProxy: the socket's path of %d bytes: %w", len(path), err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, argument("StartProxy: %w", err)
	}
	return l, nil
}

// accept takes local connections until the listener is closed or the system has taken it
// away, as iOS does to an app that sleeps.
func (p *LocalProxy) accept(l net.Listener) {
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			p.begin(conn)
		case p.ctx.Err() != nil:
			return
		case passing(err):
			select {
			case <-time.After(acceptPause):
			case <-p.ctx.Done():
				return
			}
		default:
			p.mu.Lock()
			p.lastErr = coded(fmt.Errorf("the proxy no longer listens on %s; start another: %w", l.Addr(), err)).Error()
			p.mu.Unlock()
			return
		}
	}
}

// passing reports whether accepting may work again in a moment.
func passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED, syscall.EINTR} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// begin serves a connection, or resets it where there are too many.
func (p *LocalProxy) begin(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil || len(p.conns) >= p.dialer.proxyConns {
		p.refused++
		reset(conn)
		return
	}
	p.accepted++
	p.conns[conn] = nil
	p.wg.Go(func() { p.serve(conn) })
}

// serve opens the session of a local connection and passes the bytes on.
func (p *LocalProxy) serve(conn net.Conn) {
	err := p.relay(conn)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil && p.ctx.Err() == nil {
		p.failed++
		p.lastErr = coded(err).Error()
	}
	delete(p.conns, conn)
}

func (p *LocalProxy) relay(conn net.Conn) (err error) {
	defer func() {
		if err != nil {
			reset(conn)
			return
		}
		_ = conn.Close()
	}()
	defer guard("the proxy", &err)
	session, err := p.dialer.dial(p.ctx, p.events.push)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.conns[conn] = session
	closed := p.ctx.Err() != nil
	p.mu.Unlock()
	if closed {
		_ = session.Abort()
		return net.ErrClosed
	}
	up := make(chan error, 1)
	p.wg.Go(func() {
		up <- pass("the app's bytes", session, conn, func() error { return endWrite(session) }, session, conn)
	})
	down := pass("the server's bytes", conn, session, func() error { return closeWrite(conn) }, session, conn)
	if err := errors.Join(down, <-up); err != nil {
		return err
	}
	_ = conn.Close()
	if err := session.CloseContext(p.ctx); err != nil {
		_ = session.Abort()
		return err
	}
	return nil
}

// pass copies one direction to its end and hands the end on. If it fails, the other
// direction has no use: both ends are cut, so that it returns too. What it returns then,
// for being cut, is no failure of its own.
func pass(what string, dst io.Writer, src io.Reader, end func() error, session *core.Conn, conn net.Conn) (err error) {
	defer func() {
		if errors.Is(err, net.ErrClosed) {
			err = nil
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", what, err)
			_ = session.Abort()
			reset(conn)
		}
	}()
	defer guard("the proxy", &err)
	if _, err := io.Copy(dst, src); err != nil {
		return err
	}
	return end()
}

// endWrite ends the session's stream, or the session where its wire can do no less.
func endWrite(session *core.Conn) error {
	err := session.CloseWrite()
	if errors.Is(err, errors.ErrUnsupported) {
		return session.Close()
	}
	return err
}

func closeWrite(conn net.Conn) error {
	err := conn.(interface{ CloseWrite() error }).CloseWrite() // TCP and Unix sockets have it
	if errors.Is(err, syscall.ENOTCONN) {                      // the app has gone, after all that it wanted
		return nil
	}
	return err
}

// reset closes a connection so that its peer sees an error, where there is such a thing.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// ready returns an error for a LocalProxy that StartProxy has not made.
func (p *LocalProxy) ready(what string) error {
	if p == nil || p.dialer == nil {
		return argument("%s: this LocalProxy is not from StartProxy", what)
	}
	return nil
}

// Address returns "127.0.0.1:port", or "" without TCP.
func (p *LocalProxy) Address() string {
	if p.ready("Address") != nil {
		return ""
	}
	return p.address
}

// Port returns the TCP port, or 0 without TCP.
func (p *LocalProxy) Port() int64 {
	defer guardQuiet("Port")
	if p.ready("Port") != nil || p.address == "" {
		return 0
	}
	for _, l := range p.listeners {
		if a, ok := l.Addr().(*net.TCPAddr); ok {
			return int64(a.Port)
		}
	}
	return 0
}

// SocketPath returns the path of the Unix socket, or "" without one.
func (p *LocalProxy) SocketPath() string {
	if p.ready("SocketPath") != nil {
		return ""
	}
	return p.socket
}

// SetListener sets who is told of the events of all sessions; see [Conn.SetListener].
func (p *LocalProxy) SetListener(listener EventListener) (err error) {
	defer guard("SetListener", &err)
	if err := p.ready("SetListener"); err != nil {
		return err
	}
	if isNil(listener) {
		return argument("SetListener: the listener is null; call ClearListener")
	}
	p.events.set(listener)
	return nil
}

// ClearListener ends the delivery of events.
func (p *LocalProxy) ClearListener() (err error) {
	defer guard("ClearListener", &err)
	if err := p.ready("ClearListener"); err != nil {
		return err
	}
	p.events.set(nil)
	return nil
}

// NetworkChanged tells all sessions; see [Conn.NetworkChanged].
func (p *LocalProxy) NetworkChanged() (err error) {
	defer guard("NetworkChanged", &err)
	if err := p.ready("NetworkChanged"); err != nil {
		return err
	}
	p.dialer.ways.NetworkChanged()
	for _, session := range p.sessions() {
		session.NetworkChanged()
	}
	return nil
}

func (p *LocalProxy) sessions() []*core.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []*core.Conn
	for _, session := range p.conns {
		if session != nil {
			all = append(all, session)
		}
	}
	return all
}

// Stats returns the counts at this moment.
func (p *LocalProxy) Stats() *ProxyStats {
	defer guardQuiet("Stats")
	if p.ready("Stats") != nil {
		return &ProxyStats{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return &ProxyStats{
		Conns:          int64(len(p.conns)),
		Accepted:       p.accepted,
		Refused:        p.refused,
		Failed:         p.failed,
		LastError:      p.lastErr,
		ListenerErrors: p.events.listenerErrors(),
	}
}

// Close ends the proxy and all its connections at once, and returns when nothing of it
// is left.
func (p *LocalProxy) Close() (err error) {
	defer guard("Close", &err)
	if err := p.ready("Close"); err != nil {
		return err
	}
	p.cancel()
	for _, l := range p.listeners {
		_ = l.Close()
	}
	p.mu.Lock()
	for conn, session := range p.conns {
		reset(conn)
		if session != nil {
			_ = session.Abort()
		}
	}
	p.mu.Unlock()
	p.wg.Wait()
	return nil
}

// ProxyStats are the counts of a proxy since it was started.
type ProxyStats struct {
	Conns          int64  // local connections now
	Accepted       int64  // that were served
	Refused        int64  // that were one too many
	Failed         int64  // whose session could not be opened, or was lost, or that broke off themselves
	LastError      string // why the last one failed, with its code, or why the proxy no longer listens
	ListenerErrors int64  // calls of the listener that threw
}
