package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/debug"
)

// serveDebug serves package debug. It is not ready any more when the process drains.
// The function ends that, when the requests that wait for no events are answered: one of
// them may be what has ended the process.
func (s *service) serveDebug(c *config, l *gate) (end func()) {
	registry := prom.NewRegistry()
	registry.MustRegister(s.metrics, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector())
	ctx, cancel := context.WithCancel(context.Background())
	web := &http.Server{
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    16 << 10,
		Handler: debug.Handler(debug.Config{
			Listener: s.listener,
			History:  s.history,
			Settings: func() any { return s.current().shown() },
			Reload:   s.reload,
			Restart:  s.restart,
			End:      func(c *relink.Conn) { s.server.End(c) },
			Profiles: profiles(),
			Token:    c.token,
			Drain: func() {
				select {
				case s.drainAsked <- struct{}{}:
				default: // somebody has asked already
				}
			},
			Metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
			Ready: func() error {
				if s.draining.Load() {
					return errors.New("draining")
				}
				return nil
			},
		}),
	}
	go func() { _ = web.Serve(l) }()
	s.logger.Info("debug", "address", l.carrier.at(l.Addr()))
	return func() {
		cancel() // pages that follow the events hold nothing up
		limit, stop := context.WithTimeout(context.Background(), time.Second)
		defer stop()
		_ = web.Shutdown(limit)
		_ = web.Close()
	}
}

// profiles are those of package net/http/pprof.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
