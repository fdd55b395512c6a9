// Package relink is relink for phones: a client that gomobile binds to Java, Kotlin,
// Objective-C and Swift, and a local proxy for what can only open a socket.
//
//	Config config = new Config();
//	config.setSuite("noise");
//	config.addServerKey(key);
//	config.addAddress("tcp", "play.example.org:7000");
//	config.addAddress("tls", "play.example.org:443");
//	Conn conn = Relink.dial(config);
//
// Dial, Read, Write and CloseWait wait, and must not be called from the thread that
// draws. A Conn may be used from any threads. Times are milliseconds, sizes are bytes.
//
// # Errors
//
// The text of each error begins with a code in brackets, such as "[relink:expired]",
// which [ErrorCode] takes out of it. Codes do not change; what follows them may.
//
// # What cannot happen
//
// No method ends the app: a panic becomes an error with the code [CodeInternal], or
// the zero value where there is no error to return, and is kept in [LastPanic]. What
// should not be null is refused. A panic on a goroutine of Go's own cannot be caught;
// [SetCrashOutput] names a file that it is written to.
//
// # Callbacks
//
// An [EventListener] and a [SocketBinder] have a single method, which may throw. Each
// is called by one thread at a time, in order.
//
// docs/mobile.md has the rest: building, lifecycle, battery, the local proxy, and what
// has been proven where.
package relink
