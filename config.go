package relink

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/relink-go/relink/internal/suite"
)

// The defaults of [Config].
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
)

// MinReplayLimit and MaxReplayLimit bound [Config.ReplayLimit], in bytes.
const (
	MinReplayLimit = 1 << 10
	MaxReplayLimit = 1 << 30
)

// MinLivenessTimeout is the smallest positive [Config.LivenessTimeout]: the
// kernel's keep-alive counts in seconds.
const MinLivenessTimeout = time.Second

// Config holds what both sides can set. The zero value of a field means its
// default; only Suites has none. A Config is copied by [NewListener] and
// [Dialer.Dial], and never changed.
type Config struct {
	// Suites are the wire protocols to speak. A [Dialer] takes exactly one. A
	// [Listener] takes one or more and tells them apart by a client's first
	// bytes. There is no default, so that whoever reads the call sees what
	// protects the stream.
	Suites []Suite

	// ReplayLimit bounds, for each direction of each session, the bytes that
	// are kept to be sent again together with those that wait to be sent.
	// Default 4 MiB, at least [MinReplayLimit]. Both sides. Memory grows with
	// use; nothing is allocated in advance. On a wire without acknowledgements
	// half of it stays filled with history once that much was sent, so a server
	// of many sessions wants less; choose at least twice the socket buffers of every hop: see the README.
	ReplayLimit int

	// ResumeTimeout is how long a session may be without a transport before it
	// ends with [ErrExpired]. Default 2 minutes. Both sides.
	ResumeTimeout time.Duration

	// HandshakeTimeout bounds one handshake of a new session, and on the server
	// also one of a resume. Default 10 seconds. Both sides.
	HandshakeTimeout time.Duration

	// CloseTimeout bounds how long after Close the session lingers in the
	// background to deliver what was written. Default 5 seconds. Both sides.
	CloseTimeout time.Duration

	// LivenessTimeout is how long a link may be silent although an answer is
	// due until it counts as lost. Default 15 seconds, at least
	// [MinLivenessTimeout]. A negative value switches the detection off and
	// leaves the transport's keep-alive as it is. Both sides. On a suite
	// without pings it needs a transport that is TCP underneath, and on such a
	// transport an idle link is left to the kernel's keep-alive, whose times are
	// whole seconds: a probe each half of LivenessTimeout, and three more at
	// intervals of a sixth, each rounded up. A phone's radio wakes for each.
	LivenessTimeout time.Duration

	// AttemptTimeout bounds one attempt to redial and resume. Default 5
	// seconds. Client.
	AttemptTimeout time.Duration

	// MinBackoff and MaxBackoff bound the pause after a failed attempt to
	// resume: the n-th pause is a random time up to MinBackoff·2ⁿ, but never
	// above MaxBackoff. The first attempt is made at once. Defaults 50
	// milliseconds and 3 seconds. Client.
	MinBackoff, MaxBackoff time.Duration

	// MaxSessions bounds the sessions that are alive at a time, suspended ones
	// included. Zero means no bound. Server.
	MaxSessions int

	// MaxHandshakes bounds the handshakes under way, and the new sessions that
	// wait for Accept. The oldest unfinished handshake gives way to a new one.
	// Default 4096. Server.
	MaxHandshakes int

	// Logger receives what OnEvent receives, as records. Nil means silence.
	// Both sides.
	Logger *slog.Logger

	// OnEvent is told what happens to sessions, in order, from a goroutine of
	// its own: one call at a time for all sessions of a listener, and one at a
	// time for each session of a dialer. It may block: events queue up to a
	// bound, and what had to be dropped is counted in [Event.Dropped]. Both
	// sides.
	OnEvent func(Event)
}

// settings is a Config with its defaults filled in, shared by the sessions of
// one listener or dialer and never changed.
type settings struct {
	Config
	protocols []suite.Protocol
}

// configure tells the protocols which side they are for.
func (s *settings) configure(server bool) error {
	for i, p := range s.protocols {
		if p, ok := p.(suite.Configurable); ok {
			var err error
			if s.protocols[i], err = p.Configure(server, int64(s.ReplayLimit)); err != nil {
				return err
			}
		}
	}
	return nil
}

// resolve checks the configuration and fills in the defaults.
func (cfg Config) resolve() (*settings, error) {
	s := &settings{Config: cfg}
	if len(cfg.Suites) == 0 {
		return nil, errors.New("relink: Config.Suites is empty: name a suite, for instance relink.Noise")
	}
	s.Suites = append([]Suite(nil), cfg.Suites...)
	for i, su := range s.Suites {
		if su == nil {
			return nil, fmt.Errorf("relink: Config.Suites[%d] is nil", i)
		}
		p, err := su.protocol()
		if err != nil {
			return nil, err
		}
		for _, q := range s.protocols {
			if reflect.TypeOf(q) == reflect.TypeOf(p) {
				return nil, fmt.Errorf("relink: Config.Suites has both %v and %v, which cannot be told apart on the wire", q, p)
			}
		}
		s.protocols = append(s.protocols, p)
	}
	if s.ReplayLimit == 0 {
		s.ReplayLimit = DefaultReplayLimit
	}
	if s.ReplayLimit < MinReplayLimit {
		return nil, fmt.Errorf("relink: Config.ReplayLimit is %d bytes: use at least %d, or 0 for the default of %d", cfg.ReplayLimit, MinReplayLimit, DefaultReplayLimit)
	}
	if s.ReplayLimit > MaxReplayLimit {
		return nil, fmt.Errorf("relink: Config.ReplayLimit is %d bytes: use at most %d", cfg.ReplayLimit, MaxReplayLimit)
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		def   time.Duration
	}{
		{"ResumeTimeout", &s.ResumeTimeout, DefaultResumeTimeout},
		{"HandshakeTimeout", &s.HandshakeTimeout, DefaultHandshakeTimeout},
		{"CloseTimeout", &s.CloseTimeout, DefaultCloseTimeout},
		{"AttemptTimeout", &s.AttemptTimeout, DefaultAttemptTimeout},
		{"MinBackoff", &s.MinBackoff, DefaultMinBackoff},
		{"MaxBackoff", &s.MaxBackoff, max(DefaultMaxBackoff, s.MinBackoff)},
	} {
		if *d.value < 0 {
			return nil, fmt.Errorf("relink: Config.%s is %v: use a positive time, or 0 for the default of %v", d.name, *d.value, d.def)
		}
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	if s.MaxBackoff < s.MinBackoff {
		return nil, fmt.Errorf("relink: Config.MaxBackoff (%v) is below MinBackoff (%v)", s.MaxBackoff, s.MinBackoff)
	}
	if s.LivenessTimeout == 0 {
		s.LivenessTimeout = DefaultLivenessTimeout
	}
	if s.LivenessTimeout > 0 && s.LivenessTimeout < MinLivenessTimeout {
		return nil, fmt.Errorf("relink: Config.LivenessTimeout is %v: use at least %v, 0 for the default of %v, or a negative value to switch the detection off", s.LivenessTimeout, MinLivenessTimeout, DefaultLivenessTimeout)
	}
	if s.MaxSessions < 0 {
		return nil, fmt.Errorf("relink: Config.MaxSessions is %d: use 0 for no bound", s.MaxSessions)
	}
	if s.MaxHandshakes == 0 {
		s.MaxHandshakes = DefaultMaxHandshakes
	}
	if s.MaxHandshakes < 0 {
		return nil, fmt.Errorf("relink: Config.MaxHandshakes is %d: use a positive number, or 0 for the default of %d", s.MaxHandshakes, DefaultMaxHandshakes)
	}
	return s, nil
}
