package relink_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"testing"
	"text/template"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
)

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
