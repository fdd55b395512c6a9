package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/debug"
	"github.com/relink-go/relink/metrics/prometheus"
	"github.com/relink-go/relink/proxy"
)

// serve is the proxy before a server.
func serve(p *program, args []string) int {
	flags := newFlags("serve")
	var c config
	flags.Var((*list)(&c.listen), "listen", "take sessions at this `address`: host:port or unix:/a/path; may be given again")
	flags.Var((*list)(&c.keyFiles), "key", "a `file` with the server's private key; again for a second one while keys change")
	flags.Var((*list)(&c.suites), "suite", "a suite to speak, `name` by name: noise (the default), insecure-noise, dh64rc4, dh64rc4-clear, scp, scp-clear")
	up := new(proxy.Upstream)
	flags.Var((*list)(&up.Addresses), "to", "the server: an `address` as for -listen; again for more, which take turns")
	flags.DurationVar(&up.DialTimeout, "dial-timeout", proxy.DefaultDialTimeout, "limit for connecting to one address of the server")
	flags.IntVar(&up.ProxyProtocol, "proxy-protocol", 0, "tell the server the client's address with this `version`, 1 or 2, of the PROXY protocol")
	flags.Int64Var(&c.node, "node", 0, "the number of this server behind a balancer that reads it")
	flags.IntVar(&c.replayLimit, "replay-limit", 0, "bound for what is kept to be sent again, in `bytes` for each direction of each session (default 4 MiB)")
	flags.DurationVar(&c.resumeTimeout, "resume-timeout", 0, "how long a session may be without a transport (default 2m)")
	flags.IntVar(&c.maxSessions, "max-sessions", 0, "bound for sessions at a time (default none)")
	flags.DurationVar(&c.limits.Idle, "idle", 0, "end a session when nothing has passed for this long (default never)")
	flags.DurationVar(&c.limits.Life, "life", 0, "end a session after this time (default never)")
	flags.DurationVar(&c.limits.Answer, "answer", 0, "end a session whose server has not answered for this long after the first byte (default never)")
	flags.DurationVar(&c.drain, "drain", 0, "after SIGTERM, wait this long for sessions to end (default until they do)")
	file := flags.String("config", "", "take all of this from a `file` instead")
	flags.StringVar(&c.debug, "debug", "", "show the sessions, /metrics and /readyz over HTTP at this `address` of the machine itself")
	verbose := flags.Bool("v", false, "log every session")
	if status, ok := p.parse(flags, args, "relink serve -listen ADDRESS -key FILE -to ADDRESS | -config FILE", 0); !ok {
		return status
	}
	if *file != "" {
		return p.serveFile(flags, *file, *verbose)
	}
	if len(up.Addresses) == 0 {
		return p.failed("serve", errors.New("no server: -to 127.0.0.1:6379, for instance"), exitUsage)
	}
	if err := up.Check(); err != nil {
		return p.failed("serve", err, exitUsage)
	}
	c.routes = &proxy.Routes{Default: up, Rules: []proxy.Rule{{Upstream: up}}}
	if err := c.check(); err != nil {
		return p.failed("serve", err, exitUsage)
	}
	return p.serve(&c, *verbose, func() (*config, error) {
		return nil, errors.New("there is no file to read again: serve was started with flags")
	})
}

// serveFile is serve with a configuration file.
func (p *program) serveFile(flags *flag.FlagSet, name string, verbose bool) int {
	var stray []string
	flags.Visit(func(f *flag.Flag) {
		if f.Name != "config" && f.Name != "v" {
			stray = append(stray, "-"+f.Name)
		}
	})
	if len(stray) > 0 {
		return p.failed("serve", fmt.Errorf("%s beside -config: it belongs into the file", strings.Join(stray, " ")), exitUsage)
	}
	c, err := readFile(name)
	if err != nil {
		return p.failed("serve", err, exitUsage)
	}
	return p.serve(c, verbose, func() (*config, error) { return readFile(name) })
}

