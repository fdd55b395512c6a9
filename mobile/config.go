package relink

import (
	"crypto/x509"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	core "github.com/relink-go/relink"
)

// The names of suites, for [Config.SetSuite].
const (
	SuiteNoise         = "noise"          // the one to choose; needs the server's key
	SuiteInsecureNoise = "insecure-noise" // the same without the server's key, so that anyone can be the server
	SuiteDH64RC4       = "dh64rc4"        // the snet protocol, which protects nothing
	SuiteSCP           = "scp"            // goscon's protocol, which protects nothing
)

// The names of transports, for [Config.AddAddress].
const (
	TransportTCP = "tcp"
	TransportTLS = "tls"
)

// What an application is to the one who holds the device, for [Config.SetVigilance] and
// [Conn.SetVigilance].
const (
	VigilanceForeground = "foreground" // somebody waits, as in a game: a lost path is found in tenths of a second
	VigilanceBackground = "background" // nobody looks: eight times as patient, which saves the radio
	VigilanceOff        = "off"        // a lost path is found after LivenessTimeout
)

// vigilances are those of the library.
var vigilances = []core.Vigilance{core.VigilanceForeground, core.VigilanceBackground, core.VigilanceOff}

// vigilanceOf returns the library's value of a name.
func vigilanceOf(what, name string) (core.Vigilance, error) {
	for _, v := range vigilances {
		if v.String() == name {
			return v, nil
		}
	}
	return 0, argument("%s: there is no vigilance %q, only %s, %s, %s", what, name, VigilanceForeground, VigilanceBackground, VigilanceOff)
}

const (
	maxServerKeys      = 4 // as relink.NoiseClient has it
	defaultDialTimeout = 15 * time.Second
	defaultProxyConns  = 64
)

// A Config says where the server is and how to speak with it. It needs a suite and at
// least one address. It may be changed after it was used, which changes nothing of what
// uses it already.
type Config struct {
	mu sync.Mutex // guards settings
	settings
}

// settings are what a Config holds. The zero value of a time means the library's default.
type settings struct {
	suite      string
	serverKeys []core.PublicKey
	clientKey  core.PrivateKey
	clear      bool
	target     string

	addresses  []address
	roots      *x509.CertPool
	serverName string
	binder     SocketBinder

	library                core.Config // without OnEvent
	dialTimeout            time.Duration
	attemptTimeout         time.Duration
	minBackoff, maxBackoff time.Duration
	vigilance              core.Vigilance
	proxySocket            string
	proxyWithoutTCP        bool
	proxyConns             int
}

type address struct{ transport, hostPort string }

// NewConfig returns a Config with the defaults.
func NewConfig() *Config { return &Config{} }

// set changes the settings, under the lock.
func (c *Config) set(what string, change func(s *settings) error) (err error) {
	defer guard(what, &err)
	c.mu.Lock()
	defer c.mu.Unlock()
	return change(&c.settings)
}

// snapshot returns the settings as they are now.
func (c *Config) snapshot() settings {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.settings
	s.serverKeys = slices.Clone(s.serverKeys)
	s.addresses = slices.Clone(s.addresses)
	return s
}

// SetSuite names the wire protocol: one of the constants that begin with Suite.
func (c *Config) SetSuite(name string) error {
	return c.set("SetSuite", func(s *settings) error {
		all := []string{SuiteNoise, SuiteInsecureNoise, SuiteDH64RC4, SuiteSCP}
		if !slices.Contains(all, name) {
			return argument("SetSuite: there is no suite %q, only %s", name, strings.Join(all, ", "))
		}
		s.suite = name
		return nil
	})
}

// AddServerKey adds a public key of the server, as text. The suite "noise" needs one;
// while a server changes its key there may be up to four.
func (c *Config) AddServerKey(text string) error {
	return c.set("AddServerKey", func(s *settings) error {
		key, err := core.ParsePublicKey(text)
		if err != nil {
			return argument("AddServerKey: %w", err)
		}
		if len(s.serverKeys) == maxServerKeys {
			return argument("AddServerKey: there are %d keys already", maxServerKeys)
		}
		s.serverKeys = append(s.serverKeys, key)
		return nil
	})
}

