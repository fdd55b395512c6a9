// Package race dials a server in several ways and takes the first that works: TCP
// on a port of its own, a WebSocket on 443 where a firewall lets nothing else
// through, QUIC where that is quicker.
//
// The ways start one after another, each with a head start over the next, as RFC
// 8305 has it for addresses. What has worked on this network starts first the next
// time, and so a resume does not wait for what the network swallows. A session
// moves between ways when it resumes:
//
//	ways := &race.Dialer{Ways: []race.Way{
//		{Name: "tcp", DialTransport: new(net.Dialer).DialContext},
//		{Name: "wss", DialTransport: dialWebSocket, Address: "wss://play.example.org/relink"},
//	}}
//	d := relink.Dialer{Suite: suite, DialTransport: ways.DialContext}
//
// A way counts as working when its connection has brought a byte. A network
// whose middlebox takes every connection and answers none is left for another way
// at the next attempt.
package race
