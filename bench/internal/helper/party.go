package helper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relink-go/relink/bench/internal/measure"
	"github.com/relink-go/relink/bench/internal/process"
	"github.com/relink-go/relink/bench/internal/subject"
)

// A Party is one side of many streams. Its methods are called through package
// net/rpc, one at a time.
type Party struct {
	listener net.Listener
	echo     bool
	conns    []net.Conn
	read     atomic.Int64 // bytes that the waiting goroutines have read
	reading  bool
}

// messageSize is the size in bytes of an exchanged message, and of the buffer in
// which an application waits in Read.
const messageSize = 256

// dialers is how many handshakes are under way at a time.
const dialers = 8

// How says which streams to open.
type How struct {
	Subject     string
	Credentials subject.Credentials
	Echo        bool   // the server returns what it reads
	Address     string // of the server
	Count       int    // streams
}

func (h How) subject() (subject.Subject, error) {
	found, err := subject.Named(h.Credentials, h.Subject)
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// Listen starts a server and returns its address.
func (p *Party) Listen(how How, address *string) error {
	s, err := how.subject()
	if err != nil {
		return err
	}
	if p.listener, err = s.Listen(); err != nil {
		return err
	}
	p.echo = how.Echo
	*address = p.listener.Addr().String()
	return nil
}

// Accept waits for so many streams, and lets an application wait in Read on each.
func (p *Party) Accept(count int, _ *process.None) error {
	for range count {
		c, err := p.listener.Accept()
		if err != nil {
			return err
		}
		p.conns = append(p.conns, c)
		go p.wait(c)
	}
	p.reading = true
	return nil
}

// wait is an application in Read.
func (p *Party) wait(c net.Conn) {
	buf := make([]byte, messageSize)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		p.read.Add(int64(n))
		if p.echo {
			if _, err := c.Write(buf[:n]); err != nil {
				return
			}
		}
	}
}

// Dial opens streams to a server.
func (p *Party) Dial(how How, _ *process.None) error {
	s, err := how.subject()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	p.conns = make([]net.Conn, how.Count)
	return inParallel(how.Count, func(i int) error {
		c, err := s.Dial(ctx, subject.Loopback{}, how.Address)
		p.conns[i] = c
		return err
	})
}

// Exchange sends so many messages on every stream and waits for their echoes.
func (p *Party) Exchange(messages int, _ *process.None) error {
	return inParallel(len(p.conns), func(i int) error {
		buf := make([]byte, messageSize)
		for range messages {
			if _, err := p.conns[i].Write(buf); err != nil {
				return err
			}
			if _, err := io.ReadFull(p.conns[i], buf); err != nil {
				return err
			}
		}
		return nil
	})
}

// inParallel calls f for 0 to n-1, several at a time.
func inParallel(n int, f func(i int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, dialers)
	for w := range dialers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if errs[w] = f(i); errs[w] != nil {
					next.Store(int64(n))
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Rest says how to come to rest before a measurement.
type Rest struct {
	// Goroutines are started and ended before: the runtime keeps the descriptors of
	// ended goroutines for the next ones, and they must not be counted as somebody's.
	Goroutines int

	// Settle is how long to wait.
	Settle time.Duration
}

// Memory tells what the process holds.
func (p *Party) Memory(r Rest, m *measure.Memory) error {
	spawn(r.Goroutines)
	time.Sleep(r.Settle)
	*m = measure.TakeMemory()
	return nil
}

// spawn starts goroutines, all at once, and lets them end.
func spawn(n int) {
	var wg sync.WaitGroup
	quit := make(chan struct{})
	for range n {
		wg.Go(func() { <-quit })
	}
	close(quit)
	wg.Wait()
}

// A Load is traffic on all streams.
type Load struct {
	Size      int           // of a message, in bytes
	PerSecond int           // messages on each stream
	Warm      time.Duration // before the measurement begins
	Window    time.Duration // of the measurement
}

// Carried is what a Load came to on one side, within its window.
type Carried struct {
	Sent          int64 // messages
	Received      int64
	ProcessorTime time.Duration
}

// senders is how many goroutines share the sending.
const senders = 4

// Run sends messages at an even pace on all streams, as a game does to its players and
// they to it, while an application waits in Read on each.
func (p *Party) Run(load Load, result *Carried) error {
	if len(p.conns) == 0 {
		return errors.New("no streams")
	}
	if !p.reading {
		p.reading = true
		for _, c := range p.conns {
			go p.wait(c)
		}
	}
	var sent atomic.Int64
	quit := make(chan struct{})
	errs := make([]error, senders)
	var wg sync.WaitGroup
	for i := range senders {
		var mine []net.Conn
		for k := i; k < len(p.conns); k += senders {
			mine = append(mine, p.conns[k])
		}
		wg.Go(func() { errs[i] = pace(mine, load, quit, &sent) })
	}
	time.Sleep(load.Warm)
	before, _ := measure.ProcessorTime()
	sentBefore, readBefore := sent.Load(), p.read.Load()
	time.Sleep(load.Window)
	after, ok := measure.ProcessorTime()
	*result = Carried{Sent: sent.Load() - sentBefore, Received: (p.read.Load() - readBefore) / int64(load.Size), ProcessorTime: after - before}
	close(quit)
	wg.Wait()
	if !ok {
		return errors.New("this system does not tell processor times")
	}
	return errors.Join(errs...)
}

// pace writes to one stream after the other, so that each has its messages a
// second, until quit is closed. Those that are due within the same millisecond leave together.
func pace(conns []net.Conn, load Load, quit <-chan struct{}, sent *atomic.Int64) error {
	if len(conns) == 0 {
		return nil
	}
	message := make([]byte, load.Size)
	start := time.Now()
	interval := time.Second / time.Duration(load.PerSecond) / time.Duration(len(conns))
	for k := 0; ; k++ {
		for time.Since(start) < time.Duration(k)*interval {
			select {
			case <-quit:
				return nil
			case <-time.After(time.Millisecond):
			}
		}
		select {
		case <-quit:
			return nil
		default:
		}
		if _, err := conns[k%len(conns)].Write(message); err != nil {
			return fmt.Errorf("sending: %w", err)
		}
		sent.Add(1)
	}
}
