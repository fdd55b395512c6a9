package relink

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"syscall"
)

// A SocketBinder is called with the file descriptor of each socket before it connects,
// in Dial and in each resume, so that the app can choose its network:
// android.net.VpnService.protect, Network.bindSocket, or setsockopt with IP_BOUND_IF. What it throws ends
// this attempt. It must not close the descriptor or keep it, and must not take long.
//
// Names are looked up by the system, on its own default network.
type SocketBinder interface {
	BindSocket(fd int32) error
}

// boundSockets calls a binder, one call at a time: several ways to the server are dialled
// side by side.
type boundSockets struct {
	binder SocketBinder
	turn   chan struct{} // holds a token while the binder is called
}

// control is called by package net with a new socket.
func (b *boundSockets) control(ctx context.Context, network, address string, conn syscall.RawConn) error {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	var failed error
	if err := conn.Control(func(fd uintptr) { failed = b.call(fd) }); err != nil {
		return err
	}
	if failed != nil {
		return &codedError{CodeBind, fmt.Errorf("the SocketBinder failed for %s %s: %w", network, address, failed)}
	}
	return nil
}

func (b *boundSockets) call(fd uintptr) (err error) {
	defer guard("BindSocket", &err)
	if fd > math.MaxInt32 {
		return fmt.Errorf("the descriptor %d is none of a phone's", fd)
	}
	return b.binder.BindSocket(int32(fd))
}

// isNil reports whether a callback is null, also if a pointer that is null is in it.
func isNil(callback any) bool {
	if callback == nil {
		return true
	}
	v := reflect.ValueOf(callback)
	return v.Kind() == reflect.Pointer && v.IsNil()
}
