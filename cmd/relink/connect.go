package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/proxy"
)

// unsaid is how long on a classic suite a client whose program has ended waits for more
// from the server.
const unsaid = 10 * time.Second

// errInterrupted is why a session ends by a signal.
var errInterrupted = errors.New("interrupted")

// connect is the port on the client's side.
func connect(p *program, args []string) int {
	flags := newFlags("connect")
	var listen list
	flags.Var(&listen, "listen", "open this local `address`: host:port or unix:/a/path; may be given again")
	stdio := flags.Bool("stdio", false, "carry standard input and output over one session, as ssh's ProxyCommand wants")
	var t target
	t.register(flags)
	idle := flags.Duration("idle", 0, "end a session when nothing has passed for this long (default never)")
	verbose := flags.Bool("v", false, "log every session, instead of the status line")
	if status, ok := p.parse(flags, args, "relink connect -to ADDRESS -server-key KEY -listen ADDRESS | -stdio", 0); !ok {
		return status
	}
	if (len(listen) == 0) == !*stdio {
		return p.failed("connect", errors.New("either -listen ADDRESS or -stdio"), exitUsage)
	}
	d, err := t.dialer()
	if err != nil {
		return p.failed("connect", err, exitUsage)
	}
	c := &connector{p: p, route: d, limits: proxy.Limits{Idle: *idle, Unsaid: unsaid}}
	if *verbose {
		d.Logger = p.logger(true)
	} else if f, ok := p.stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		line := newStatusLine(p.stderr)
		defer line.close()
		d.OnEvent = line.event
	}

	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	go func() {
		select {
		case <-signals:
			cancel(errInterrupted)
		case <-ctx.Done():
		}
	}()
	if err := watchNetwork(ctx, c.networkChanged); err != nil && *verbose {
		d.Logger.Warn("changes of the network are not noticed at once", "error", err)
	}
	if *stdio {
		return c.stdio(ctx)
	}
	return c.listen(ctx, listen)
}

// A connector opens sessions.
type connector struct {
	p      *program
	route  *route
	limits proxy.Limits

	mu       sync.Mutex // guards sessions
	sessions map[*relink.Conn]bool
}

// dial opens a session, which is told of changes of the network until forget is
// called.
func (c *connector) dial(ctx context.Context) (session *relink.Conn, forget func(), err error) {
	session, err = c.route.dial(ctx)
	if err != nil {
		return nil, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sessions == nil {
		c.sessions = make(map[*relink.Conn]bool)
	}
	c.sessions[session] = true
	return session, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.sessions, session)
	}, nil
}

// networkChanged moves the sessions that would get another local address now.
func (c *connector) networkChanged() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.sessions {
		if moved(s.LocalAddr(), s.RemoteAddr()) {
			s.NetworkChanged()
		}
	}
}

// stdio carries standard input and output.
func (c *connector) stdio(ctx context.Context) int {
	session, forget, err := c.dial(ctx)
	if err != nil {
		return c.p.failed("connect", err, exitConnection)
	}
	defer forget()
	err = proxy.Join(ctx, session, newStdio(c.p.stdin, c.p.stdout), c.limits)
	if err != nil {
		time.Sleep(lastWords)
		return c.p.failed("connect", err, exitConnection)
	}
	return exitOK
}

// listen makes a session of each local connection.
func (c *connector) listen(ctx context.Context, addresses []string) int {
	var all []net.Listener
	defer func() {
		for _, l := range all {
			_ = l.Close()
		}
	}()
	for _, a := range addresses {
		l, at, err := listenLocal(a)
		if err != nil {
			return c.p.failed("connect", err, exitFailed)
		}
		all = append(all, l)
		c.p.logger(false).Info("listening", "address", at)
	}
	var sessions sync.WaitGroup
	var carried atomic.Bool
	failed := make(chan error, len(all))
	for _, l := range all {
		sessions.Go(func() {
			failed <- c.accept(ctx, l, func(local net.Conn) {
				carried.Store(true)
				sessions.Go(func() { c.carry(ctx, local) })
			})
		})
	}
	status := exitOK
	select {
	case <-ctx.Done():
	case err := <-failed:
		if ctx.Err() == nil {
			status = c.p.failed("connect", err, exitFailed)
		}
	}
	for _, l := range all {
		_ = l.Close()
	}
	sessions.Wait()
	if carried.Load() && ctx.Err() != nil {
		time.Sleep(lastWords)
	}
	return status
}

// accept takes local connections until it fails for good.
func (c *connector) accept(ctx context.Context, l net.Listener, take func(net.Conn)) error {
	for {
		local, err := l.Accept()
		switch {
		case err == nil:
			take(local)
		case !temporary(err):
			return err
		default: // no descriptors, for instance
			if err := sleep(ctx, 100*time.Millisecond); err != nil {
				return err
			}
		}
	}
}

func (c *connector) carry(ctx context.Context, local net.Conn) {
	session, forget, err := c.dial(ctx)
	if err != nil {
		if t, ok := local.(*net.TCPConn); ok {
			_ = t.SetLinger(0) // a reset: there is no stream to end
		}
		_ = local.Close()
		c.p.logger(false).Error("no session", "error", err)
		return
	}
	defer forget()
	if err := proxy.Join(ctx, session, local, c.limits); err != nil && ctx.Err() == nil {
		c.p.logger(false).Warn("session ended", "session", session.ID(), "error", err)
	}
}

// temporary reports whether Accept may work again.
func temporary(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ECONNABORTED)
}

// sleep waits, or returns why it did not.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A stdio is standard input and output as a connection. A Read of standard input cannot
// be interrupted, so a goroutine stays in it until the process ends.
type stdio struct {
	in  *io.PipeReader
	out io.Writer
}

func newStdio(in io.Reader, out io.Writer) *stdio {
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, in)
		_ = w.CloseWithError(err) // nil is the end
	}()
	return &stdio{r, out}
}

func (s *stdio) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s *stdio) Write(p []byte) (int, error) { return s.out.Write(p) }
func (s *stdio) Close() error                { return s.in.Close() }

// CloseWrite closes standard output.
func (s *stdio) CloseWrite() error {
	if c, ok := s.out.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
