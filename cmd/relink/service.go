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

	again func() (*config, error) // the configuration, read once more

	mu     sync.Mutex // guards config, and makes reloads take turns
	config *config
}

// serve runs until a signal ends it. At SIGHUP it takes the settings that reload
// returns, if they are valid.
func (p *program) serve(c *config, verbose bool, reload func() (*config, error)) int {
	s := &service{logger: p.logger(verbose), config: c, again: reload, metrics: prometheus.NewCollector(), history: debug.NewHistory(), drainAsked: make(chan struct{}, 1)}
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
	if err := s.open(quiet); err != nil {
		return p.failed("serve", err, exitFailed)
	}
	if c.debug != "" {
		closeDebug, err := s.openDebug(c)
		if err != nil {
			_ = s.listener.Close()
			return p.failed("serve", err, exitFailed)
		}
		defer closeDebug()
	}
	s.server = proxy.NewServer(c.settings(), s.logger)
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(s.listener) }()
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
		case sig := <-signals:
			return s.drain(sig.String(), served, signals)
		case <-s.drainAsked:
			return s.drain("a request", served, signals)
		}
	}
}

// open opens all endpoints under one listener.
func (s *service) open(logger *slog.Logger) error {
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
	if s.opened, err = openAll(c.listen); err != nil {
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
