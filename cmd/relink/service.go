package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/debug"
	"github.com/relink-go/relink/metrics/prometheus"
	"github.com/relink-go/relink/proxy"
)

// A service is serve while it runs.
type service struct {
	logger   *slog.Logger
	listener *relink.Listener
	opened   []*opened
	server   *proxy.Server
	metrics  *prometheus.Collector
	history  *debug.History
	clients  clientKeys
	draining atomic.Bool

	drainAsked chan struct{} // by a request

	sockets    sockets
	before     *before       // that this one replaces, or nil
	handing    sync.Mutex    // one hand-over at a time
	replaced   atomic.Bool   // by a process that has taken over
	handedOver chan struct{} // closed then
	idle       *idle         // see pausePackets
	closeDebug func()
	program    string // to start again
	args       []string

	again func() (*config, error) // the configuration, read once more

	mu     sync.Mutex // guards config, and makes reloads take turns
	config *config
}

// serve runs until a signal ends it. At SIGHUP it takes the settings that reload
// returns, if they are valid.
func (p *program) serve(c *config, verbose bool, reload func() (*config, error)) int {
	s := &service{
		logger: p.logger(verbose), config: c, again: reload, metrics: prometheus.NewCollector(), history: debug.NewHistory(),
		drainAsked: make(chan struct{}, 1), handedOver: make(chan struct{}), args: p.args, closeDebug: func() {},
	}
	var err error
	if s.program, err = programPath(); err != nil {
		return p.failed("serve", err, exitFailed)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)

	quiet := s.logger
	if !verbose {
		quiet = p.logAbove(slog.LevelWarn) // each session's opening and end are not news
	}
	if err := s.inherit(c.handover); err != nil {
		return p.failed("serve", err, exitFailed)
	}
	s.server = proxy.NewServer(c.settings(), s.logger)
	if err := s.open(quiet); err != nil {
		return p.failed("serve", err, exitFailed)
	}
	defer s.sockets.each(func(g *gate) { _ = g.Close() })
	defer s.closeDebug()
	restarts := make(chan os.Signal, 1)
	signal.Notify(restarts, restartSignal)
	defer signal.Stop(restarts)
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(s.listener) }()
	s.takenOver()
	s.tell(notifyReady)
	defer s.watch()()
	for _, o := range s.opened {
		s.logger.Info("listening", "address", o.carrier)
	}
	for _, k := range c.keys {
		s.logger.Info("the server's key", "public", k.PublicKey())
	}
	for {
		select {
		case err := <-served:
			return p.failed("serve", err, exitFailed)
		case <-hangups:
			_ = s.reload() // the log has it
		case <-restarts:
			go func() { _ = s.restart() }() // the log has it
		case sig := <-signals:
			s.tell(notifyStopping)
			return s.drain(sig.String(), served, signals)
		case <-s.drainAsked:
			s.tell(notifyStopping)
			return s.drain("a request", served, signals)
		case <-s.handedOver:
			return s.retire(served, signals)
		}
	}
}

// tell tells systemd.
func (s *service) tell(states ...string) {
	if err := notify(states...); err != nil {
		s.logger.Warn("systemd cannot be told", "error", err)
	}
}

// watch tells systemd again and again that all is well, which it is if the listener answers, until
// its result is called.
func (s *service) watch() (stop func()) {
	interval := watchdogInterval()
	if interval == 0 {
		return func() {}
	}
	quit := make(chan struct{})
	go func() {
		t := time.NewTicker(interval)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				_ = s.listener.Stats()
				s.tell(notifyWatchdog)
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit) }
}

// open opens all endpoints under one listener, and what else listens.
func (s *service) open(logger *slog.Logger) (err error) {
	defer func() {
		if err != nil {
			s.sockets.each(func(g *gate) { _ = g.Close() })
		}
	}()
	c := s.config
	cfg, err := c.listenConfig()
	if err != nil {
		return err
	}
	cfg.Logger = logger
	if c.debug != "" {
		cfg.OnEvent = func(e relink.Event) {
			s.metrics.Observe(e)
			s.history.Observe(e)
		}
	}
	if c.clientKeyFile != "" {
		s.clients.set(c.clientKeys)
		cfg.Authorize = s.clients.authorize
	}
	if s.before != nil {
		cfg.PassOn = s.passOn
	}
	if s.opened, err = openAll(c.listen, &s.sockets); err != nil {
		return err
	}
	var web, handovers *gate
	if c.debug != "" {
		if web, err = s.sockets.listenLocal(c.debug); err != nil {
			return err
		}
	}
	if c.handover != "" {
		if handovers, err = s.sockets.listenPrivate(c.handover); err != nil {
			return err
		}
	}
	if err := s.sockets.settle(); err != nil {
		return err
	}
	cfg.Label = s.opened[0].carrier.String()
	if s.listener, err = relink.NewListener(s.opened[0], cfg); err != nil {
		for _, o := range s.opened {
			_ = o.Close()
		}
		return err
	}
	for _, o := range s.opened[1:] {
		if err := s.listener.AddListener(o, o.carrier.String()); err != nil {
			return err
		}
	}
	s.metrics.SetListener(s.listener)
	if web != nil {
		s.closeDebug = s.serveDebug(c, web)
	}
	if handovers != nil {
		go s.serveHandovers(handovers)
	}
	return nil
}

func (s *service) current() *config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config
}

// reload reads the configuration again, and takes of it what a running service can
// take, or nothing.
func (s *service) reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tell(notifyReloading())
	defer s.tell(notifyReady)
	next, err := s.again()
	if err == nil {
		err = s.config.replaceable(next)
	}
	if err == nil {
		err = s.take(next)
	}
	if err != nil {
		s.logger.Error("not reloaded, nothing has changed", "error", err)
		return err
	}
	s.config = next
	s.logger.Info("reloaded, for new sessions")
	return nil
}

// take replaces the settings. What can fail comes first.
func (s *service) take(next *config) error {
	if len(next.keys) > 0 {
		if err := s.listener.SetKeys(next.keys...); err != nil {
			return err
		}
	}
	if len(next.presharedKeys) > 0 {
		if err := s.listener.SetPresharedKeys(next.presharedKeys...); err != nil {
			return err
		}
	}
	for i, e := range next.listen {
		s.opened[i].certificate.current.Store(e.shown)
	}
	if next.clientKeyFile != "" {
		for _, k := range s.clients.set(next.clientKeys) {
			s.logger.Info("a client's key is not welcome any more", "key", k, "ended", s.listener.Revoke(k))
		}
	}
	s.server.Set(next.settings())
	return nil
}

// clientKeys are the keys of those who may come.
type clientKeys struct {
	allowed atomic.Pointer[map[relink.PublicKey]bool]
}

// set replaces them, and returns those that are gone.
func (k *clientKeys) set(keys []relink.PublicKey) (gone []relink.PublicKey) {
	allowed := make(map[relink.PublicKey]bool)
	for _, key := range keys {
		allowed[key] = true
	}
	if before := k.allowed.Swap(&allowed); before != nil {
		for key := range *before {
			if !allowed[key] {
				gone = append(gone, key)
			}
		}
	}
	return gone
}

// authorize lets in who has one of them.
func (k *clientKeys) authorize(_ context.Context, a relink.Attempt) error {
	if !(*k.allowed.Load())[a.ClientKey] {
		return fmt.Errorf("the client's key %v is not among those of -client-keys", a.ClientKey)
	}
	return nil
}
