package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/proxy"
)

// A config is what serve does, from flags or from a file.
type config struct {
	listen         []*endpoint
	suites         []string
	keyFiles       []string
	presharedFiles []string
	clientKeyFile  string // empty lets clients in that have no key
	node           int64

	replayLimit      int
	resumeTimeout    time.Duration
	handshakeTimeout time.Duration
	closeTimeout     time.Duration
	livenessTimeout  time.Duration
	maxSessions      int
	maxHandshakes    int

	limits proxy.Limits
	routes *proxy.Routes
	drain  time.Duration // 0 is no limit
	debug  string        // empty, or where package debug listens

	handover string // empty, or the path of a Unix socket

	tokenFile string // for debug from other machines; or empty

	keys          []relink.PrivateKey // of keyFiles, by check, as the next two
	presharedKeys []relink.PresharedKey
	clientKeys    []relink.PublicKey
	token         string
}

// check completes the config with what it names, and returns what is wrong with it.
// It listens nowhere and dials nothing.
func (c *config) check() error {
	if len(c.listen) == 0 {
		return errors.New("no address to listen on: -listen :7000, for instance")
	}
	if err := c.checkDebug(); err != nil {
		return err
	}
	if len(c.suites) == 0 {
		c.suites = []string{"noise"}
	}
	for _, d := range []time.Duration{c.limits.Idle, c.limits.Life, c.limits.Answer, c.drain} {
		if d < 0 {
			return fmt.Errorf("a limit of %v: it cannot be less than zero, which is none", d)
		}
	}
	if err := c.readKeys(); err != nil {
		return err
	}
	// What the library says of the rest, without a listener.
	cfg, err := c.listenConfig()
	if err != nil {
		return err
	}
	l, err := relink.NewListener(closedListener(), cfg)
	if err != nil {
		return err
	}
	if err := l.Close(); err != nil {
		return err
	}
	if err := c.checkEndpoints(); err != nil {
		return err
	}
	return c.checkCycle()
}

// checkCycle refuses an upstream that is this very server: each session would open
// another one.
func (c *config) checkCycle() error {
	ups := []*proxy.Upstream{c.routes.Default}
	for _, r := range c.routes.Rules {
		ups = append(ups, r.Upstream)
	}
	for _, u := range ups {
		if u == nil || u.Relink == nil {
			continue
		}
		for _, a := range u.Addresses {
			for _, e := range c.listen {
				if !e.packets() && sameServer(a, e.carrier) {
					return fmt.Errorf("the upstream %s is this server itself, at %v: sessions would go round and round", a, e.carrier)
				}
			}
		}
	}
	return nil
}

// sameServer says whether an upstream's address leads to an endpoint of this machine, as
// far as the two addresses tell.
func sameServer(upstream string, c carrier) bool {
	to, err := parseCarrier(upstream)
	if err != nil || (to.scheme == overUnix) != (c.scheme == overUnix) {
		return false
	}
	if to.address == c.address {
		return !strings.HasSuffix(c.address, ":0")
	}
	host, port, err1 := net.SplitHostPort(to.address)
	here, herePort, err2 := net.SplitHostPort(c.address)
	if err1 != nil || err2 != nil || port != herePort || port == "0" {
		return false
	}
	local := func(h string) bool { ip := net.ParseIP(h); return h == "localhost" || ip != nil && ip.IsLoopback() }
	everywhere := func(h string) bool { ip := net.ParseIP(h); return h == "" || ip != nil && ip.IsUnspecified() }
	return local(host) && (everywhere(here) || local(here))
}

// checkEndpoints completes the endpoints.
func (c *config) checkEndpoints() error {
	proven := !slices.ContainsFunc(c.suites, func(s string) bool { return s != "noise" })
	for i, e := range c.listen {
		for _, other := range c.listen[:i] {
			if e.carrier == other.carrier {
				return fmt.Errorf("the address %v is named twice", e.carrier)
			}
		}
		if err := e.check(proven); err != nil {
			return err
		}
	}
	return nil
}

