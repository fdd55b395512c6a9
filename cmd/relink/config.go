package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/proxy"
)

// A config is what serve does, from flags or from a file.
type config struct {
	listen   []string
	suites   []string
	keyFiles []string
	node     int64

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

	keys []relink.PrivateKey // of keyFiles, by check
}

// check completes the config with what it names, and returns what is wrong with it.
// It listens nowhere and dials nothing.
func (c *config) check() error {
	if len(c.listen) == 0 {
		return errors.New("no address to listen on: -listen :7000, for instance")
	}
	for i, a := range c.listen {
		if _, _, err := proxy.SplitAddress(a); err != nil {
			return err
		}
		for _, b := range c.listen[:i] {
			if a == b {
				return fmt.Errorf("the address %s is named twice", a)
			}
		}
	}
	if err := checkLocal(c.debug); err != nil {
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
	c.keys = nil
	for _, name := range c.keyFiles {
		key, err := readKey(name)
		if err != nil {
			return err
		}
		c.keys = append(c.keys, key)
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
	return l.Close()
}

// checkLocal returns why an address is reachable from other machines, if it is.
func checkLocal(a string) error {
	if a == "" {
		return nil
	}
	network, address, err := proxy.SplitAddress(a)
	if err != nil || network == "unix" {
		return err
	}
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		err = fmt.Errorf("debug: %s is not on this machine alone: localhost:7001 or a Unix socket is", a)
	}
	return err
}

// listenConfig returns the settings of the listener.
func (c *config) listenConfig() (relink.ListenConfig, error) {
	suites, err := serverSuites(c.suites, c.keys, c.node)
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
	sameKeys := slices.EqualFunc(c.keys, next.keys, func(a, b relink.PrivateKey) bool { return a.Equal(b) })
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
	case !slices.Equal(c.listen, next.listen):
		what = "listen"
	case !slices.Equal(c.suites, next.suites):
		what = "suites"
	case !sameKeys:
		what = "keys"
	case c.debug != next.debug:
		what = "debug"
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
