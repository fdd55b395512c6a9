package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/relink-go/relink"
)

// ping opens a session, says what it took, and cuts its own transport.
func ping(p *program, args []string) int {
	flags := newFlags("ping")
	var t target
	t.register(flags)
	cuts := flags.Int("n", 1, "cut the transport so `many` times")
	if status, ok := p.parse(flags, args, "relink ping -to ADDRESS -server-key KEY", 0); !ok {
		return status
	}
	d, err := t.dialer()
	if err != nil {
		return p.failed("ping", err, exitUsage)
	}
	if *cuts < 0 {
		return p.failed("ping", errors.New("-n is less than zero"), exitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := p.ping(ctx, d, t.suite.serverKeys, *cuts); err != nil {
		return p.failed("ping", err, exitConnection)
	}
	return exitOK
}

func (p *program) ping(ctx context.Context, d *route, serverKeys []string, cuts int) error {
	probe := probe{below: d.DialTransport}
	if probe.below == nil {
		probe.below = new(net.Dialer).DialContext
	}
	d.DialTransport = probe.dial
	resumed := make(chan relink.Event, 1)
	d.OnEvent = func(e relink.Event) {
		if e.Kind == relink.EventResumed {
			resumed <- e
		}
	}
	begun := time.Now()
	c, err := d.dial(ctx)
	if err != nil {
		return err
	}
	opened := time.Since(begun)
	defer c.Abort()

	show := func(name string, value any) { fmt.Fprintf(p.stdout, "%-11s %v\n", name, value) }
	transport, connect := probe.last()
	show("server", transport.RemoteAddr())
	show("suite", c.Suite())
	for _, k := range serverKeys {
		show("key", k)
	}
	show("session", c.ID())
	show("connect", inMillis(connect)+", with the look-up of the name")
	show("handshake", inMillis(opened-connect))
	if rtt, ok := kernelRTT(transport); ok {
		show("round trip", inMillis(rtt)+", as the kernel has measured it")
	}
	for i := range cuts {
		transport, _ := probe.last()
		if t, ok := transport.(interface{ SetLinger(seconds int) error }); ok {
			_ = t.SetLinger(0) // as a network cuts: without a word of an end
		}
		cut := time.Now()
		_ = transport.Close()
		select {
		case e := <-resumed:
			show(fmt.Sprintf("cut %d", i+1), fmt.Sprintf("back after %s, %s sent again", inMillis(e.Time.Sub(cut)), size(e.Replayed)))
		case <-c.Done():
			return fmt.Errorf("cut %d: the session did not come back: %w", i+1, c.Err())
		case <-ctx.Done():
			return errInterrupted
		}
	}
	err = c.CloseContext(ctx)
	if errors.Is(err, relink.ErrPeerClosed) {
		err = nil // the server behind said what it had to say
	}
	return err
}

// A probe remembers the newest transport, and what it took.
type probe struct {
	below func(ctx context.Context, network, address string) (net.Conn, error)

	mu      sync.Mutex // guards what follows
	conn    net.Conn
	connect time.Duration
}

func (p *probe) dial(ctx context.Context, network, address string) (net.Conn, error) {
	begun := time.Now()
	c, err := p.below(ctx, network, address)
	if err == nil {
		p.mu.Lock()
		p.conn, p.connect = c, time.Since(begun)
		p.mu.Unlock()
	}
	return c, err
}

func (p *probe) last() (net.Conn, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conn, p.connect
}

func inMillis(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}
