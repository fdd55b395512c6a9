package conntest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/suite"
)

// ForEachSuite runs a test for every suite.
func ForEachSuite(t *testing.T, f func(t *testing.T, s Suite)) {
	for _, s := range Suites {
		t.Run(s.String(), func(t *testing.T) { f(t, s) })
	}
}

// A Suite is both sides of a suite.
type Suite interface {
	relink.ServerSuite
	relink.ClientSuite
}

// sides makes a Suite of its two halves.
type sides struct {
	server relink.ServerSuite
	client relink.ClientSuite
}

func (s sides) String() string { return s.server.String() }

func (s sides) ServerProtocol() (suite.Protocol, error) { return s.server.ServerProtocol() }

func (s sides) ClientProtocol() (suite.Protocol, error) { return s.client.ClientProtocol() }

// Spoken is the suite of a protocol that exists only in tests.
type Spoken struct{ suite.Protocol }

// ServerProtocol implements [relink.ServerSuite].
func (s Spoken) ServerProtocol() (suite.Protocol, error) { return s.Protocol, nil }

// ClientProtocol implements [relink.ClientSuite].
func (s Spoken) ClientProtocol() (suite.Protocol, error) { return s.Protocol, nil }

// The suites, with both sides' keys.
var (
	DH64RC4       = sides{relink.DH64RC4Server{}, relink.DH64RC4Client{}}
	ClearDH64RC4  = sides{relink.DH64RC4Server{ClearStream: true}, relink.DH64RC4Client{ClearStream: true}}
	SCP           = sides{relink.SCPServer{}, atOnce{relink.SCPClient{}}}
	ClearSCP      = sides{relink.SCPServer{ClearStream: true}, atOnce{relink.SCPClient{ClearStream: true}}}
	InsecureNoise = sides{relink.InsecureNoiseServer{}, relink.InsecureNoiseClient{}}
	Noise         = newNoiseSuite(relink.GenerateKey())

	// Records has what the classic wires have not: see records.
	Records Suite = Spoken{new(RecordProtocol)}
)

func newNoiseSuite(k relink.PrivateKey) Suite {
	return sides{
		relink.NoiseServer{Keys: []relink.PrivateKey{k}},
		relink.NoiseClient{ServerKeys: []relink.PublicKey{k.PublicKey()}},
	}
}

// Suites are what the tests of the contract run for.
var Suites = []Suite{DH64RC4, ClearDH64RC4, SCP, Records, Noise, InsecureNoise, ClearSCP}

// atOnce takes from a client the pause that the servers of its protocol
// need, which relink's do not: see suite.Spaced and TestPauseBeforeAResume.
type atOnce struct{ relink.ClientSuite }

func (s atOnce) ClientProtocol() (suite.Protocol, error) {
	p, err := s.ClientSuite.ClientProtocol()
	return struct{ suite.Protocol }{p}, err
}

// TraitsOf returns what the wire of the suite can carry.
func TraitsOf(s relink.ClientSuite) suite.Traits {
	p, err := s.ClientProtocol()
	if err != nil {
		return suite.Traits{}
	}
	return p.Traits()
}

// IsClassic reports whether the suite's wire carries the stream alone, without
// acknowledgements or the end of a direction.
func IsClassic(s relink.ClientSuite) bool {
	traits := TraitsOf(s)
	return !traits.Acks && !traits.HalfClose
}

// IsSCP reports whether a suite is SCP, encrypted or not.
func IsSCP(s fmt.Stringer) bool { return strings.HasPrefix(s.String(), "SCP") }

// The defaults, as the documentation has them.
const (
	DefaultReplayLimit      = 4 << 20
	DefaultResumeTimeout    = 2 * time.Minute
	DefaultHandshakeTimeout = 10 * time.Second
	DefaultCloseTimeout     = 5 * time.Second
	DefaultLivenessTimeout  = 15 * time.Second
	DefaultAttemptTimeout   = 5 * time.Second
	DefaultMinBackoff       = 50 * time.Millisecond
	DefaultMaxBackoff       = 3 * time.Second
	DefaultMaxHandshakes    = 4096
	DefaultMaxSessions      = 1 << 18
)

// The library's bounds, which TestBounds holds to what it has.
const (
	TickEvery         = 100 * time.Millisecond // between looks at a session
	MaxQueuedEvents   = 1024                   // for an observer that hangs
	MaxQueuedRefusals = 1024                   // of these
	UnacceptedBound   = 16 << 10               // read of a session that nobody has accepted
	LittleCarried     = 4 << 10                // by a session that gives way to others
)

// A Setup is the settings of both sides of a test.
type Setup struct {
	ReplayLimit                                                    int
	ResumeTimeout, HandshakeTimeout, CloseTimeout, LivenessTimeout time.Duration
	Logger                                                         *slog.Logger
	OnEvent                                                        func(relink.Event)

	MaxHandshakes int // the listener's

	AttemptTimeout, MinBackoff, MaxBackoff time.Duration // the dialer's
}

func (s Setup) shared() relink.Config {
	return relink.Config{
		ReplayLimit: s.ReplayLimit, ResumeTimeout: s.ResumeTimeout, HandshakeTimeout: s.HandshakeTimeout,
		CloseTimeout: s.CloseTimeout, LivenessTimeout: s.LivenessTimeout, Logger: s.Logger, OnEvent: s.OnEvent,
	}
}

// listener returns the listener's settings.
func (s Setup) listener(suites ...relink.ServerSuite) relink.ListenConfig {
	return relink.ListenConfig{Config: s.shared(), Suites: suites, MaxHandshakes: s.MaxHandshakes, MaxHandshakesPerAddress: s.MaxHandshakes}
}

// dialer returns the dialer.
func (s Setup) dialer(suite relink.ClientSuite, dial func(ctx context.Context, network, address string) (net.Conn, error)) *relink.Dialer {
	return &relink.Dialer{
		Config: s.shared(), Suite: suite, DialTransport: dial,
		AttemptTimeout: s.AttemptTimeout, MinBackoff: s.MinBackoff, MaxBackoff: s.MaxBackoff,
	}
}

// ackSuites are the suites with acknowledgements.
var ackSuites = func() (found []Suite) {
	for _, s := range Suites {
		if TraitsOf(s).Acks {
			found = append(found, s)
		}
	}
	return found
}()

// Lengths are those of a suite's handshakes, in bytes.
type lengths struct {
	request, answer             int64 // of a new session
	resumeRequest, resumeAnswer int64 // of a resume without early data
}

// lengthsOf returns the lengths of the handshakes of a suite with
// acknowledgements.
func lengthsOf(s Suite) lengths {
	switch s.String() {
	case Records.String():
		return lengths{recNewLen, recNewAnswerLen, recResumeHead + 4, recResumeAnswerLen}
	case Noise.String():
		return lengths{1269, 1172, 99, 66}
	default: // without the server's key
		return lengths{1237, 1172, 99, 66}
	}
}