// SetClearStream switches the encryption of the suites "dh64rc4" and "scp" off, as some
// deployments have it.
func (c *Config) SetClearStream(on bool) error {
	return c.set("SetClearStream", func(s *settings) error { s.clear = on; return nil })
}

// SetClientKey sets this client's own private key, as text, with which it proves to the
// server who it is on the suite "noise". The default is none.
func (c *Config) SetClientKey(secret string) error {
	return c.set("SetClientKey", func(s *settings) error {
		key, err := core.ParsePrivateKey(secret)
		if err != nil {
			return argument("SetClientKey: %w", err)
		}
		s.clientKey = key
		return nil
	})
}

// SetTargetServer names what the client would like to reach behind the server, a game or a
// back end, on the suites "noise" and "scp". Empty means any.
func (c *Config) SetTargetServer(name string) error {
	return c.set("SetTargetServer", func(s *settings) error { s.target = name; return nil })
}

// AddAddress adds a way to the server: the transport "tcp" or "tls", and "host:port".
// The ways are tried in the order in which they were added, each with a head start of
// 250 ms over the next, and what has worked on this network comes first the next time.
func (c *Config) AddAddress(transport, hostPort string) error {
	return c.set("AddAddress", func(s *settings) error {
		if transport != TransportTCP && transport != TransportTLS {
			return argument("AddAddress: there is no transport %q, only %s, %s", transport, TransportTCP, TransportTLS)
		}
		host, port, err := net.SplitHostPort(hostPort)
		if err != nil {
			return argument("AddAddress: %w", err)
		}
		if host == "" || port == "" {
			return argument("AddAddress: %q lacks a host or a port", hostPort)
		}
		a := address{transport, hostPort}
		if slices.Contains(s.addresses, a) {
			return argument("AddAddress: %s %s is there already", transport, hostPort)
		}
		s.addresses = append(s.addresses, a)
		return nil
	})
}

// SetTLSRoots sets the certificates, in PEM, that a server's certificate must come from
// on the transport "tls". The default is the system's.
func (c *Config) SetTLSRoots(pem []byte) error {
	return c.set("SetTLSRoots", func(s *settings) error {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return argument("SetTLSRoots: no certificate in the %d bytes given", len(pem))
		}
		s.roots = roots
		return nil
	})
}

// SetTLSServerName sets the name that a server's certificate must have. The default is
// the host of the address.
func (c *Config) SetTLSServerName(name string) error {
	return c.set("SetTLSServerName", func(s *settings) error { s.serverName = name; return nil })
}

// SetSocketBinder sets what is called with each new socket before it connects.
func (c *Config) SetSocketBinder(binder SocketBinder) error {
	return c.set("SetSocketBinder", func(s *settings) error {
		if isNil(binder) {
			return argument("SetSocketBinder: the binder is null; leave it out for none")
		}
		s.binder = binder
		return nil
	})
}

// SetReplayLimit bounds what is kept to be sent again, in bytes for each direction.
// Default 4 MiB, at least 1024, at most 1 GiB.
func (c *Config) SetReplayLimit(bytes int64) error {
	return c.set("SetReplayLimit", func(s *settings) error {
		if bytes < core.MinReplayLimit || bytes > core.MaxReplayLimit {
			return argument("SetReplayLimit: %d is not between %d and %d", bytes, core.MinReplayLimit, core.MaxReplayLimit)
		}
		s.library.ReplayLimit = int(bytes)
		return nil
	})
}

// SetResumeTimeout sets for how long a session may be without a network. Default two
// minutes; the server has its own.
func (c *Config) SetResumeTimeout(millis int64) error {
	return c.setTime("SetResumeTimeout", millis, func(s *settings) *time.Duration { return &s.library.ResumeTimeout })
}

// SetHandshakeTimeout bounds the handshake of a new session. Default 10 seconds.
func (c *Config) SetHandshakeTimeout(millis int64) error {
	return c.setTime("SetHandshakeTimeout", millis, func(s *settings) *time.Duration { return &s.library.HandshakeTimeout })
}

// SetCloseTimeout bounds how long after Close the session goes on delivering what was
// written. Default 5 seconds.
func (c *Config) SetCloseTimeout(millis int64) error {
	return c.setTime("SetCloseTimeout", millis, func(s *settings) *time.Duration { return &s.library.CloseTimeout })
}

