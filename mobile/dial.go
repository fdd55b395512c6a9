package relink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	core "github.com/relink-go/relink"
	"github.com/relink-go/relink/transport/race"
	"github.com/relink-go/relink/transport/tlstransport"
)

// Dial opens a session. It waits until the server has answered or DialTimeout has
// passed, and must not be called from the thread that draws.
func Dial(config *Config) (conn *Conn, err error) {
	defer guard("Dial", &err)
	if config == nil {
		return nil, argument("Dial: the config is null")
	}
	d, err := newDialer("Dial", config.snapshot())
	if err != nil {
		return nil, err
	}
	queue := newEvents()
	session, err := d.dial(context.Background(), queue.push)
	if err != nil {
		return nil, err
	}
	return &Conn{session: session, ways: d.ways, events: queue}, nil
}

// A dialer opens sessions as a Config has it.
type dialer struct {
	settings
	protocol core.ClientSuite
	ways     *race.Dialer
}

// newDialer checks what only all settings together can show.
func newDialer(what string, s settings) (*dialer, error) {
	d := &dialer{settings: s}
	switch s.suite {
	case SuiteNoise:
		if len(s.serverKeys) == 0 {
			return nil, argument("%s: the suite %q needs the server's key: call AddServerKey", what, s.suite)
		}
		d.protocol = core.NoiseClient{ServerKeys: s.serverKeys, Key: s.clientKey, Target: s.target}
	case SuiteInsecureNoise:
		d.protocol = core.InsecureNoiseClient{}
	case SuiteDH64RC4:
		d.protocol = core.DH64RC4Client{ClearStream: s.clear}
	case SuiteSCP:
		d.protocol = core.SCPClient{TargetServer: s.target, ClearStream: s.clear}
	default:
		return nil, argument("%s: no suite: call SetSuite", what)
	}
	// A key that is not looked at would give a false sense of safety.
	if s.suite != SuiteNoise && len(s.serverKeys) > 0 {
		return nil, argument("%s: the suite %q does not check the server's key: use %q, or leave AddServerKey out", what, s.suite, SuiteNoise)
	}
	if s.suite != SuiteNoise && !s.clientKey.IsZero() {
		return nil, argument("%s: the suite %q has no keys of clients: use %q, or leave SetClientKey out", what, s.suite, SuiteNoise)
	}
	if s.suite != SuiteNoise && s.suite != SuiteSCP && s.target != "" {
		return nil, argument("%s: the suite %q has no target: use %q, or leave SetTargetServer out", what, s.suite, SuiteNoise)
	}
	if _, err := d.protocol.ClientProtocol(); err != nil {
		return nil, argument("%s: %w", what, err)
	}
	if len(s.addresses) == 0 {
		return nil, argument("%s: no address: call AddAddress", what)
	}
	if d.dialTimeout == 0 {
		d.dialTimeout = defaultDialTimeout
	}
	d.ways = &race.Dialer{}
	tcp := newTCPDialer(s)
	secured := &tlstransport.Dialer{
		TLS:           &tls.Config{RootCAs: s.roots, ServerName: s.serverName, MinVersion: tls.VersionTLS12},
		DialTransport: tcp.DialContext,
	}
	for _, a := range s.addresses {
		way := race.Way{Name: a.transport + " " + a.hostPort, Network: "tcp", Address: a.hostPort, DialTransport: tcp.DialContext}
		if a.transport == TransportTLS {
			way.DialTransport = secured.DialContext
		}
		d.ways.Ways = append(d.ways.Ways, way)
	}
	return d, nil
}

// dial opens one session.
func (d *dialer) dial(ctx context.Context, onEvent func(core.Event)) (*core.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.dialTimeout)
	defer cancel()
	opener := core.Dialer{
		Config:         d.library,
		Suite:          d.protocol,
		DialTransport:  d.ways.DialContext,
		AttemptTimeout: d.attemptTimeout,
		MinBackoff:     d.minBackoff,
		MaxBackoff:     d.maxBackoff,
		Vigilance:      d.vigilance,
	}
	opener.OnEvent = onEvent
	session, err := opener.DialConn(ctx, "tcp", d.addresses[0].hostPort)
	if err != nil {
		return nil, dialError(err)
	}
	return session, nil
}

// dialError gives an error of dialling its code. An end before the first answer is not
// the end of a stream.
func dialError(err error) error {
	var c *codedError
	if errors.As(coded(err), &c) && c.code == CodeEnd {
		return &codedError{CodeNetwork, fmt.Errorf("the connection ended before the server answered: %w", err)}
	}
	return coded(err)
}

func newTCPDialer(s settings) *net.Dialer {
	d := &net.Dialer{}
	if s.library.LivenessTimeout < 0 {
		d.KeepAlive = -1 // package net's own would wake the radio every 15 seconds
	}
	if s.binder != nil {
		d.ControlContext = (&boundSockets{binder: s.binder, turn: make(chan struct{}, 1)}).control
	}
	return d
}
