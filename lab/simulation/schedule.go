package simulation

import (
	"time"

	"github.com/relink-go/relink/internal/faultnet"
)

// A Schedule says all that happens in one simulation. It is data: [Generate]
// makes one from a seed, [Schedule.String] and [Parse] write and read it, and
// [Run] plays it.
type Schedule struct {
	Config
	Steps []Step
}

// A Config is the world that a schedule is played in. The zero value of a
// field is not a default; [Default] has those.
type Config struct {
	// Seed makes the bytes of the applications and all randomness of the
	// library. It does not make the steps: they are written out.
	Seed uint64

	Suite string // a key of suites
	Conns int    // sessions on the one listener

	// The settings of the library, as relink.Config has them.
	ClientLimit, ServerLimit   int
	ClientResume, ServerResume time.Duration
	Handshake, Linger          time.Duration // HandshakeTimeout, CloseTimeout
	Liveness, Attempt          time.Duration
	MinBackoff, MaxBackoff     time.Duration

	// The paths, as faultnet.Options has them.
	Buffer, Segment int
	Delay           time.Duration
	Opaque          bool
	ResetOnUnread   bool
	ShortWrites     bool
	EOFWithData     bool

	// Quiet leaves it to the library to find out that the network is whole
	// again. Otherwise the clients are told, by NetworkChanged. Only a suite
	// with pings can do without.
	Quiet bool

	// End says who closes the sessions that are left in the end.
	End Ending

	// Tail is how many bytes a side writes right before it closes in the end.
	Tail int
}

// An Ending is a way to end the sessions that are left.
type Ending string

// The endings.
const (
	ClientCloses Ending = "client"
	ServerCloses Ending = "server"
	BothClose    Ending = "both"
	HalfCloses   Ending = "halves" // CloseWrite on both sides, then Close
	ClientAborts Ending = "clientaborts"
	ServerAborts Ending = "serveraborts"
)

// endings are all of them.
var endings = []Ending{ClientCloses, ServerCloses, BothClose, HalfCloses, ClientAborts, ServerAborts}

// Default returns a world with one session, the library's defaults and a fast
// network. A field that has its value is left out of a schedule's text.
func Default() Config {
	return Config{
		Suite:        "noise",
		Conns:        1,
		ClientLimit:  64 << 10,
		ServerLimit:  64 << 10,
		ClientResume: 2 * time.Minute,
		ServerResume: 2 * time.Minute,
		Handshake:    10 * time.Second,
		Linger:       5 * time.Second,
		Liveness:     15 * time.Second,
		Attempt:      5 * time.Second,
		MinBackoff:   50 * time.Millisecond,
		MaxBackoff:   3 * time.Second,
		Buffer:       4 << 10,
		End:          ClientCloses,
	}
}

// A Side is one of the two ends of a session.
type Side string

// The sides.
const (
	Client Side = "client"
	Server Side = "server"
)

// A Verb is a kind of step.
type Verb string

// The steps of the applications. All of them name a session and most a side.
const (
	Open       Verb = "open"       // the client dials
	Write      Verb = "write"      // N bytes more, M in one Write (0: all)
	Read       Verb = "read"       // N bytes more (-1: all that come), at most M in one Read
	Pause      Verb = "pause"      // no Read beyond the one under way
	Deadline   Verb = "deadline"   // of Which, For from now; below zero is past, zero clears it
	CloseWrite Verb = "closewrite" //
	Close      Verb = "close"      //
	Abort      Verb = "abort"      //
	WaitAcked  Verb = "waitacked"  // for all that was written
	Network    Verb = "network"    // the client is told of a change of network
)

// The steps of the network. Path counts back from the newest of the session: 0
// is the transport in use, 1 the one before.
const (
	Cut         Verb = "cut"         // the path, now
	CutAt       Verb = "cutat"       // after N more bytes in direction Dir
	Stall       Verb = "stall"       // hold direction Dir back
	Release     Verb = "release"     // let it go on
	ReleaseAll  Verb = "releaseall"  // on all paths of all sessions, the old ones' too
	CutDials    Verb = "cutdials"    // cut the next N paths after M bytes of direction Dir
	StallDials  Verb = "stalldials"  // the next N paths begin with direction Dir stalled
	LoseAnswers Verb = "loseanswers" // the server's bytes on the next N paths are lost
	FailDials   Verb = "faildials"   // the next N dials fail
	Down        Verb = "down"        // all dials are refused, or hang: Which
	Up          Verb = "up"          // they work again
	Host        Verb = "host"        // the clients' address changes to that number
	Reshape     Verb = "reshape"     // segments of N bytes and a delay of For on the paths to come
	Hostile     Verb = "hostile"     // send the first N bytes (-1: all) that a client has sent on Path once more; Stay leaves it open
	AcceptFails Verb = "acceptfails" // the inner listener fails N times
	Sleep       Verb = "sleep"       // the device sleeps For; Kind says what becomes of its paths
	Shutdown    Verb = "shutdown"    // of the listener, with For as the time it has
	StopAccept  Verb = "stopaccept"  // the listener is closed
)

// verbs are all of them with the fields that each uses, in the order of its
// text.
var verbs = map[Verb][]string{
	Open:        {"conn"},
	Write:       {"conn", "side", "n", "m"},
	Read:        {"conn", "side", "n", "m"},
	Pause:       {"conn", "side"},
	Deadline:    {"conn", "side", "which", "for"},
	CloseWrite:  {"conn", "side"},
	Close:       {"conn", "side"},
	Abort:       {"conn", "side"},
	WaitAcked:   {"conn", "side"},
	Network:     {"conn"},
	Cut:         {"conn", "path", "kind"},
	CutAt:       {"conn", "path", "dir", "n", "kind"},
	Stall:       {"conn", "path", "dir"},
	Release:     {"conn", "path", "dir"},
	ReleaseAll:  {},
	CutDials:    {"n", "dir", "m", "kind"},
	StallDials:  {"n", "dir"},
	LoseAnswers: {"n"},
	FailDials:   {"n"},
	Down:        {"which"},
	Up:          {},
	Host:        {"n"},
	Reshape:     {"n", "for"},
	Hostile:     {"conn", "path", "n", "stay"},
	AcceptFails: {"n"},
	Sleep:       {"for", "kind"},
	Shutdown:    {"for"},
	StopAccept:  {},
}

// Verbs returns all kinds of steps, in no order.
func Verbs() []Verb {
	var all []Verb
	for v := range verbs {
		all = append(all, v)
	}
	return all
}

// A Step is one thing that happens. Which of the fields it uses depends on the
// verb; the others are zero.
type Step struct {
	// After is the time since the step before. Everything has come to rest
	// before a step, unless After is zero: then it happens at once.
	After time.Duration
	Do    Verb

	Conn  int
	Side  Side
	N, M  int
	For   time.Duration
	Which string
	Path  int
	Dir   faultnet.Dir
	Kind  faultnet.Kind
	Stay  bool
}

// The values of Which.
const (
	reads  = "read"
	writes = "write"
	both   = "both"
	refuse = "refuse"
	hang   = "hang"
)