// SetLivenessTimeout sets how long a connection may be silent although an answer is due
// until it counts as lost. Default 15 seconds, at least one. -1 switches the detection
// off, and the kernel's keep-alive with it. While the session is idle the radio wakes twice
// in that time: see docs/mobile.md.
func (c *Config) SetLivenessTimeout(millis int64) error {
	if millis == -1 {
		return c.set("SetLivenessTimeout", func(s *settings) error { s.library.LivenessTimeout = -1; return nil })
	}
	if least := core.MinLivenessTimeout.Milliseconds(); millis < least {
		return argument("SetLivenessTimeout: %d is less than %d, and not -1, which switches it off", millis, least)
	}
	return c.setTime("SetLivenessTimeout", millis, func(s *settings) *time.Duration { return &s.library.LivenessTimeout })
}

// SetVigilance says how soon a connection that is silent is suspected, so that a second is
// dialled beside it: one of the constants that begin with Vigilance. Default
// "foreground". [Conn.SetVigilance] changes it for a session.
func (c *Config) SetVigilance(name string) error {
	return c.set("SetVigilance", func(s *settings) error {
		v, err := vigilanceOf("SetVigilance", name)
		if err != nil {
			return err
		}
		s.vigilance = v
		return nil
	})
}

// SetDialTimeout bounds Dial as a whole. Default 15 seconds.
func (c *Config) SetDialTimeout(millis int64) error {
	return c.setTime("SetDialTimeout", millis, func(s *settings) *time.Duration { return &s.dialTimeout })
}

// SetAttemptTimeout bounds one attempt to resume. Default 5 seconds.
func (c *Config) SetAttemptTimeout(millis int64) error {
	return c.setTime("SetAttemptTimeout", millis, func(s *settings) *time.Duration { return &s.attemptTimeout })
}

// SetBackoff sets the pause after the first attempt to resume that fails, and the
// longest one. Defaults 50 and 3000 milliseconds.
func (c *Config) SetBackoff(minMillis, maxMillis int64) error {
	if minMillis > maxMillis {
		return argument("SetBackoff: %d is more than %d", minMillis, maxMillis)
	}
	err := c.setTime("SetBackoff", minMillis, func(s *settings) *time.Duration { return &s.minBackoff })
	if err != nil {
		return err
	}
	return c.setTime("SetBackoff", maxMillis, func(s *settings) *time.Duration { return &s.maxBackoff })
}

func (c *Config) setTime(what string, millis int64, field func(s *settings) *time.Duration) error {
	return c.set(what, func(s *settings) error {
		d, err := duration(what, millis)
		if err != nil {
			return err
		}
		*field(s) = d
		return nil
	})
}

// SetProxySocket makes [StartProxy] listen on a Unix socket of this path too. The file
// is for this app's user alone. It should be in the app's own directory, and the path
// short: systems allow about 100 bytes.
func (c *Config) SetProxySocket(path string) error {
	return c.set("SetProxySocket", func(s *settings) error { s.proxySocket = path; return nil })
}

// SetProxyTCP says whether [StartProxy] listens on 127.0.0.1, where every app on the
// device can connect. Default true.
func (c *Config) SetProxyTCP(on bool) error {
	return c.set("SetProxyTCP", func(s *settings) error { s.proxyWithoutTCP = !on; return nil })
}

// SetProxyConns bounds the connections that the proxy serves at a time. Default 64. One
// more is reset.
func (c *Config) SetProxyConns(n int64) error {
	return c.set("SetProxyConns", func(s *settings) error {
		if n < 1 || n > 1<<16 {
			return argument("SetProxyConns: %d is not between 1 and %d", n, 1<<16)
		}
		s.proxyConns = int(n)
		return nil
	})
}

// duration turns positive milliseconds into a time.
func duration(what string, millis int64) (time.Duration, error) {
	const most = math.MaxInt64 / int64(time.Millisecond)
	if millis < 1 || millis > most {
		return 0, argument("%s: %d milliseconds are not between 1 and %d", what, millis, most)
	}
	return time.Duration(millis) * time.Millisecond, nil
}