// serve runs until a signal ends it. At SIGHUP it takes the settings that reload
// returns for new sessions, if they are valid.
func (p *program) serve(c *config, verbose bool, reload func() (*config, error)) int {
	logger := p.logger(verbose)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)

	cfg, err := c.listenConfig()
	if err != nil {
		return p.failed("serve", err, exitUsage)
	}
	if cfg.Logger = logger; !verbose {
		cfg.Logger = p.logAbove(slog.LevelWarn) // each session's opening and end are not news
	}
	var metrics *prometheus.Collector
	if c.debug != "" {
		metrics = prometheus.NewCollector()
		cfg.OnEvent = metrics.Observe
	}
	opened, err := listenAll(c.listen)
	if err != nil {
		return p.failed("serve", err, exitFailed)
	}
	l, err := relink.NewListener(proxy.Gather(opened...), cfg)
	if err != nil {
		return p.failed("serve", err, exitFailed)
	}
	server := proxy.NewServer(c.settings(), logger)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	for _, o := range opened {
		logger.Info("listening", "address", address(o.Addr()))
	}
	for _, k := range c.keys {
		logger.Info("the server's key", "public", k.PublicKey())
	}
	var draining atomic.Bool
	if c.debug != "" {
		eyes, err := listenOne(c.debug)
		if err != nil {
			_ = l.Close()
			return p.failed("serve", err, exitFailed)
		}
		metrics.SetListener(l)
		web := debugServer(l, metrics, &draining)
		defer func() { _ = web.Close() }()
		go func() { _ = web.Serve(eyes) }()
		logger.Info("debug", "address", address(eyes.Addr()))
	}
	for stopping := false; !stopping; {
		select {
		case err := <-served:
			return p.failed("serve", err, exitFailed)
		case <-hangups:
			next, err := reload()
			if err == nil {
				err = c.replaceable(next)
			}
			if err != nil {
				logger.Error("not reloaded, nothing has changed", "error", err)
				continue
			}
			c = next
			server.Set(c.settings())
			logger.Info("reloaded, for new sessions")
		case s := <-signals:
			logger.Info("draining: no new sessions, a second signal ends those there are", "signal", s, "sessions", count(l), "limit", c.drain)
			stopping = true
			draining.Store(true)
		}
	}
	return drain(l, server, served, signals, c.drain, logger)
}

// debugServer serves package debug. It is not ready any more when the process drains.
func debugServer(l *relink.Listener, metrics *prometheus.Collector, draining *atomic.Bool) *http.Server {
	registry := prom.NewRegistry()
	registry.MustRegister(metrics, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector())
	return &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: debug.Handler(debug.Config{
			Listener: l,
			Metrics:  promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
			Ready: func() error {
				if draining.Load() {
					return errors.New("draining")
				}
				return nil
			},
		}),
	}
}

// lastWords is how long a process that has aborted sessions stays, so that relink can
// tell their peers: it takes up to 100 ms for that, and nothing else tells when it
// is over.
const lastWords = 150 * time.Millisecond

// drain serves the sessions there are until they have ended, the limit is over or
// another signal comes.
func drain(l *relink.Listener, server *proxy.Server, served <-chan error, signals <-chan os.Signal, limit time.Duration, logger *slog.Logger) int {
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
	err := l.Shutdown(ctx)
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		logger.Warn("accepting had failed", "error", err)
	}
	status := exitOK
	if err != nil {
		logger.Warn("ending the sessions that are left", "sessions", count(l))
		status = exitFailed
	}
	for c := range l.Sessions() {
		_ = c.Abort()
	}
	server.Wait()
	if err != nil {
		time.Sleep(lastWords)
	}
	logger.Info("ended")
	return status
}

func count(l *relink.Listener) int {
	s := l.Stats()
	return s.Connected + s.Suspended
}

// address is one as flags have it.
func address(a net.Addr) string {
	if a.Network() == "unix" {
		return "unix:" + a.String()
	}
	return a.String()
}

// logger returns where a command's log goes: standard error.
func (p *program) logger(verbose bool) *slog.Logger {
	if verbose {
		return p.logAbove(slog.LevelDebug)
	}
	return p.logAbove(slog.LevelInfo)
}

func (p *program) logAbove(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: level}))
}

// closedListener is one that nothing comes from.
func closedListener() net.Listener { return noListener{} }

type noListener struct{}

func (noListener) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (noListener) Close() error              { return nil }
func (noListener) Addr() net.Addr            { return &net.UnixAddr{Net: "unix"} }
