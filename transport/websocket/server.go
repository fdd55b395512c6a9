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
	cfg, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	u := url.URL{Scheme: "ws", Path: cfg.Path}
	if cfg.TLSConfig != nil {
		u.Scheme = "wss"
		if c := cfg.TLSConfig; len(c.Certificates) == 0 && c.GetCertificate == nil && c.GetConfigForClient == nil {
			return nil, errors.New("websocket: Config.TLSConfig has no certificate")
		}
	}
	inner, err := net.Listen(network, address) //nolint:noctx // it does not wait
	if err != nil {
		return nil, err
	}
	u.Host = inner.Addr().String()
	l := newListener(Addr(u.String()), cfg)
	l.server = serve(inner, l)
	return l, nil
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
