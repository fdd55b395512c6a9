package conntest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

func TestConfigErrors(t *testing.T) {
	for _, tt := range []struct {
		name  string
		cfg   relink.Config
		hints []string // what the message must name
	}{
		{"negative ReplayLimit", relink.Config{ReplayLimit: -1}, []string{"Config.ReplayLimit", "1024"}},
		{"small ReplayLimit", relink.Config{ReplayLimit: relink.MinReplayLimit - 1}, []string{"Config.ReplayLimit", "1024"}},
		{"large ReplayLimit", relink.Config{ReplayLimit: relink.MaxReplayLimit + 1}, []string{"Config.ReplayLimit", "at most"}},
		{"ResumeTimeout", relink.Config{ResumeTimeout: -1}, []string{"Config.ResumeTimeout", "2m0s"}},
		{"HandshakeTimeout", relink.Config{HandshakeTimeout: -1}, []string{"Config.HandshakeTimeout", "10s"}},
		{"CloseTimeout", relink.Config{CloseTimeout: -1}, []string{"Config.CloseTimeout", "5s"}},
		{"small LivenessTimeout", relink.Config{LivenessTimeout: time.Millisecond}, []string{"Config.LivenessTimeout", "1s", "negative"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			requireListenError(t, relink.ListenConfig{Config: tt.cfg, Suites: []relink.ServerSuite{SCP}}, tt.hints...)
			requireDialError(t, relink.Dialer{Config: tt.cfg, Suite: SCP}, tt.hints...)
		})
	}
}

func TestListenConfigErrors(t *testing.T) {
	key := relink.GenerateKey()
	noise := func(keys ...relink.PrivateKey) relink.ServerSuite { return relink.NoiseServer{Keys: keys} }
	for _, tt := range []struct {
		name  string
		cfg   relink.ListenConfig
		hints []string
	}{
		{"no suite", relink.ListenConfig{}, []string{"ListenConfig.Suites", "relink.NoiseServer"}},
		{"nil suite", relink.ListenConfig{Suites: []relink.ServerSuite{SCP, nil}}, []string{"ListenConfig.Suites[1]"}},
		{"same suite twice", relink.ListenConfig{Suites: []relink.ServerSuite{SCP, SCP}}, []string{"ListenConfig.Suites", "SCP"}},
		{"two variants of one wire", relink.ListenConfig{Suites: []relink.ServerSuite{DH64RC4, ClearDH64RC4}}, []string{"ListenConfig.Suites", "told apart"}},
		{"MaxSessions", relink.ListenConfig{MaxSessions: -1}, []string{"ListenConfig.MaxSessions", "262144"}},
		{"MaxHandshakes", relink.ListenConfig{MaxHandshakes: -1}, []string{"ListenConfig.MaxHandshakes", "4096"}},
		{"HandshakeRatePerAddress", relink.ListenConfig{HandshakeRatePerAddress: -1}, []string{"ListenConfig.HandshakeRatePerAddress", "an eighth"}},
		{"MaxMemory", relink.ListenConfig{MaxMemory: relink.MinMaxMemory - 1}, []string{"ListenConfig.MaxMemory", "1048576", "4294967296"}},
		{"MaxMemory, negative", relink.ListenConfig{MaxMemory: -1}, []string{"ListenConfig.MaxMemory", "1048576"}},
		{"MaxSuspendedMemory", relink.ListenConfig{MaxSuspendedMemory: -1}, []string{"ListenConfig.MaxSuspendedMemory", "a quarter"}},
		{"MaxSuspendedMemory beyond MaxMemory", relink.ListenConfig{MaxMemory: 1 << 20, MaxSuspendedMemory: 2 << 20}, []string{"ListenConfig.MaxSuspendedMemory", "1048576"}},
		{"MaxHandshakesPerAddress", relink.ListenConfig{MaxHandshakesPerAddress: -1}, []string{"ListenConfig.MaxHandshakesPerAddress", "a quarter"}},
		{"no key", relink.ListenConfig{Suites: []relink.ServerSuite{noise()}}, []string{"NoiseServer.Keys is empty"}},
		{"zero key", relink.ListenConfig{Suites: []relink.ServerSuite{noise(key, relink.PrivateKey{})}}, []string{"NoiseServer.Keys[1]", "GenerateKey"}},
		{"key twice", relink.ListenConfig{Suites: []relink.ServerSuite{noise(key, key)}}, []string{"NoiseServer.Keys[1]"}},
		{"five keys", relink.ListenConfig{Suites: []relink.ServerSuite{noise(make([]relink.PrivateKey, 5)...)}}, []string{"NoiseServer.Keys", "at most 4"}},
		{"node below", relink.ListenConfig{Suites: []relink.ServerSuite{relink.NoiseServer{Keys: []relink.PrivateKey{key}, Node: -1}}}, []string{"NoiseServer.Node"}},
		{"node above", relink.ListenConfig{Suites: []relink.ServerSuite{relink.InsecureNoiseServer{Node: 1 << 32}}}, []string{"InsecureNoiseServer.Node"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.cfg.Suites == nil && tt.name != "no suite" {
				tt.cfg.Suites = []relink.ServerSuite{SCP}
			}
			requireListenError(t, tt.cfg, tt.hints...)
		})
	}
}

