package relink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"time"

	"github.com/relink-go/relink/internal/suite"
)

// The defaults, which the documentation of each setting names.
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
	leastPerAddress         = 64 // handshakes of one address, by default
	defaultMaxSessions      = 1 << 18
	defaultMaxMemory        = 4 << 30
	leastPerSecond          = 64 // handshakes of one address, by default
)

// MinReplayLimit and MaxReplayLimit bound [Config.ReplayLimit], in bytes.
const (
	MinReplayLimit = 1 << 10
	MaxReplayLimit = 1 << 30
)

// MinMaxMemory is the smallest [ListenConfig.MaxMemory], in bytes.
const MinMaxMemory = 1 << 20

// MinLivenessTimeout is the smallest positive [Config.LivenessTimeout]: the
// kernel's keep-alive counts in seconds.
const MinLivenessTimeout = time.Second

// Config holds what both sides can set; it is part of a [ListenConfig] and of a
// [Dialer]. The zero value of a field means its default. A Config is copied and
// never changed.
type Config struct {
	// ReplayLimit bounds, for each direction of each session, the bytes that
	// are kept to be sent again together with those that wait to be sent.
	// Default 4 MiB, at least [MinReplayLimit], at most [MaxReplayLimit]. Memory
	// grows with use; nothing is allocated in advance. On a wire without
	// acknowledgements half of it stays filled with history once that much was
	// sent, so a server of many sessions wants less; choose at least twice the
	// socket buffers of every hop: see docs/sizing.md.
	ReplayLimit int

	// ResumeTimeout is how long a session may be without a transport before it
	// ends with [ErrExpired]. Default 2 minutes.
	ResumeTimeout time.Duration

	// HandshakeTimeout bounds one handshake of a new session, and on the server
	// also one of a resume. Default 10 seconds.
	HandshakeTimeout time.Duration

	// CloseTimeout bounds how long after Close the session lingers in the
	// background to deliver what was written. Default 5 seconds.
	CloseTimeout time.Duration

	// LivenessTimeout is how long a link may be silent although an answer is
	// due until it counts as lost. Default 15 seconds, at least
	// [MinLivenessTimeout]. A negative value switches the detection off and
	// leaves the transport's keep-alive as it is. On a suite without pings it
	// needs a transport that is TCP underneath, and on such a transport an idle
	// link is left to the kernel's keep-alive, whose times are whole seconds: a
	// probe each half of LivenessTimeout, and three more at intervals of a
	// sixth, each rounded up. A phone's radio wakes for each.
	LivenessTimeout time.Duration

	// NoEarlyData keeps data out of the requests for a resume: a client sends none
	// in them, and a server drops what comes. On Noise a suspended client's bytes arrive with
	// its request otherwise, a round trip sooner; but somebody on the path can hold that request
	// back, and deliver it when the client has given the session up, for as long as the
	// server's ResumeTimeout: see Delivery in the package documentation.
	NoEarlyData bool

	// Logger receives what OnEvent receives, as records. Nil means silence.
	Logger *slog.Logger

	// OnEvent is told what happens to sessions, in order, from a goroutine of
	// its own: one call at a time for all sessions of a listener, and one at a
	// time for each session of a dialer. It may block: events queue up. Opened and
	// closed are always told, refusals are summed up in [Event.Refusals], and what
	// had to be dropped of the rest is counted in [Event.Dropped]. Accept
	// returns a session when OnEvent has returned from its opened event, so that one
	// which is ended there is never seen elsewhere: OnEvent must not wait
	// for Accept, and one that hangs keeps new sessions out, but no old one up.
	OnEvent func(Event)
}

