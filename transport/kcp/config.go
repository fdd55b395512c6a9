package kcp

import (
	"errors"
	"fmt"
	"time"

	"github.com/xtaci/kcp-go/v5"
)

// The defaults of [Config], which are goscon's.
const (
	defaultMTU      = 1400
	defaultInterval = 10 * time.Millisecond
	defaultResend   = 2
	defaultWindow   = 2048
	defaultBuffer   = 4 << 20
	defaultTimeout  = 15 * time.Second
)

// maxMTU is the largest packet that kcp-go has room for.
const maxMTU = 1472

// A Config says how KCP works; the zero value has goscon's parameters. Both sides
// must have the same number of shards. The rest may differ.
type Config struct {
	// MTU is the most that a datagram carries, in bytes. Default 1400, at most
	// 1472, at least 576.
	MTU int

	// Interval is how often KCP looks at what is to be sent, or sent again.
	// Default 10 milliseconds, which is the least; at most 5 seconds.
	Interval time.Duration

	// Resend is how many later packets must have arrived until one counts as
	// lost. Default 2. A negative value leaves that to the clock.
	Resend int

	// Patient makes the clock wait at least 100 milliseconds, and not 30, until
	// a packet counts as lost, and double the time at each repetition, not add
	// a half (KCP's nodelay 0).
	Patient bool

	// CongestionControl makes KCP send less where packets are lost, as TCP does
	// (KCP's nc 0). Without it there is only the window.
	CongestionControl bool

	// SendWindow and RecvWindow are in packets. Default 2048.
	SendWindow, RecvWindow int

	// Messages keeps the data of two Writes out of one packet (KCP's stream mode
	// off). WriteDelay leaves what is written to the next Interval.
	Messages, WriteDelay bool

	// DataShards and ParityShards switch forward error correction on: so many
	// packets follow so many, and any that are lost can be computed, up to the
	// second number. Default 0, which is off.
	DataShards, ParityShards int

	// ReadBuffer and WriteBuffer are the sizes of the socket's buffers, in
	// bytes, as far as the system allows. Default 4 MiB at a listener and the
	// system's at a client. A negative value means the system's.
	ReadBuffer, WriteBuffer int

	// Timeout is how long a peer may be silent that owes an answer. Default 15
	// seconds, at least 1 second.
	Timeout time.Duration
}

// resolve checks the configuration and fills in the defaults.
func (cfg Config) resolve() (Config, error) {
	for _, n := range []struct {
		name           string
		value          *int
		def, low, high int
	}{
		{"MTU", &cfg.MTU, defaultMTU, 576, maxMTU},
		{"SendWindow", &cfg.SendWindow, defaultWindow, 1, 1 << 15},
		{"RecvWindow", &cfg.RecvWindow, defaultWindow, 1, 1 << 15},
	} {
		if *n.value == 0 {
			*n.value = n.def
		}
		if *n.value < n.low || *n.value > n.high {
			return cfg, fmt.Errorf("kcp: Config.%s is %d: use %d to %d, or 0 for the default of %d", n.name, *n.value, n.low, n.high, n.def)
		}
	}
	if cfg.Interval == 0 {
		cfg.Interval = defaultInterval
	}
	if cfg.Interval < 10*time.Millisecond || cfg.Interval > 5*time.Second {
		return cfg, fmt.Errorf("kcp: Config.Interval is %v: use 10 ms to 5 s, or 0 for the default of %v", cfg.Interval, defaultInterval)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Timeout < time.Second {
		return cfg, fmt.Errorf("kcp: Config.Timeout is %v: use at least 1 s, or 0 for the default of %v", cfg.Timeout, defaultTimeout)
	}
	if cfg.Resend == 0 {
		cfg.Resend = defaultResend
	}
	d, p := cfg.DataShards, cfg.ParityShards
	if d < 0 || p < 0 || (d == 0) != (p == 0) || d+p > 256 {
		return cfg, errors.New("kcp: DataShards and ParityShards are both positive and together at most 256, or both 0")
	}
	return cfg, nil
}

// corrects reports whether there is forward error correction.
func (cfg *Config) corrects() bool { return cfg.DataShards > 0 }

// apply gives a session of kcp-go its parameters.
func (cfg *Config) apply(s *kcp.UDPSession) {
	number := map[bool]int{true: 1}
	s.SetMtu(cfg.MTU)
	s.SetWindowSize(cfg.SendWindow, cfg.RecvWindow)
	s.SetNoDelay(number[!cfg.Patient], int(cfg.Interval/time.Millisecond), max(cfg.Resend, 0), number[!cfg.CongestionControl])
	//lint:ignore SA1019 there is no other way to what goscon sets
	s.SetStreamMode(!cfg.Messages) //nolint:staticcheck // there is no other way to what goscon sets
	s.SetWriteDelay(cfg.WriteDelay)
}

// setBuffers sets those of a socket. The system may give less, which is no error.
func (cfg *Config) setBuffers(c interface {
	SetReadBuffer(bytes int) error
	SetWriteBuffer(bytes int) error
}, def int,
) {
	pick := func(n int) int {
		if n == 0 {
			return def
		}
		return n
	}
	if n := pick(cfg.ReadBuffer); n > 0 {
		_ = c.SetReadBuffer(n)
	}
	if n := pick(cfg.WriteBuffer); n > 0 {
		_ = c.SetWriteBuffer(n)
	}
}
