package main

/*
#include "relink.h"
*/
import "C"

import (
	"slices"
	"strconv"
	"strings"

	relink "github.com/relink-go/relink/mobile"
)

// setters are what relink_config_set knows.
var setters = map[string]func(c *relink.Config, value string) error{
	"address": func(c *relink.Config, value string) error {
		transport, address, ok := strings.Cut(value, " ")
		if !ok {
			return argument("address: %q is not like \"tcp example.com:7000\"", value)
		}
		return c.AddAddress(transport, address)
	},
	"suite":           (*relink.Config).SetSuite,
	"server-key":      (*relink.Config).AddServerKey,
	"client-key":      (*relink.Config).SetClientKey,
	"vigilance":       (*relink.Config).SetVigilance,
	"target":          (*relink.Config).SetTargetServer,
	"clear":           flag((*relink.Config).SetClearStream),
	"replay-limit":    number((*relink.Config).SetReplayLimit),
	"tls-roots":       func(c *relink.Config, value string) error { return c.SetTLSRoots([]byte(value)) },
	"tls-server-name": (*relink.Config).SetTLSServerName,
	"proxy-socket":    (*relink.Config).SetProxySocket,
	"proxy-tcp":       flag((*relink.Config).SetProxyTCP),

	"dial-timeout":      number((*relink.Config).SetDialTimeout),
	"handshake-timeout": number((*relink.Config).SetHandshakeTimeout),
	"attempt-timeout":   number((*relink.Config).SetAttemptTimeout),
	"resume-timeout":    number((*relink.Config).SetResumeTimeout),
	"liveness-timeout":  number((*relink.Config).SetLivenessTimeout),
	"close-timeout":     number((*relink.Config).SetCloseTimeout),
}

func set(c *relink.Config, name, value string) error {
	setter := setters[name]
	if setter == nil {
		names := make([]string, 0, len(setters))
		for name := range setters {
			names = append(names, name)
		}
		slices.Sort(names)
		return argument("there is no setting %q, only %s", name, strings.Join(names, ", "))
	}
	return setter(c, value)
}

func number(set func(*relink.Config, int64) error) func(*relink.Config, string) error {
	return func(c *relink.Config, value string) error {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return argument("%q is no number", value)
		}
		return set(c, n)
	}
}

func flag(set func(*relink.Config, bool) error) func(*relink.Config, string) error {
	return func(c *relink.Config, value string) error {
		if value != "0" && value != "1" {
			return argument("%q is neither 0 nor 1", value)
		}
		return set(c, value == "1")
	}
}

// states are those of the binding, as C knows them.
var states = map[string]C.int{
	"connected": C.RELINK_CONNECTED,
	"suspended": C.RELINK_SUSPENDED,
	"resuming":  C.RELINK_SUSPENDED,
	"closing":   C.RELINK_CLOSING,
	"closed":    C.RELINK_CLOSED,
}

func stateOf(name string) C.int { return states[name] }
