package main

import (
	"errors"
	"net/http"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/relink-go/relink/debug"
)

// openDebug serves package debug. It is not ready any more when the process drains.
func (s *service) openDebug(c *config) (*http.Server, error) {
	l, at, err := listenLocal(c.debug)
	if err != nil {
		return nil, err
	}
	registry := prom.NewRegistry()
	registry.MustRegister(s.metrics, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector())
	web := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    16 << 10,
		Handler: debug.Handler(debug.Config{
			Listener: s.listener,
			History:  s.history,
			Settings: func() any { return s.current().shown() },
			Reload:   s.reload,
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
	s.logger.Info("debug", "address", at)
	return web, nil
}