// A ListenConfig holds the settings of a listener. The zero value lacks only
// Suites. It is copied by [NewListener] and [ListenConfig.Listen], and never
// changed.
type ListenConfig struct {
	Config

	// Suites are the wire protocols to speak, one or more; a client's first
	// bytes tell them apart. There is no default, so that whoever reads the
	// call sees what protects the stream.
	Suites []ServerSuite

	// Label names the inner listener that the Listener is made with, in [Event.Label] and
	// [Conn.Label]; [Listener.AddListener] adds others.
	Label string

	// MaxSessions bounds the sessions that are alive at a time, suspended ones
	// included. Default 262,144. When there are so many, a new one is turned away with
	// [ErrTooManySessions], unless there is a suspended session that was never resumed and
	// has carried at most 4 KiB: the one of these that has been suspended longest gives
	// way, with [ErrDisplaced]. A connected session is never ended for it.
	MaxSessions int

	// MaxMemory bounds the memory that all sessions together hold in buffers, in bytes, with 4 KiB
	// for each beside. Default 4 GiB, at least [MinMaxMemory]. Each direction of a session
	// has 64 KiB in any case (and a classic one as much history), or ReplayLimit if that is less, and grows
	// up to ReplayLimit as long as there is enough. When there is not, new sessions are turned away
	// with [ErrMemory], suspended ones end with [ErrReclaimed], those first that were
	// never resumed and have carried little ([ErrReclaimedUnused]), then the longest suspended
	// ([ErrReclaimedLongest]), and histories
	// give way: [EventHistoryCut]. A connected session is never ended for it: its Write
	// waits, and its peer's.
	MaxMemory int64

	// MaxSuspendedMemory bounds that of suspended sessions. When they hold more they end, in the
	// same order. Default a quarter of MaxMemory, at most MaxMemory.
	MaxSuspendedMemory int64

	// MaxAge bounds how long a session may live, whatever its transports do: it
	// ends with [ErrDenied] then, and the client dials anew. Zero means no bound.
	MaxAge time.Duration

	// Authorize is asked about each client that wants to come in, before it gets
	// an answer, and about each that comes back, with its new address; nil lets
	// everybody in. An error keeps the client out: it learns of it as [ErrDenied],
	// and so does the [EventRefused]; a session that it wanted to resume ends. An
	// error that is [ErrBusy] means "not now": the client may come again, and a
	// session stays.
	//
	// A new session may be asked about more than once, because the first message
	// of its handshake can be recorded and repeated, and the client's key is
	// claimed there and not proven: Authorize must have no side effects that
	// a repetition would spoil. It is called from many goroutines, as many as
	// MaxHandshakes at a time; ctx ends with HandshakeTimeout, and with the
	// listener. One that does not return, or panics, costs its handshake and
	// nothing else; a session goes on. On the classic suites, whose wires have no
	// word for it, the client is cut off after its handshake instead.
	Authorize func(ctx context.Context, a Attempt) error

	// MaxHandshakes bounds the handshakes under way, and the new sessions that
	// wait for Accept. Default 4096. When there are so many, the oldest that has said
	// nothing gives way to a new one, then the oldest that has proven nothing;
	// but each is left alone for a second, and the listener accepts no further
	// transports until then. A resume that has proven itself in its request, which
	// takes a suite with resumption secrets, has a place beside these, of which there
	// are a quarter as many.
	MaxHandshakes int

	// MaxHandshakesPerAddress bounds the handshakes under way that come from one
	// IPv4 address, or from one /64 of IPv6. Default a quarter of MaxHandshakes,
	// but at least 64 where there are as many, which the clients behind one carrier's
	// address do not reach. Transports
	// beyond it are turned away with [ErrTooManyHandshakes]. What comes over
	// loopback, or from an address that is none of IP, is not counted; behind
	// a proxy elsewhere have the inner listener tell the clients' addresses, or
	// set it to MaxHandshakes.
	MaxHandshakesPerAddress int

	// HandshakeRatePerAddress bounds the handshakes that begin in a second from one IPv4
	// address, or from one /64 of IPv6, of new sessions and of resumes; up to four seconds' worth
	// may come at once. Default an eighth of MaxHandshakes, but at least 64: behind one carrier's
	// address 2,048 clients come back at once, and 512 a second after that. Transports beyond it are turned
	// away with [ErrHandshakeRate], before anything is computed. What is not counted there is that of
	// MaxHandshakesPerAddress.
	HandshakeRatePerAddress int

	// Admit is asked about each transport before anything is spent on it, with the
	// peer's address; nil admits all. An error turns the transport away, without a
	// word to the client, and is the [EventRefused]'s, wrapped in [ErrDenied]. It is
	// called from one goroutine, which accepts nothing meanwhile: it must be quick. A
	// panic costs its transport. What needs to know who the client is belongs into
	// Authorize.
	Admit func(remote net.Addr) error

	// PassOn, if not nil, is offered the transports of clients that come back for a
	// session which this listener does not know, with the bytes that they have sent so
	// far. A server that replaces a running one gives them to that one, which goes on with
	// them by [Listener.TakeTransport]. If PassOn returns true the transport belongs to it,
	// as the inner listener has returned it, and read is its own; if false the client is
	// refused as without it. Nothing is proven about the client.
	//
	// It is called from many goroutines, and should return within HandshakeTimeout, when
	// the transport is closed. A panic costs its transport. Sessions of the same
	// suites and keys, and on Noise of the same Node, are what the other server may have.
	PassOn func(transport net.Conn, read []byte) bool
}

