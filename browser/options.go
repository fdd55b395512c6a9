//go:build js && wasm

package main

import (
	"strings"
	"syscall/js"
	"time"

	"github.com/relink-go/relink"
)

// options are what connect is given.
type options struct {
	dialer         relink.Dialer
	subprotocol    string
	connectTimeout time.Duration
	watch          bool
}

// wishes are what the options say of the suite.
type wishes struct {
	suite        string
	serverKeys   []relink.PublicKey
	clientKey    relink.PrivateKey
	presharedKey relink.PresharedKey
	target       string
}

// setters take the options by name.
var setters = map[string]func(o *options, w *wishes, v js.Value) error{
	"suite": func(_ *options, w *wishes, v js.Value) (err error) {
		w.suite, err = text(v)
		return err
	},
	"serverKey": func(_ *options, w *wishes, v js.Value) error {
		values := []js.Value{v}
		if v.InstanceOf(js.Global().Get("Array")) {
			values = values[:0]
			for i := range v.Length() {
				values = append(values, v.Index(i))
			}
		}
		for _, v := range values {
			s, err := text(v)
			if err != nil {
				return err
			}
			key, err := relink.ParsePublicKey(s)
			if err != nil {
				return argument("%v", err)
			}
			w.serverKeys = append(w.serverKeys, key)
		}
		return nil
	},
	"clientKey": func(_ *options, w *wishes, v js.Value) error {
		s, err := text(v)
		if err != nil {
			return err
		}
		if w.clientKey, err = relink.ParsePrivateKey(s); err != nil {
			return argument("%v", err)
		}
		return nil
	},
	"presharedKey": func(_ *options, w *wishes, v js.Value) error {
		s, err := text(v)
		if err != nil {
			return err
		}
		if w.presharedKey, err = relink.ParsePresharedKey(s); err != nil {
			return argument("%v", err)
		}
		return nil
	},
	"target": func(_ *options, w *wishes, v js.Value) (err error) {
		w.target, err = text(v)
		return err
	},
	"subprotocol": func(o *options, _ *wishes, v js.Value) (err error) {
		o.subprotocol, err = text(v)
		return err
	},
	"replayLimit": func(o *options, _ *wishes, v js.Value) error {
		n, err := number(v)
		o.dialer.ReplayLimit = int(n)
		return err
	},
	"watch": func(o *options, _ *wishes, v js.Value) error {
		if v.Type() != js.TypeBoolean {
			return argument("it is a %s and not true or false", v.Type())
		}
		o.watch = v.Bool()
		return nil
	},
	"connectTimeout":  milliseconds(func(o *options) *time.Duration { return &o.connectTimeout }),
	"attemptTimeout":  milliseconds(func(o *options) *time.Duration { return &o.dialer.AttemptTimeout }),
	"resumeTimeout":   milliseconds(func(o *options) *time.Duration { return &o.dialer.ResumeTimeout }),
	"closeTimeout":    milliseconds(func(o *options) *time.Duration { return &o.dialer.CloseTimeout }),
	"livenessTimeout": milliseconds(func(o *options) *time.Duration { return &o.dialer.LivenessTimeout }),
	"minBackoff":      milliseconds(func(o *options) *time.Duration { return &o.dialer.MinBackoff }),
	"maxBackoff":      milliseconds(func(o *options) *time.Duration { return &o.dialer.MaxBackoff }),
}

func text(v js.Value) (string, error) {
	if v.Type() != js.TypeString {
		return "", argument("it is a %s and not a string", v.Type())
	}
	return v.String(), nil
}

func number(v js.Value) (float64, error) {
	if v.Type() != js.TypeNumber {
		return 0, argument("it is a %s and not a number", v.Type())
	}
	return v.Float(), nil
}

// milliseconds takes a time, in milliseconds.
func milliseconds(of func(o *options) *time.Duration) func(o *options, _ *wishes, v js.Value) error {
	return func(o *options, _ *wishes, v js.Value) error {
		n, err := number(v)
		if err == nil && (n <= 0 || n > 1e12) {
			err = argument("%v is no time in milliseconds", n)
		}
		*of(o) = time.Duration(n * float64(time.Millisecond))
		return err
	}
}

// parseOptions reads what connect is given. What it does not know is an error: a
// misspelt serverKey must not go unnoticed.
func parseOptions(v js.Value) (*options, error) {
	o := &options{connectTimeout: 15 * time.Second, watch: true}
	w := &wishes{suite: "noise"}
	if !v.IsUndefined() && !v.IsNull() {
		if v.Type() != js.TypeObject {
			return nil, argument("the options are a %s and not an object", v.Type())
		}
		names := js.Global().Get("Object").Call("keys", v)
		for i := range names.Length() {
			name := names.Index(i).String()
			set := setters[name]
			if set == nil {
				return nil, argument("there is no option %q", name)
			}
			if value := v.Get(name); !value.IsUndefined() {
				if err := set(o, w, value); err != nil {
					return nil, argument("option %s: %s", name, strings.TrimPrefix(err.Error(), "relink: "))
				}
			}
		}
	}
	return o, w.choose(o)
}

// choose sets the suite.
func (w *wishes) choose(o *options) error {
	secured := len(w.serverKeys) > 0
	switch w.suite {
	case "noise":
		if !secured {
			return argument("the option serverKey is missing: the server prints it")
		}
		o.dialer.Suite = relink.NoiseClient{ServerKeys: w.serverKeys, Key: w.clientKey, PresharedKey: w.presharedKey, Target: w.target}
		return nil
	case "insecure-noise":
		o.dialer.Suite = relink.InsecureNoiseClient{PresharedKey: w.presharedKey, Target: w.target}
	case "dh64rc4":
		o.dialer.Suite = relink.DH64RC4Client{}
	case "scp":
		o.dialer.Suite = relink.SCPClient{TargetServer: w.target}
	default:
		return argument("option suite: there is no suite %q, only noise, insecure-noise, dh64rc4 and scp", w.suite)
	}
	switch insecure := w.suite == "insecure-noise"; {
	case secured || !w.clientKey.IsZero() || !w.presharedKey.IsZero() && !insecure:
		return argument("suite %s takes no serverKey or clientKey, and a presharedKey is for the suites of Noise", w.suite)
	case w.target != "" && w.suite == "dh64rc4":
		return argument("suite dh64rc4 knows no target")
	}
	return nil
}