// readKeys reads the files with keys.
func (c *config) readKeys() (err error) {
	c.keys, c.presharedKeys, c.clientKeys = nil, nil, nil
	for _, name := range c.keyFiles {
		key, err := readKey(name)
		if err != nil {
			return err
		}
		c.keys = append(c.keys, key)
	}
	for _, name := range c.presharedFiles {
		key, err := readPresharedKey(name)
		if err != nil {
			return err
		}
		c.presharedKeys = append(c.presharedKeys, key)
	}
	if c.clientKeyFile != "" {
		c.clientKeys, err = readClientKeys(c.clientKeyFile)
	}
	return err
}

// checkDebug refuses what other machines could reach without a token.
func (c *config) checkDebug() error {
	if c.tokenFile != "" {
		if c.debug == "" {
			return errors.New("debug-token without debug: a token for nothing")
		}
		text, err := readSecret(c.tokenFile, maxKeyFile)
		if err != nil {
			return err
		}
		if c.token = strings.TrimSpace(string(text)); len(c.token) < leastToken {
			return fmt.Errorf("%s: a token of less than %d characters can be guessed: openssl rand -hex 16 makes one", c.tokenFile, leastToken)
		}
	}
	if c.debug == "" {
		return nil
	}
	at, err := parseCarrier(c.debug)
	switch {
	case err != nil:
		return err
	case at.scheme == overUnix:
		return nil
	case at.scheme != overTCP:
		return fmt.Errorf("debug: %s: only host:port or unix:/a/path can be here", c.debug)
	}
	host, _, err := net.SplitHostPort(at.address)
	if ip := net.ParseIP(host); err == nil && host != "localhost" && (ip == nil || !ip.IsLoopback()) && c.token == "" {
		err = fmt.Errorf("debug: %s is not on this machine alone: localhost:7001 or a Unix socket is; debug-token names a file with what others need", c.debug)
	}
	return err
}

// leastToken is how long a token has to be.
const leastToken = 16

// listenConfig returns the settings of the listener.
func (c *config) listenConfig() (relink.ListenConfig, error) {
	suites, err := c.serverSuites()
	if err != nil {
		return relink.ListenConfig{}, err
	}
	return relink.ListenConfig{
		Config: relink.Config{
			ReplayLimit:      c.replayLimit,
			ResumeTimeout:    c.resumeTimeout,
			HandshakeTimeout: c.handshakeTimeout,
			CloseTimeout:     c.closeTimeout,
			LivenessTimeout:  c.livenessTimeout,
		},
		Suites:        suites,
		MaxSessions:   c.maxSessions,
		MaxHandshakes: c.maxHandshakes,
	}, nil
}

// replaceable returns why a running listener cannot become what next says.
func (c *config) replaceable(next *config) error {
	type fixed struct {
		replayLimit                                                    int
		resumeTimeout, handshakeTimeout, closeTimeout, livenessTimeout time.Duration
		maxSessions, maxHandshakes                                     int
		node                                                           int64
	}
	of := func(c *config) fixed {
		return fixed{c.replayLimit, c.resumeTimeout, c.handshakeTimeout, c.closeTimeout, c.livenessTimeout, c.maxSessions, c.maxHandshakes, c.node}
	}
	var what string
	switch {
	case !slices.EqualFunc(c.listen, next.listen, (*endpoint).same):
		what = "listen"
	case !slices.Equal(c.suites, next.suites):
		what = "suites"
	case (len(c.presharedFiles) == 0) != (len(next.presharedFiles) == 0):
		what = "whether there are preshared-keys"
	case (c.clientKeyFile == "") != (next.clientKeyFile == ""):
		what = "whether there are client-keys"
	case c.debug != next.debug || c.token != next.token:
		what = "debug"
	case c.handover != next.handover:
		what = "handover"
	case of(c) != of(next):
		what = "node, replay-limit, max-sessions, max-handshakes or a timeout"
	default:
		return nil
	}
	return fmt.Errorf("%s cannot change while the listener runs: restart for that", what)
}

func (c *config) settings() proxy.Settings {
	return proxy.Settings{Routes: c.routes, Limits: c.limits}
}
