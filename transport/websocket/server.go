package websocket

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"sync"
)

// maxHeaderBytes bounds a request. Cookies of a site may come along.
const maxHeaderBytes = 32 << 10

// A server is the HTTP server of [Listen].
type server struct {
	http    *http.Server
	serving sync.WaitGroup
}

// Listen listens on the address with package net, and serves WebSockets there, at
// Config.Path, and nothing else.
func Listen(network, address string, cfg Config) (*Listener, error) {
	if _, err := cfg.resolveServer(); err != nil {
		return nil, err
	}
	inner, err := net.Listen(network, address) //nolint:noctx // it does not wait
	if err != nil {
		return nil, err
	}
	l, err := Serve(inner, cfg)
	if err != nil {
		_ = inner.Close()
	}
	return l, err
}

// Serve is [Listen] on a listener that is there: one behind a balancer that speaks the
// PROXY protocol, for instance. It belongs to the Listener from then on, unless there is an error. TLS is
// for Config.TLSConfig to do.
func Serve(inner net.Listener, cfg Config) (*Listener, error) {
	cfg, err := cfg.resolveServer()
	if err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "ws", Path: cfg.Path, Host: inner.Addr().String()}
	if cfg.TLSConfig != nil {
		u.Scheme = "wss"
	}
	l := newListener(Addr(u.String()), cfg)
	l.server = serve(inner, l)
	return l, nil
}

// resolveServer is resolve for a server of ours.
func (cfg Config) resolveServer() (Config, error) {
	cfg, err := cfg.resolve()
	if c := cfg.TLSConfig; err == nil && c != nil && len(c.Certificates) == 0 && c.GetCertificate == nil && c.GetConfigForClient == nil {
		err = errors.New("websocket: Config.TLSConfig has no certificate")
	}
	return cfg, err
}

// serve begins to serve the listener's clients.
func serve(inner net.Listener, l *Listener) *server {
	s := &server{http: &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != l.cfg.Path {
				http.NotFound(w, r)
				return
			}
			l.ServeHTTP(w, r)
		}),
		Protocols:         new(http.Protocols),
		ReadHeaderTimeout: l.cfg.HandshakeTimeout, // bounds the TLS handshake too
		ReadTimeout:       l.cfg.HandshakeTimeout,
		WriteTimeout:      2 * l.cfg.HandshakeTimeout,
		IdleTimeout:       l.cfg.HandshakeTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          l.cfg.ErrorLog,
	}}
	s.http.Protocols.SetHTTP1(true)
	if s.http.ErrorLog == nil {
		s.http.ErrorLog = log.New(io.Discard, "", 0)
	}
	if l.cfg.TLSConfig != nil {
		config := l.cfg.TLSConfig.Clone()
		config.NextProtos = []string{"http/1.1"}
		inner = tls.NewListener(inner, config)
	}
	s.serving.Go(func() { l.fail(s.http.Serve(inner)) }) // which close ends
	return s
}

// close ends the server and its connections, those of WebSockets excepted.
func (s *server) close() error {
	err := s.http.Close()
	s.serving.Wait()
	return err
}
