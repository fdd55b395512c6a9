//go:build !linux

package main

import "time"

// There is no systemd here.

const (
	notifyReady    = ""
	notifyStopping = ""
	notifyWatchdog = ""
)

func notifyReloading() string { return "" }

func notifyMainPID(int) string { return "" }

func notify(...string) error { return nil }

func watchdogInterval() time.Duration { return 0 }