// settings are those of a listener or a dialer with the defaults filled in,
// shared by its sessions and never changed.
type settings struct {
	Config
	protocols []suite.Protocol // a dialer has one

	// each is these settings as the sessions of each protocol have them, which
	// name it.
	each []*settings
	name string

	MaxSessions, MaxHandshakes int // a listener's, like the next ten
	MaxHandshakesPerAddress    int
	HandshakeRatePerAddress    int
	MaxMemory                  int64
	MaxSuspendedMemory         int64
	histories                  bool                 // there is a suite without acknowledgements
	Admit                      func(net.Addr) error // nil admits all
	PassOn                     func(net.Conn, []byte) bool
	label                      string
	MaxAge                     time.Duration                        // 0 is no bound
	Authorize                  func(context.Context, Attempt) error // nil lets everybody in

	AttemptTimeout, MinBackoff, MaxBackoff time.Duration // a dialer's
}

// A bounded is a time that must be positive, with the name of its field.
type bounded struct {
	name  string
	value *time.Duration
	def   time.Duration
}

// resolveTimes checks times and fills in their defaults.
func resolveTimes(times ...bounded) error {
	for _, d := range times {
		if *d.value < 0 {
			return fmt.Errorf("relink: %s is %v: use a positive time, or 0 for the default of %v", d.name, *d.value, d.def)
		}
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	return nil
}

// resolve checks what both sides set and fills in the defaults.
func (cfg *Config) resolve() error {
	if cfg.ReplayLimit == 0 {
		cfg.ReplayLimit = defaultReplayLimit
	}
	if cfg.ReplayLimit < MinReplayLimit {
		return fmt.Errorf("relink: Config.ReplayLimit is %d bytes: use at least %d, or 0 for the default of %d", cfg.ReplayLimit, MinReplayLimit, defaultReplayLimit)
	}
	if cfg.ReplayLimit > MaxReplayLimit {
		return fmt.Errorf("relink: Config.ReplayLimit is %d bytes: use at most %d", cfg.ReplayLimit, MaxReplayLimit)
	}
	if cfg.LivenessTimeout == 0 {
		cfg.LivenessTimeout = defaultLivenessTimeout
	}
	if cfg.LivenessTimeout > 0 && cfg.LivenessTimeout < MinLivenessTimeout {
		return fmt.Errorf("relink: Config.LivenessTimeout is %v: use at least %v, 0 for the default of %v, or a negative value to switch the detection off", cfg.LivenessTimeout, MinLivenessTimeout, defaultLivenessTimeout)
	}
	return resolveTimes(
		bounded{"Config.ResumeTimeout", &cfg.ResumeTimeout, defaultResumeTimeout},
		bounded{"Config.HandshakeTimeout", &cfg.HandshakeTimeout, defaultHandshakeTimeout},
		bounded{"Config.CloseTimeout", &cfg.CloseTimeout, defaultCloseTimeout},
	)
}

// resolve checks a listener's settings and fills in the defaults.
func (lc *ListenConfig) resolve() (*settings, error) {
	if len(lc.Suites) == 0 {
		return nil, errors.New("relink: ListenConfig.Suites is empty: name a suite, for instance relink.NoiseServer")
	}
	s := &settings{
		Config: lc.Config, MaxSessions: lc.MaxSessions, MaxHandshakes: lc.MaxHandshakes, label: lc.Label,
		MaxHandshakesPerAddress: lc.MaxHandshakesPerAddress, HandshakeRatePerAddress: lc.HandshakeRatePerAddress, Admit: lc.Admit,
		PassOn:    lc.PassOn,
		MaxMemory: lc.MaxMemory, MaxSuspendedMemory: lc.MaxSuspendedMemory,
		MaxAge: lc.MaxAge, Authorize: lc.Authorize,
	}
	if err := s.Config.resolve(); err != nil {
		return nil, err
	}
	if s.MaxSessions < 0 {
		return nil, fmt.Errorf("relink: ListenConfig.MaxSessions is %d: use a positive number, or 0 for the default of %d", s.MaxSessions, defaultMaxSessions)
	}
	if s.MaxSessions == 0 {
		s.MaxSessions = defaultMaxSessions
	}
	if s.MaxAge < 0 {
		return nil, fmt.Errorf("relink: ListenConfig.MaxAge is %v: use a positive time, or 0 for no bound", s.MaxAge)
	}
	if s.MaxHandshakes == 0 {
		s.MaxHandshakes = defaultMaxHandshakes
	}
	if s.MaxHandshakes < 0 {
		return nil, fmt.Errorf("relink: ListenConfig.MaxHandshakes is %d: use a positive number, or 0 for the default of %d", s.MaxHandshakes, defaultMaxHandshakes)
	}
	if s.MaxHandshakesPerAddress == 0 {
		s.MaxHandshakesPerAddress = max(s.MaxHandshakes/4, min(s.MaxHandshakes, leastPerAddress))
	}
	if s.MaxHandshakesPerAddress < 0 {
		return nil, fmt.Errorf("relink: ListenConfig.MaxHandshakesPerAddress is %d: use a positive number, or 0 for a quarter of MaxHandshakes", s.MaxHandshakesPerAddress)
	}
	if s.HandshakeRatePerAddress == 0 {
		s.HandshakeRatePerAddress = max(s.MaxHandshakes/8, leastPerSecond)
	}
	if s.HandshakeRatePerAddress < 0 {
		return nil, fmt.Errorf("relink: ListenConfig.HandshakeRatePerAddress is %d: use a positive number a second, or 0 for an eighth of MaxHandshakes", s.HandshakeRatePerAddress)
	}
	if err := s.resolveMemory(); err != nil {
		return nil, err
	}
	for i, su := range lc.Suites {
		if su == nil {
			return nil, fmt.Errorf("relink: ListenConfig.Suites[%d] is nil", i)
		}
		p, err := su.ServerProtocol()
		if err == nil {
			p, err = configured(p, true, s.ReplayLimit)
		}
		if err != nil {
			return nil, err
		}
		for _, q := range s.protocols {
			if reflect.TypeOf(q) == reflect.TypeOf(p) {
				return nil, fmt.Errorf("relink: ListenConfig.Suites has both %v and %v, which cannot be told apart on the wire", q, p)
			}
		}
		s.protocols = append(s.protocols, p)
		s.histories = s.histories || !p.Traits().Acks
	}
	s.nameEach()
	return s, nil
}

// resolveMemory checks a listener's budget and fills in the defaults.
func (s *settings) resolveMemory() error {
	if s.MaxMemory == 0 {
		s.MaxMemory = defaultMaxMemory
	}
	if s.MaxMemory < MinMaxMemory {
		return fmt.Errorf("relink: ListenConfig.MaxMemory is %d bytes: use at least %d, or 0 for the default of %d", s.MaxMemory, MinMaxMemory, int64(defaultMaxMemory))
	}
	if s.MaxSuspendedMemory == 0 {
		s.MaxSuspendedMemory = s.MaxMemory / 4
	}
	if s.MaxSuspendedMemory < 0 || s.MaxSuspendedMemory > s.MaxMemory {
		return fmt.Errorf("relink: ListenConfig.MaxSuspendedMemory is %d bytes: use a positive number, at most MaxMemory (%d), or 0 for a quarter of that", s.MaxSuspendedMemory, s.MaxMemory)
	}
	return nil
}

// resolve checks a dialer's settings and fills in the defaults.
func (d *Dialer) resolve() (*settings, error) {
	if d.Suite == nil {
		return nil, errors.New("relink: Dialer.Suite is nil: name a suite, for instance relink.NoiseClient")
	}
	s := &settings{Config: d.Config, AttemptTimeout: d.AttemptTimeout, MinBackoff: d.MinBackoff, MaxBackoff: d.MaxBackoff}
	if err := s.Config.resolve(); err != nil {
		return nil, err
	}
	if err := resolveTimes(
		bounded{"Dialer.AttemptTimeout", &s.AttemptTimeout, defaultAttemptTimeout},
		bounded{"Dialer.MinBackoff", &s.MinBackoff, defaultMinBackoff},
		bounded{"Dialer.MaxBackoff", &s.MaxBackoff, max(defaultMaxBackoff, s.MinBackoff)},
	); err != nil {
		return nil, err
	}
	if s.MaxBackoff < s.MinBackoff {
		return nil, fmt.Errorf("relink: Dialer.MaxBackoff (%v) is below MinBackoff (%v)", s.MaxBackoff, s.MinBackoff)
	}
	if err := d.Vigilance.check(); err != nil {
		return nil, fmt.Errorf("relink: Dialer.Vigilance %w", err)
	}
	p, err := d.Suite.ClientProtocol()
	if err == nil {
		p, err = configured(p, false, s.ReplayLimit)
	}
	if err != nil {
		return nil, err
	}
	s.protocols = []suite.Protocol{p}
	s.nameEach()
	return s, nil
}

func (s *settings) nameEach() {
	for _, p := range s.protocols {
		one := *s
		one.name = p.String()
		s.each = append(s.each, &one)
	}
}

// configured tells a protocol which side it is for and what the window is.
func configured(p suite.Protocol, server bool, window int) (suite.Protocol, error) {
	if p, ok := p.(suite.Configurable); ok {
		return p.Configure(server, int64(window))
	}
	return p, nil
}
