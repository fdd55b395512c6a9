package abuse

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
)

// strangerVariable makes the test's program a process of clients, hostile or honest, which
// takes one assignment as a line of JSON and answers with a line.
const strangerVariable = "RELINK_ABUSE_STRANGER"

// An assignment is what such a process does.
type assignment struct {
	Role    role
	Address string
	Key     string
	Count   int           // sessions, or connections that say nothing
	Delay   time.Duration // of the honest clients' path, one way
}

type role string

// The roles.
const (
	silence role = "silence" // Count connections at a time that say nothing, as fast as it goes, until the input ends
	desert  role = "desert"  // open Count sessions, and leave each
	glutton role = "glutton" // ask for much before that
	visit   role = "visit"   // be honest: a session that is cut at the next line of input, and Count new ones then
)

// A report is what has come of it.
type report struct {
	Opened  int   // sessions
	Made    int64 // connections
	New     []time.Duration
	Resumed time.Duration // what it took the cut session to carry a byte again; 0 if it never did
	Errors  []string
}

func strangerProcess() {
	in := bufio.NewScanner(os.Stdin)
	if !in.Scan() {
		return
	}
	var a assignment
	if err := json.Unmarshal(in.Bytes(), &a); err != nil {
		panic(err)
	}
	var r report
	switch a.Role {
	case silence:
		r = a.keepSilent(in)
	case desert, glutton:
		r = a.desert()
	case visit:
		r = a.visit(in)
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		panic(err)
	}
}

// keepSilent opens connections as fast as it goes and resets the oldest.
func (a assignment) keepSilent(in *bufio.Scanner) report {
	const workers = 4
	var made atomic.Int64
	stop := make(chan struct{})
	var done sync.WaitGroup
	for range workers {
		done.Go(func() {
			var held []net.Conn
			defer func() {
				for _, c := range held {
					_ = c.Close()
				}
			}()
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := net.DialTimeout("tcp", a.Address, time.Second)
				if err != nil {
					continue
				}
				_ = c.(*net.TCPConn).SetLinger(0)
				made.Add(1)
				if held = append(held, c); len(held) > a.Count/workers+1 {
					_ = held[0].Close()
					held = held[1:]
				}
			}
		})
	}
	for in.Scan() {
	}
	close(stop)
	done.Wait()
	return report{Made: made.Load()}
}

// dialer is that of a session with its transports from dial.
func (a assignment) dialer(dial func(ctx context.Context) (net.Conn, error)) *relink.Dialer {
	key, err := relink.ParsePublicKey(a.Key)
	if err != nil {
		panic(err)
	}
	return &relink.Dialer{
		Suite:         relink.NoiseClient{ServerKeys: []relink.PublicKey{key}},
		DialTransport: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
	}
}

var errGone = errors.New("gone for good")

// desert opens sessions, as a glutton asks for more than it will ever take, and resets their
// transports.
func (a assignment) desert() (r report) {
	for range a.Count {
		var transport net.Conn
		d := a.dialer(func(ctx context.Context) (net.Conn, error) {
			if transport != nil {
				return nil, errGone
			}
			var err error
			transport, err = new(net.Dialer).DialContext(ctx, "tcp", a.Address)
			return transport, err
		})
		c, err := d.DialConn(context.Background(), "tcp", "")
		if err != nil {
			r.Errors = append(r.Errors, err.Error())
			continue
		}
		r.Opened++
		if a.Role == glutton {
			_, _ = c.Write([]byte{1})
		}
		time.Sleep(3 * time.Millisecond) // what it says arrives
		_ = transport.(*net.TCPConn).SetLinger(0)
		_ = transport.Close()
		_ = c.Abort()
	}
	return r
}

// visit holds a session until the next line of input, cuts it, and opens others.
func (a assignment) visit(in *bufio.Scanner) (r report) {
	path := &slowPath{to: a.Address, delay: a.Delay}
	d := a.dialer(path.dial)
	old, err := d.DialConn(context.Background(), "tcp", "")
	if err == nil {
		err = ask(old)
	}
	if err != nil {
		return report{Errors: []string{err.Error()}}
	}
	if _, err := os.Stdout.WriteString("ready\n"); err != nil {
		panic(err)
	}
	in.Scan()
	path.cut()
	resumed := make(chan time.Duration, 1)
	began := time.Now()
	go func() {
		if err := ask(old); err != nil {
			resumed <- 0
			return
		}
		resumed <- time.Since(began)
	}()
	for range a.Count {
		began := time.Now()
		c, err := d.DialConn(context.Background(), "tcp", "")
		if err == nil {
			err = ask(c)
			_ = c.Abort()
		}
		if err != nil {
			r.Errors = append(r.Errors, err.Error())
			continue
		}
		r.New = append(r.New, time.Since(began))
	}
	r.Resumed = <-resumed
	_ = old.Abort()
	return r
}

// ask has the server say a byte.
func ask(c *relink.Conn) error {
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := c.Write([]byte{0}); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

// A slowPath is a path that takes a while, each way: it begins with what a SYN and its answer
// take.
type slowPath struct {
	to    string
	delay time.Duration

	mu    sync.Mutex
	conns []net.Conn
}

func (p *slowPath) dial(ctx context.Context) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", p.to)
	if err != nil {
		return nil, err
	}
	time.Sleep(p.delay) // the answer's way back; what is said then takes as long again
	near, far := net.Pipe()
	p.mu.Lock()
	p.conns = append(p.conns, c, far)
	p.mu.Unlock()
	go p.carry(c, far)
	go p.carry(far, c)
	return near, nil
}

// carry passes on what it reads after the delay.
func (p *slowPath) carry(to, from net.Conn) {
	type piece struct {
		due  time.Time
		data []byte
	}
	pieces := make(chan piece, 1000)
	go func() {
		for q := range pieces {
			time.Sleep(time.Until(q.due))
			if _, err := to.Write(q.data); err != nil {
				_ = from.Close()
			}
		}
		_ = to.Close()
	}()
	defer close(pieces)
	for {
		b := make([]byte, 32<<10)
		n, err := from.Read(b)
		if n > 0 {
			pieces <- piece{time.Now().Add(p.delay), b[:n]}
		}
		if err != nil {
			return
		}
	}
}

func (p *slowPath) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// A party is such a process, as the test sees it.
type party struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Scanner
	end func()
}

func send(t *testing.T, a assignment) *party {
	t.Helper()
	in, out, end := startProcess(t, strangerVariable)
	require.NoError(t, json.NewEncoder(in).Encode(a))
	p := &party{t, in, bufio.NewScanner(out), end}
	return p
}

// ready waits until an honest client has its first session.
func (p *party) ready() {
	p.t.Helper()
	require.True(p.t, p.out.Scan())
	require.Equal(p.t, "ready", p.out.Text())
}

// report waits for what has come of it.
func (p *party) report() (r report) {
	p.t.Helper()
	require.True(p.t, p.out.Scan())
	require.NoError(p.t, json.Unmarshal(p.out.Bytes(), &r))
	p.end()
	return r
}
