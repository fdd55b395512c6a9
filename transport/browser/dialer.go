//go:build js && wasm

package browser

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall/js"
)

// A Dialer opens WebSockets. The zero value is usable. It must not be changed while it
// is in use.
type Dialer struct {
	// URL is what to dial, ws:// or wss://, or a path, which is meant at the page's
	// own server. If it is empty, the address that DialTransport is given is that.
	URL string

	// Subprotocol is offered in Sec-WebSocket-Protocol, and a server that does not
	// take it is no server for us. Empty means none.
	Subprotocol string
}

// DialTransport dials, as relink's Dialer.DialTransport does; network is not looked at.
// ctx bounds the dial and not the life of the connection, which is a *[Conn]. Errors are
// of type *[net.OpError]. A browser does not say why it could not connect.
func (d *Dialer) DialTransport(ctx context.Context, _, address string) (net.Conn, error) {
	target := d.URL
	if target == "" {
		target = address
	}
	c, err := d.dial(ctx, target)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: Network, Addr: Addr(target), Err: err}
	}
	return c, nil
}

func (d *Dialer) dial(ctx context.Context, target string) (c *Conn, err error) {
	constructor := js.Global().Get("WebSocket")
	if constructor.Type() != js.TypeFunction {
		return nil, errors.New("there is no WebSocket here: a browser is needed, or Node.js from version 22 on")
	}
	if target, err = resolve(target); err != nil {
		return nil, err
	}
	defer func() { // the constructor throws what the URL and the subprotocol deserve
		if thrown, ok := recover().(js.Error); ok {
			c, err = nil, thrown
		}
	}()
	args := []any{target}
	if d.Subprotocol != "" {
		args = append(args, d.Subprotocol)
	}
	c = newConn(constructor.New(args...), target)
	select {
	case <-c.opened:
		return c, nil
	case <-c.failed:
		c.release()
		return nil, fmt.Errorf("the browser could not connect (its console may say why)")
	case <-ctx.Done():
		c.drop("given up")
		return nil, ctx.Err()
	}
}

// resolve makes a path an address at the page's own server.
func resolve(target string) (string, error) {
	if strings.HasPrefix(target, "ws://") || strings.HasPrefix(target, "wss://") {
		return target, nil
	}
	location := js.Global().Get("location")
	if !strings.HasPrefix(target, "/") || !location.Truthy() {
		return "", fmt.Errorf("the address %q is no URL: give one that begins with ws:// or wss://, or a path where there is a page", target)
	}
	scheme := "ws://"
	if location.Get("protocol").String() == "https:" {
		scheme = "wss://"
	}
	return scheme + location.Get("host").String() + target, nil
}
