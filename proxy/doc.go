// Package proxy carries relink's sessions on to servers that know nothing of
// relink, and local connections over sessions: what the command relink is made of,
// for a program that wants the same inside itself.
//
// [Join] copies between one session and one connection, both ways, until both
// directions have ended. A [Server] does so for each session of a listener: it
// finds the [Upstream] by the name that the client asked for ([Routes]), dials it,
// and joins the two. Several ports share one table of sessions by
// [relink.Listener.AddListener].
//
//	l, err := relink.Listen("tcp", ":7000", relink.NoiseServer{Keys: keys})
//	s := proxy.NewServer(proxy.Settings{
//		Routes: &proxy.Routes{Default: &proxy.Upstream{Addresses: []string{"127.0.0.1:6379"}}},
//	}, nil)
//	err = s.Serve(l)
//
// # Ends
//
// An end is passed on as what it is. The end of one direction is a half-close, and
// the other goes on. A connection that fails aborts its session, and a session that
// fails resets its connection, so that nobody takes a stream that was cut short for one
// that is complete. On a wire that cannot say a half-close see [Limits.Unsaid].
package proxy