func TestDialerErrors(t *testing.T) {
	for _, tt := range []struct {
		name  string
		d     relink.Dialer
		hints []string
	}{
		{"no suite", relink.Dialer{}, []string{"Dialer.Suite", "relink.NoiseClient"}},
		{"AttemptTimeout", relink.Dialer{AttemptTimeout: -1}, []string{"Dialer.AttemptTimeout", "5s"}},
		{"MinBackoff", relink.Dialer{MinBackoff: -1}, []string{"Dialer.MinBackoff", "50ms"}},
		{"MaxBackoff", relink.Dialer{MaxBackoff: -1}, []string{"Dialer.MaxBackoff", "3s"}},
		{"MaxBackoff below MinBackoff", relink.Dialer{MinBackoff: 2, MaxBackoff: 1}, []string{"Dialer.MaxBackoff", "MinBackoff"}},
		{"no key", relink.Dialer{Suite: relink.NoiseClient{}}, []string{"NoiseClient.ServerKeys is empty"}},
		{"zero key", relink.Dialer{Suite: relink.NoiseClient{ServerKeys: []relink.PublicKey{{1}, {}}}}, []string{"NoiseClient.ServerKeys[1]", "zero"}},
		{"five keys", relink.Dialer{Suite: relink.NoiseClient{ServerKeys: make([]relink.PublicKey, 5)}}, []string{"NoiseClient.ServerKeys", "at most 4"}},
		{"flag below", relink.Dialer{Suite: relink.SCPClient{Flag: -1}}, []string{"SCPClient.Flag"}},
		{"flag above", relink.Dialer{Suite: relink.SCPClient{Flag: 1 << 32}}, []string{"SCPClient.Flag"}},
		{"target", relink.Dialer{Suite: relink.SCPClient{TargetServer: "a-b"}}, []string{"SCPClient.TargetServer"}},
		{"long target", relink.Dialer{Suite: relink.SCPClient{TargetServer: strings.Repeat("a", 999)}}, []string{"SCPClient.TargetServer"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.d.Suite == nil && tt.name != "no suite" {
				tt.d.Suite = SCP
			}
			requireDialError(t, tt.d, tt.hints...)
		})
	}
}

// Every number that can be set is checked, also one that is added: a value that makes no
// sense is an error that names its field, on both sides.
func TestEveryFieldIsChecked(t *testing.T) {
	senseless := map[string]int64{
		"LivenessTimeout": 1, // a negative one switches the detection off
		"Vigilance":       99,
	}
	wrong := func(f reflect.StructField, v reflect.Value) bool {
		if !v.CanInt() {
			return false
		}
		n, ok := senseless[f.Name]
		if !ok {
			n = -1
		}
		v.SetInt(n)
		return true
	}
	fields := 0
	for i, f := range reflect.VisibleFields(reflect.TypeFor[relink.Config]()) {
		lc, d := relink.ListenConfig{Suites: []relink.ServerSuite{SCP}}, relink.Dialer{Suite: SCP}
		if wrong(f, reflect.ValueOf(&lc.Config).Elem().Field(i)) && wrong(f, reflect.ValueOf(&d.Config).Elem().Field(i)) {
			requireListenError(t, lc, "Config."+f.Name)
			requireDialError(t, d, "Config."+f.Name)
			fields++
		}
	}
	for i := range reflect.TypeFor[relink.ListenConfig]().NumField() {
		f := reflect.TypeFor[relink.ListenConfig]().Field(i)
		if lc := (relink.ListenConfig{Suites: []relink.ServerSuite{SCP}}); wrong(f, reflect.ValueOf(&lc).Elem().Field(i)) {
			requireListenError(t, lc, "ListenConfig."+f.Name)
			fields++
		}
	}
	for i := range reflect.TypeFor[relink.Dialer]().NumField() {
		f := reflect.TypeFor[relink.Dialer]().Field(i)
		if d := (relink.Dialer{Suite: SCP}); wrong(f, reflect.ValueOf(&d).Elem().Field(i)) {
			requireDialError(t, d, "Dialer."+f.Name)
			fields++
		}
	}
	require.Equal(t, 5+7+4, fields)
}

