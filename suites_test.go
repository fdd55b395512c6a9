package relink_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/suite"
)

// A testSuite is both sides of a suite.
type testSuite interface {
	relink.ServerSuite
	relink.ClientSuite
}

// sides makes a testSuite of its two halves.
type sides struct {
	server relink.ServerSuite
	client relink.ClientSuite
}

func (s sides) String() string                          { return s.server.String() }
func (s sides) ServerProtocol() (suite.Protocol, error) { return s.server.ServerProtocol() }
func (s sides) ClientProtocol() (suite.Protocol, error) { return s.client.ClientProtocol() }

// spoken is the suite of a protocol that exists only in tests.
type spoken struct{ suite.Protocol }

func (s spoken) ServerProtocol() (suite.Protocol, error) { return s.Protocol, nil }
func (s spoken) ClientProtocol() (suite.Protocol, error) { return s.Protocol, nil }

// The suites, with both sides' keys.
var (
	dh64rc4Suite  = sides{relink.DH64RC4Server{}, relink.DH64RC4Client{}}
	clearSuite    = sides{relink.DH64RC4Server{ClearStream: true}, relink.DH64RC4Client{ClearStream: true}}
	scpSuite      = sides{relink.SCPServer{}, atOnce{relink.SCPClient{}}}
	scpClearSuite = sides{relink.SCPServer{ClearStream: true}, atOnce{relink.SCPClient{ClearStream: true}}}
	insecureSuite = sides{relink.InsecureNoiseServer{}, relink.InsecureNoiseClient{}}
	noiseSuite    = newNoiseSuite(relink.GenerateKey())

	// recordSuite has what the classic wires have not: see records.
	_, recordSuite = newRecords()
)

func newNoiseSuite(k relink.PrivateKey) testSuite {
	return sides{
		relink.NoiseServer{Keys: []relink.PrivateKey{k}},
		relink.NoiseClient{ServerKeys: []relink.PublicKey{k.PublicKey()}},
	}
}

// suites are what the tests of the contract run for.
var suites = []testSuite{dh64rc4Suite, clearSuite, scpSuite, recordSuite, noiseSuite, insecureSuite, scpClearSuite}

// atOnce takes from a client the moment of quiet that the servers of its protocol
// need, which relink's do not: see suite.Settling and TestMomentOfQuiet.
type atOnce struct{ relink.ClientSuite }

func (s atOnce) ClientProtocol() (suite.Protocol, error) {
	p, err := s.ClientSuite.ClientProtocol()
	return struct{ suite.Protocol }{p}, err
}

// traitsOf returns what the wire of the suite can carry.
func traitsOf(s relink.ClientSuite) suite.Traits {
	p, err := s.ClientProtocol()
	if err != nil {
		return suite.Traits{}
	}
	return p.Traits()
}

// isClassic reports whether the suite's wire carries the stream alone, without
// acknowledgements or the end of a direction.
func isClassic(s relink.ClientSuite) bool {
	traits := traitsOf(s)
	return !traits.Acks && !traits.HalfClose
}

// isSCP reports whether a suite is SCP, encrypted or not.
func isSCP(s fmt.Stringer) bool { return strings.HasPrefix(s.String(), "SCP") }

// The defaults, as the documentation has them.
const (
	defaultReplayLimit      = 4 << 20
	defaultResumeTimeout    = 2 * time.Minute
	defaultHandshakeTimeout = 10 * time.Second
	defaultCloseTimeout     = 5 * time.Second
	defaultLivenessTimeout  = 15 * time.Second
	defaultAttemptTimeout   = 5 * time.Second
	defaultMinBackoff       = 50 * time.Millisecond
	defaultMaxBackoff       = 3 * time.Second
	defaultMaxHandshakes    = 4096
	defaultMaxSessions      = 1 << 18
)

// The library's bounds, which TestBounds holds to what it has.
const (
	tickEvery         = 100 * time.Millisecond // between looks at a session
	maxQueuedEvents   = 1024                   // for an observer that hangs
	maxQueuedRefusals = 1024                   // of these
	unacceptedBound   = 16 << 10               // read of a session that nobody has accepted
	littleCarried     = 4 << 10                // by a session that gives way to others
)

// A setup is the settings of both sides of a test.
type setup struct {
	ReplayLimit                                                    int
	ResumeTimeout, HandshakeTimeout, CloseTimeout, LivenessTimeout time.Duration
	Logger                                                         *slog.Logger
	OnEvent                                                        func(relink.Event)

	MaxHandshakes int // the listener's

	AttemptTimeout, MinBackoff, MaxBackoff time.Duration // the dialer's
}

func (s setup) shared() relink.Config {
	return relink.Config{
		ReplayLimit: s.ReplayLimit, ResumeTimeout: s.ResumeTimeout, HandshakeTimeout: s.HandshakeTimeout,
		CloseTimeout: s.CloseTimeout, LivenessTimeout: s.LivenessTimeout, Logger: s.Logger, OnEvent: s.OnEvent,
	}
}

// listener returns the listener's settings.
func (s setup) listener(suites ...relink.ServerSuite) relink.ListenConfig {
	return relink.ListenConfig{Config: s.shared(), Suites: suites, MaxHandshakes: s.MaxHandshakes, MaxHandshakesPerAddress: s.MaxHandshakes}
}

// dialer returns the dialer.
func (s setup) dialer(suite relink.ClientSuite, dial func(ctx context.Context, network, address string) (net.Conn, error)) *relink.Dialer {
	return &relink.Dialer{
		Config: s.shared(), Suite: suite, DialTransport: dial,
		AttemptTimeout: s.AttemptTimeout, MinBackoff: s.MinBackoff, MaxBackoff: s.MaxBackoff,
	}
}
