//go:build js && wasm

package main

import (
	"fmt"
	"net"
	"syscall/js"

	"github.com/relink-go/relink"
)

// transport is what a Dialer's DialTransport returns.
type transport = net.Conn

// An argumentError is a mistake in the page.
type argumentError struct{ text string }

func (e *argumentError) Error() string { return "relink: " + e.text }

func argument(format string, args ...any) error {
	return &argumentError{fmt.Sprintf(format, args...)}
}

// errorValue makes an Error of JavaScript with the property code.
func errorValue(err error) js.Value {
	code := "argument"
	if _, ok := err.(*argumentError); !ok { //nolint:errorlint // it is never wrapped
		code = relink.ErrorCode(err)
	}
	v := js.Global().Get("Error").New(err.Error())
	v.Set("code", code)
	return v
}

// internalError is what a panic becomes: no call may end the program.
func internalError(panicked any) js.Value {
	v := js.Global().Get("Error").New(fmt.Sprintf("relink: internal error: %v", panicked))
	v.Set("code", "internal")
	return v
}

// promise returns a Promise of what f returns, which runs in a goroutine.
func promise(f func() (any, error)) js.Value {
	executor := js.FuncOf(func(_ js.Value, args []js.Value) any {
		resolve, reject := args[0], args[1]
		go func() {
			defer func() {
				if panicked := recover(); panicked != nil {
					reject.Invoke(internalError(panicked))
				}
			}()
			if v, err := f(); err != nil {
				reject.Invoke(errorValue(err))
			} else {
				resolve.Invoke(v)
			}
		}()
		return nil
	})
	defer executor.Release() // the constructor has called it
	return js.Global().Get("Promise").New(executor)
}

// method is a function (number, …) that returns a promise.
func method(f func(c *connection, args []js.Value) (any, error)) js.Func {
	return js.FuncOf(func(_ js.Value, args []js.Value) any {
		return promise(func() (any, error) {
			c, err := byNumber(args[0])
			if err != nil {
				return nil, err
			}
			return f(c, args[1:])
		})
	})
}

// immediate is a function (number, …) that returns its result at once, or an Error,
// which relink.js throws.
func immediate(f func(c *connection, args []js.Value) (any, error)) js.Func {
	return js.FuncOf(func(_ js.Value, args []js.Value) (result any) {
		defer func() {
			if panicked := recover(); panicked != nil {
				result = internalError(panicked)
			}
		}()
		c, err := byNumber(args[0])
		if err != nil {
			return errorValue(err)
		}
		v, err := f(c, args[1:])
		if err != nil {
			return errorValue(err)
		}
		return v
	})
}
