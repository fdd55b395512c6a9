package main

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/relink-go/relink/proxy"
)

// serve is the proxy before a server.
func serve(p *program, args []string) int {
	flags := newFlags("serve")
	var c config
	var listen, trusted, routes list
	flags.Var(&listen, "listen", "take sessions at this `address`: host:port or unix:/a/path, or with tls://, ws://, wss://, quic:// or kcp:// before it; may be given again")
	flags.Var((*list)(&c.keyFiles), "key", "a `file` with the server's private key; again for a second one while keys change")
	flags.Var((*list)(&c.suites), "suite", "a suite to speak, `name` by name: noise (the default), insecure-noise, dh64rc4, dh64rc4-clear, scp, scp-clear")
	flags.Var((*list)(&c.presharedFiles), "preshared-key", "a `file` with a pre-shared key: only clients come in that have one; again for more")
	flags.StringVar(&c.clientKeyFile, "client-keys", "", "a `file` with the public keys of clients, one a line: nobody else comes in")
	cert := flags.String("certificate", "", "for tls, wss and quic: a `file` with a certificate, in PEM")
	certKey := flags.String("certificate-key", "", "a `file` with the certificate's private key")
	flags.Var(&trusted, "proxy-protocol-from", "the `network` of balancers that send a PROXY header, or unix; again for more; nobody else comes in")
	var parts shards
	flags.Var(&parts, "kcp-shards", "for kcp: `n,m`: m packets for error correction after each n")
	up := new(proxy.Upstream)
	flags.Var((*list)(&up.Addresses), "to", "the server: an `address`, host:port or unix:/a/path; again for more, which take turns")
	flags.Var(&routes, "route", "`name=address`: the server of clients that name it (noise, scp); again for more")
	flags.DurationVar(&up.DialTimeout, "dial-timeout", 5*time.Second, "limit for connecting to one address of the server")
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
	flags.StringVar(&c.debug, "debug", "", "show the sessions, /metrics and /readyz over HTTP at this `address`, of the machine itself unless there is a token")
	flags.StringVar(&c.tokenFile, "debug-token", "", "a `file` with the token that other machines need for -debug")
	flags.StringVar(&c.handover, "handover", "", "hand the sockets over to the next process that is started with this `path`, and take them from one that listens there")
	verbose := flags.Bool("v", false, "log every session")
	if status, ok := p.parse(flags, args, "relink serve -listen ADDRESS -key FILE -to ADDRESS | -config FILE", 0); !ok {
		return status
	}
	if *file != "" {
		return p.serveFile(flags, *file, *verbose)
	}
	if len(up.Addresses) == 0 && len(routes) == 0 {
		return p.failed("serve", errors.New("no server: -to 127.0.0.1:6379, for instance"), exitUsage)
	}
	var err error
	if c.routes, err = routesOf(up, routes); err != nil {
		return p.failed("serve", err, exitUsage)
	}
	for _, a := range listen {
		e := &endpoint{}
		if e.carrier, err = parseCarrier(a); err != nil {
			return p.failed("serve", err, exitUsage)
		}
		if e.secure() {
			e.certificate, e.certificateKey = *cert, *certKey
		}
		if e.scheme == overKCP {
			e.shards = parts
		}
		for _, t := range trusted {
			if e.packets() || (t == overUnix) != (e.scheme == overUnix) {
				continue // it is for the others
			}
			if err := e.trust(t); err != nil {
				return p.failed("serve", err, exitUsage)
			}
		}
		c.listen = append(c.listen, e)
	}
	if err := c.check(); err != nil {
		return p.failed("serve", err, exitUsage)
	}
	return p.serve(&c, *verbose, func() (*config, error) {
		return nil, errors.New("there is no file to read again: serve was started with flags")
	})
}

// routesOf returns the routes that flags say. Without a name of its own a client, whatever
// it asks for, goes to the default.
func routesOf(up *proxy.Upstream, named []string) (*proxy.Routes, error) {
	routes := new(proxy.Routes)
	for _, r := range named {
		name, address, ok := strings.Cut(r, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("-route %s: name=address is wanted", r)
		}
		one := &proxy.Upstream{Addresses: []string{address}, DialTimeout: up.DialTimeout, ProxyProtocol: up.ProxyProtocol}
		if err := one.Check(); err != nil {
			return nil, err
		}
		routes.Rules = append(routes.Rules, proxy.Rule{Name: name, Upstream: one})
	}
	if len(up.Addresses) == 0 {
		return routes, nil
	}
	if err := up.Check(); err != nil {
		return nil, err
	}
	routes.Default = up
	if len(named) == 0 {
		routes.Rules = []proxy.Rule{{Upstream: up}}
	}
	return routes, nil
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
