package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// settleTime is how long addresses and routes are left to change before anybody is
// told: a new network is a burst of messages.
const settleTime = 300 * time.Millisecond

// watchNetwork calls changed after addresses or routes have changed, until ctx ends.
func watchNetwork(ctx context.Context, changed func()) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	groups := uint32(unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("netlink: %w", err)
	}
	f := os.NewFile(uintptr(fd), "netlink") // the runtime waits for it
	context.AfterFunc(ctx, func() { _ = f.Close() })
	messages := make(chan struct{}, 1)
	go func() {
		defer close(messages)
		b := make([]byte, 16<<10)
		for {
			// What is in a message does not matter. ENOBUFS says that some were
			// lost, which is one too.
			_, err := f.Read(b)
			if err != nil && ctx.Err() != nil {
				return
			}
			select {
			case messages <- struct{}{}:
			default:
			}
			if err != nil && sleep(ctx, settleTime) != nil {
				return
			}
		}
	}()
	go func() {
		for range messages {
			if sleep(ctx, settleTime) != nil {
				return
			}
			select { // what came meanwhile
			case <-messages:
			default:
			}
			changed()
		}
	}()
	return nil
}
