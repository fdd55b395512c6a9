//go:build !linux

package main

import (
	"context"
	"errors"
)

// watchNetwork is for Linux; elsewhere a lost path is found when it is silent.
func watchNetwork(context.Context, func()) error {
	return errors.ErrUnsupported
}
