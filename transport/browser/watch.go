//go:build js && wasm

package browser

import "syscall/js"

// Watch calls changed, in a goroutine of its own, each time that the browser says that
// there is a network again, or another one, and when the page is looked at again after
// it was hidden or frozen: its timers had slept, and a connection may have died
// meanwhile. relink's Conn.NetworkChanged is meant. Call stop when it is not to be
// called any more.
func Watch(changed func()) (stop func()) {
	global, document := js.Global(), js.Global().Get("document")
	f := js.FuncOf(func(_ js.Value, args []js.Value) any {
		if args[0].Get("type").String() == "visibilitychange" && document.Get("visibilityState").String() != "visible" {
			return nil
		}
		go changed()
		return nil
	})
	type target struct {
		of    js.Value
		event string
	}
	targets := []target{{global, "online"}, {global, "pageshow"}, {document, "visibilitychange"}, {document, "resume"}}
	if navigator := global.Get("navigator"); navigator.Truthy() {
		targets = append(targets, target{navigator.Get("connection"), "change"}) // Chromium has it
	}
	heard := targets[:0]
	for _, t := range targets {
		if t.of.Truthy() && t.of.Get("addEventListener").Truthy() {
			t.of.Call("addEventListener", t.event, f)
			heard = append(heard, t)
		}
	}
	return func() {
		for _, t := range heard {
			t.of.Call("removeEventListener", t.event, f)
		}
		f.Release()
	}
}
