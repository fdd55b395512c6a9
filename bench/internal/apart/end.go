// Package apart measures streams whose two ends are in processes of their own, as
// they are where they are used. Each file is one piece of work: what the ends do for
// it, and what its caller, in a third process, makes of what they saw.
//
// Of the library it uses nothing, and of the subjects what every one has, so that the
// same ends can be built into other versions of both: see ../../compare.
package apart

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relink-go/relink/bench/internal/measure"
	"github.com/relink-go/relink/bench/internal/process"
	"github.com/relink-go/relink/bench/internal/subject"
)

// Service is the name under which a process offers its [End].
const Service = "End"

// An End is one end of one or more streams. Its methods are called through package
// net/rpc: one makes streams, one starts work on them that goes on until the process
// ends, and Watch says what the work comes to.
type End struct {
	subject  subject.Subject
	address  string // of the server
	listener net.Listener
	network  subject.Network // that a client dials through
	lines    lines           // which it is for a storm
	conns    []net.Conn      // that were opened by Accept or Dial
	tallies  []*tally        // of the work on each of them
	guests   guests          // of Serve
	failed   failure
}

// A failure is the first error of several goroutines.
type failure struct {
	mu  sync.Mutex // guards err
	err error
}

func (f *failure) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *failure) get() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// A tally is what one goroutine has done.
type tally struct {
	bytes atomic.Int64 // read
	mu    sync.Mutex   // guards times
	times []float64    // nanoseconds of each message
	_     [64]byte     // another goroutine's lies on another cache line
}

func (t *tally) took(d time.Duration) {
	t.mu.Lock()
	t.times = append(t.times, float64(d))
	t.mu.Unlock()
}

// take returns the times since the last take.
func (t *tally) take() []float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	times := slices.Clone(t.times)
	t.times = t.times[:0]
	return times
}

// How says which streams to open.
type How struct {
	Subject     string
	Credentials []byte // JSON; made by the server's end
	Address     string // of the server
	Conns       int
	Cuttable    bool // for a storm
}

// find finds the subject. The server's end makes the credentials, since what they
// look like may differ from one version to another.
func (e *End) find(how *How) error {
	var c subject.Credentials
	var err error
	if how.Credentials == nil {
		if c, err = subject.NewCredentials(); err != nil {
			return err
		}
		if how.Credentials, err = json.Marshal(c); err != nil {
			return err
		}
	} else if err = json.Unmarshal(how.Credentials, &c); err != nil {
		return err
	}
	found, err := subject.Named(c, how.Subject)
	if err == nil {
		e.subject = found[0]
	}
	return err
}

// Listen starts a server and returns what its clients need to know.
func (e *End) Listen(how How, clients *How) error {
	if err := e.find(&how); err != nil {
		return err
	}
	var err error
	if e.listener, err = e.subject.Listen(); err != nil {
		return err
	}
	how.Address = e.listener.Addr().String()
	*clients = how
	return nil
}

// Accept waits for so many streams.
func (e *End) Accept(count int, _ *process.None) error {
	for range count {
		c, err := e.listener.Accept()
		if err != nil {
			return err
		}
		e.conns = append(e.conns, c)
	}
	return nil
}

// dialers is how many handshakes are under way at a time where that is nobody's
// concern.
const dialers = 8

// Dial opens streams to a server.
func (e *End) Dial(how How, _ *process.None) error {
	if err := e.find(&how); err != nil {
		return err
	}
	e.address = how.Address
	e.network = subject.Loopback{}
	if how.Cuttable {
		e.network = &e.lines
	}
	e.conns = make([]net.Conn, how.Conns)
	return inParallel(how.Conns, dialers, func(i int) (err error) {
		e.conns[i], err = e.dial()
		return err
	})
}

func (e *End) dial() (net.Conn, error) {
	return e.subject.Dial(context.Background(), e.network, e.address)
}

// inParallel calls f for 0 to n-1, so many at a time, until there is an error.
func inParallel(n, atOnce int, f func(i int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	var failed failure
	for range min(n, atOnce) {
		wg.Go(func() {
			for failed.get() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				failed.set(f(i))
			}
		})
	}
	wg.Wait()
	return failed.get()
}

// exchange sends a message and waits for its echo.
func exchange(c net.Conn, p []byte) error {
	if _, err := c.Write(p); err != nil {
		return err
	}
	_, err := io.ReadFull(c, p)
	return err
}

// onEach starts a goroutine for each stream, which works until its process ends.
func (e *End) onEach(work func(net.Conn, *tally) error) error {
	if len(e.conns) == 0 {
		return errors.New("no streams")
	}
	for _, c := range e.conns {
		t := new(tally)
		e.tallies = append(e.tallies, t)
		go func() { e.failed.set(work(c, t)) }()
	}
	return nil
}

// Close ends the streams at once, and the server. A process that ends need not call
// it.
func (e *End) Close() {
	if e.listener != nil {
		_ = e.listener.Close()
	}
	for _, c := range e.conns {
		subject.Abort(c)
	}
	e.guests.abort()
}

// A Window is the time in which work is watched.
type Window struct {
	Warm   time.Duration // before it begins
	Length time.Duration
}

// Seen is what one end did within a window.
type Seen struct {
	Elapsed  time.Duration
	Used     measure.Usage
	Bytes    int64 // read
	Messages int64 // answered
	P50, P99 float64
}

// Watch watches the work for a while.
func (e *End) Watch(w Window, seen *Seen) error {
	time.Sleep(w.Warm)
	e.take()
	bytes, used, start := e.bytes(), measure.TakeUsage(), time.Now()
	time.Sleep(w.Length)
	seen.Elapsed = time.Since(start)
	seen.Bytes = e.bytes() - bytes
	seen.Used = measure.TakeUsage().Since(used)
	seen.count(e.take())
	return e.failed.get()
}

// count fills in what the times of messages say.
func (s *Seen) count(times []float64) {
	s.Messages = int64(len(times))
	if len(times) > 0 {
		slices.Sort(times)
		s.P50, s.P99 = measure.Quantile(times, 0.5), measure.Quantile(times, 0.99)
	}
}

// Used tells what the process has used so far.
func (e *End) Used(_ process.None, u *measure.Usage) error {
	*u = measure.TakeUsage()
	return e.failed.get()
}

func (e *End) bytes() int64 {
	var sum int64
	for _, t := range e.tallies {
		sum += t.bytes.Load()
	}
	return sum
}

func (e *End) take() []float64 {
	var all []float64
	for _, t := range e.tallies {
		all = append(all, t.take()...)
	}
	return all
}
