// Package browser carries streams over the WebSockets of a browser, for programs that
// are compiled to WebAssembly (GOOS=js). Its other end is transport/websocket, or any
// server that speaks what that package says of the wire. It knows neither net/http nor
// any other WebSocket library, which would be most of a page's size.
//
//	var d relink.Dialer
//	d.Suite = relink.NoiseClient{ServerKeys: keys}
//	d.DialTransport = new(browser.Dialer).DialTransport
//	conn, err := d.DialConn(ctx, "websocket", "wss://game.example/relink")
//	stop := browser.Watch(conn.NetworkChanged)
//
// [Watch] tells a session when the browser says that the network or the page is back.
//
// # What a browser does not do
//
// It does not slow a server down: what arrives is kept in memory until it is read.
// relink's Noise bounds that by its window; on the suites without acknowledgements
// nothing does. It gives no reason for a connection that failed, and no address. A page
// in the background gets its timers once a second or once a minute, so that silence is
// found late there; Watch makes up for that when the page comes back.
//
// Elsewhere than with GOOS=js the package is empty.
package browser