// requireListenError requires an error that names what is wrong, from each
// function that makes a Listener.
func requireListenError(t *testing.T, cfg relink.ListenConfig, hints ...string) {
	t.Helper()
	inner := faultnet.New().Listen()
	_, err := relink.NewListener(inner, cfg)
	_, lerr := cfg.Listen(t.Context(), "tcp", "127.0.0.1:0")
	for _, err := range []error{err, lerr} {
		require.Error(t, err)
		require.True(t, strings.HasPrefix(err.Error(), "relink: "), err)
		for _, h := range hints {
			require.ErrorContains(t, err, h)
		}
	}
	// Whoever made the listener still owns it.
	require.NoError(t, inner.Close())
}

// requireDialError requires an error that names what is wrong, in what a failed
// Dial returns.
func requireDialError(t *testing.T, d relink.Dialer, hints ...string) {
	t.Helper()
	d.DialTransport = func(context.Context, string, string) (net.Conn, error) {
		t.Error("dialled with a wrong configuration")
		return nil, net.ErrClosed
	}
	_, err := d.DialConn(t.Context(), "tcp", "server:1")
	require.Error(t, err)
	op := requireOpError(t, err)
	require.Equal(t, "server:1", op.Addr.String())
	require.Equal(t, "tcp", op.Addr.Network())
	require.False(t, op.Timeout())
	require.True(t, strings.HasPrefix(op.Err.Error(), "relink: "), err)
	for _, h := range hints {
		require.ErrorContains(t, err, h)
	}
}

// requireOpError requires what every error of Dial is.
func requireOpError(t *testing.T, err error) *net.OpError {
	t.Helper()
	op, ok := err.(*net.OpError) //nolint:errorlint // it has to be the outermost
	require.True(t, ok, "%T: %v", err, err)
	require.Equal(t, "dial", op.Op)
	return op
}

func TestListenAndDialErrors(t *testing.T) {
	_, err := relink.Listen("tcp", "127.0.0.1:0")
	require.ErrorContains(t, err, "Suites")
	_, err = relink.Listen("no such network", "", SCP)
	require.Error(t, err)
	_, err = relink.NewListener(nil, relink.ListenConfig{Suites: []relink.ServerSuite{SCP}})
	require.ErrorContains(t, err, "inner listener")
	_, err = relink.Dial("tcp", "127.0.0.1:1", nil)
	require.ErrorContains(t, err, "Dialer.Suite")
	d := relink.Dialer{Suite: SCP}
	c, err := d.Dial("no such network", "127.0.0.1:1")
	_ = requireOpError(t, err)
	require.Nil(t, c) // and not a nil *Conn in it
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c, err = d.DialContext(ctx, "tcp", "127.0.0.1:1")
	require.ErrorIs(t, err, context.Canceled)
	require.Nil(t, c)
}

// The caller may go on to use its settings for something else.
func TestConfigIsCopied(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		n := faultnet.New()
		cfg := relink.ListenConfig{Suites: []relink.ServerSuite{s}}
		l, err := relink.NewListener(n.Listen(), cfg)
		require.NoError(t, err)
		d := relink.Dialer{Suite: s, DialTransport: n.Dial}
		cfg.Suites[0] = nil
		c, err := d.DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		d.Suite, d.DialTransport, d.AttemptTimeout = nil, nil, -1
		sc, err := l.AcceptConn()
		require.NoError(t, err)
		n.Last().Cut(faultnet.Reset)
		RequireExchange(t, c, sc, 100)
		require.Zero(t, cfg.ReplayLimit)
		_, _, _ = c.Abort(), sc.Abort(), l.Close()
	})
}

// requireHidden requires that a text shows nothing of a private key: neither its
// text nor its bytes, in any of the usual ways to write them.
func requireHidden(t *testing.T, key relink.PrivateKey, text string) {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(key.EncodeSecret())
	require.NoError(t, err)
	require.Len(t, raw, 32)
	decimal := fmt.Sprintf("%d", raw)
	for _, shown := range []string{
		key.EncodeSecret(), string(raw), hex.EncodeToString(raw), fmt.Sprintf("%X", raw), fmt.Sprintf("% x", raw),
		decimal[1 : len(decimal)-1], fmt.Sprintf("%#v", raw)[7:], base64.RawURLEncoding.EncodeToString(raw),
	} {
		require.NotContains(t, text, shown)
	}
}

// However a private key is printed, logged or encoded, alone or in what holds
// it, the secret does not show.
func TestPrivateKeyIsNotShown(t *testing.T) {
	key := relink.GenerateKey()
	name := "private key of " + key.PublicKey().String()
	require.Equal(t, name, key.String())
	require.Equal(t, name, key.GoString())

	type open struct{ Key relink.PrivateKey }
	type closed struct{ key relink.PrivateKey } // fmt calls no method on it
	list := []relink.PrivateKey{key}
	values := []any{
		key, &key,
		open{key},
		&open{key},
		closed{key},
		&closed{key}, list,
		map[string]relink.PrivateKey{"k": key},
		relink.NoiseServer{Keys: list},
		relink.ListenConfig{Suites: []relink.ServerSuite{relink.NoiseServer{Keys: list}}},
		struct{ s relink.ListenConfig }{relink.ListenConfig{Suites: []relink.ServerSuite{relink.NoiseServer{Keys: list}}}},
	}
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%o", "%b", "%c", "%U", "%t", "%e"} {
			requireHidden(t, key, fmt.Sprintf(verb, v))
		}
		var text, encoded bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("m", "key", v)
		slog.New(slog.NewJSONHandler(&text, nil)).Info("m", "key", v)
		require.NoError(t, template.Must(template.New("").Parse("{{.}}")).Execute(&text, v))
		requireHidden(t, key, text.String())
		_ = gob.NewEncoder(&encoded).Encode(v) // it may refuse
		requireHidden(t, key, encoded.String())
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		require.Equal(t, name, fmt.Sprintf(verb, key))
	}

	b, err := json.Marshal(open{key})
	require.NoError(t, err)
	require.JSONEq(t, `{"Key": "`+name+`"}`, string(b))
	b, err = xml.Marshal(open{key})
	require.NoError(t, err)
	require.Contains(t, string(b), name)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "key", key)
	require.Contains(t, log.String(), name)
}

func TestPrivateKey(t *testing.T) {
	key := relink.GenerateKey()
	require.False(t, key.IsZero())
	require.False(t, key.Equal(relink.GenerateKey()))
	again, err := relink.ParsePrivateKey(key.EncodeSecret() + "\n")
	require.NoError(t, err)
	require.True(t, key.Equal(again))
	require.Equal(t, key.PublicKey(), again.PublicKey())

	// It is read from a configuration, and what it was written as is refused.
	var config struct{ Key relink.PrivateKey }
	require.NoError(t, json.Unmarshal([]byte(`{"Key": "`+key.EncodeSecret()+`"}`), &config))
	require.True(t, key.Equal(config.Key))
	written, err := json.Marshal(config)
	require.NoError(t, err)
	require.Error(t, json.Unmarshal(written, &config))
	require.True(t, key.Equal(config.Key)) // nothing was lost
	err = config.Key.UnmarshalText([]byte("x" + key.EncodeSecret()))
	require.Error(t, err)
	requireHidden(t, key, err.Error())

	// The zero value is no key.
	var zero relink.PrivateKey
	require.True(t, zero.IsZero())
	require.Empty(t, zero.EncodeSecret())
	require.Zero(t, zero.PublicKey())
	require.Equal(t, "no private key", zero.String())
	require.True(t, zero.Equal(relink.PrivateKey{}))
	require.False(t, zero.Equal(key))
	_, err = relink.ParsePrivateKey(zero.EncodeSecret())
	require.Error(t, err)
}

func TestPublicKey(t *testing.T) {
	key := relink.GenerateKey().PublicKey()
	again, err := relink.ParsePublicKey(key.String())
	require.NoError(t, err)
	require.Equal(t, key, again)

	// Both ways, also as the key of a map.
	users := map[relink.PublicKey]string{key: "gopher"}
	b, err := json.Marshal(users)
	require.NoError(t, err)
	require.JSONEq(t, `{"`+key.String()+`": "gopher"}`, string(b))
	var read map[relink.PublicKey]string
	require.NoError(t, json.Unmarshal(b, &read))
	require.Equal(t, users, read)

	require.Error(t, key.UnmarshalText([]byte("no key")))
	require.Equal(t, again, key) // nothing was lost
	_, err = relink.PublicKey{}.MarshalText()
	require.Error(t, err)
}
