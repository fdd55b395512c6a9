package abuse

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
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

// attackerVariable makes the test's program the attackers' process. It takes
// orders, as lines of JSON, and answers each when the attack is over.
const attackerVariable = "RELINK_ABUSE_ATTACKER"

// An order is one attack. It lasts until the next line on standard input.
type order struct {
	Kind      attack
	Shots     []shot
	Workers   int           // of those that attack one after the other
	Slow      int           // connections that are held open, and how many a second are opened
	SlowRate  int           //
	Patience  time.Duration // how long to wait for an answer
	Sessions  []dialOrder
	PublicKey string
}

// An attack is a way to attack.
type attack string

// The attacks.
const (
	flood    attack = "flood"    // connect, say something, hear the answer, again
	slow     attack = "slow"     // connect, and say a byte now and then
	sessions attack = "sessions" // open sessions and keep them
)

// A shot is what is said to whom.
type shot struct {
	Address string
	Said    []byte
	Repeat  int // how often it is said; 0 means once
}

// A dialOrder is a suite and where it is spoken.
type dialOrder struct {
	Address string
	Suite   int // index in suites
}

// A result is what the attackers have seen.
type result struct {
	Connections int64 // made
	Answers     int64 // connections on which something came back
	Bytes       int64 // said
	Opened      int64 // sessions, as the attackers believe
}

// attackerProcess takes orders until its standard input ends.
func attackerProcess() {
	in := bufio.NewReader(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return
		}
		var o order
		if err := json.Unmarshal(line, &o); err != nil {
			panic(err)
		}
		a := &attackers{order: o, quit: make(chan struct{})}
		var work sync.WaitGroup
		switch o.Kind {
		case flood:
			for i := range o.Workers {
				work.Go(func() { a.flood(i) })
			}
		case slow:
			work.Go(a.slow)
		case sessions:
			for i := range o.Workers {
				work.Go(func() { a.sessions(i) })
			}
		}
		_, err = in.ReadBytes('\n')
		close(a.quit)
		work.Wait()
		if err != nil {
			return
		}
		_ = out.Encode(result{a.connections.Load(), a.answers.Load(), a.bytes.Load(), a.opened.Load()}) // a reader that is gone ends standard input
	}
}

// attackers carry one order out.
type attackers struct {
	order                               order
	quit                                chan struct{}
	connections, answers, bytes, opened atomic.Int64
}

func (a *attackers) over() bool {
	select {
	case <-a.quit:
		return true
	default:
		return false
	}
}

// dial makes a connection whose end leaves nothing in the kernel: thousands a
// second would use up all ports otherwise.
func (a *attackers) dial(address string) net.Conn {
	c, err := net.DialTimeout("tcp4", address, 5*time.Second)
	if err != nil {
		return nil
	}
	a.connections.Add(1)
	_ = c.(*net.TCPConn).SetLinger(0)
	return c
}

// flood is one attacker of many.
func (a *attackers) flood(i int) {
	answer := make([]byte, 4096)
	for ; !a.over(); i++ {
		s := a.order.Shots[i%len(a.order.Shots)]
		c := a.dial(s.Address)
		if c == nil {
			time.Sleep(time.Millisecond)
			continue
		}
		_ = c.SetDeadline(time.Now().Add(a.order.Patience))
		for range max(1, s.Repeat) {
			n, err := c.Write(s.Said)
			a.bytes.Add(int64(n))
			if err != nil {
				break
			}
		}
		if n, _ := c.Read(answer); n > 0 {
			a.answers.Add(1)
		}
		_ = c.Close()
	}
}

// slow keeps many connections open. Each says a byte about once a second, and
// one that is closed by the server is replaced by another.
func (a *attackers) slow() {
	type held struct {
		c    net.Conn
		next int
	}
	var all []held
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	var due float64
	said, at := 0, 0
	for !a.over() {
		<-ticker.C
		// Each connection in its turn: one that is gone shows in the second
		// Write after its end.
		for range len(all)/100 + 1 {
			if len(all) == 0 {
				break
			}
			at = (at + 1) % len(all)
			s := a.order.Shots[at%len(a.order.Shots)]
			h := &all[at]
			_ = h.c.SetWriteDeadline(time.Now().Add(a.order.Patience))
			if _, err := h.c.Write(s.Said[h.next%len(s.Said) : h.next%len(s.Said)+1]); err != nil {
				_ = h.c.Close()
				all[at] = all[len(all)-1]
				all = all[:len(all)-1]
				continue
			}
			h.next++
			a.bytes.Add(1)
		}
		for due += float64(a.order.SlowRate) / 100; due >= 1 && len(all) < a.order.Slow; due-- {
			s := a.order.Shots[said%len(a.order.Shots)]
			said++
			if c := a.dial(s.Address); c != nil {
				all = append(all, held{c: c})
			}
		}
		due = min(due, float64(a.order.SlowRate)/10)
	}
	for _, h := range all {
		_ = h.c.Close()
	}
}

// sessions opens sessions and keeps what it gets.
func (a *attackers) sessions(i int) {
	public, err := relink.ParsePublicKey(a.order.PublicKey)
	if err != nil {
		panic(err)
	}
	var kept []*relink.Conn
	for ; !a.over(); i++ {
		s := a.order.Sessions[i%len(a.order.Sessions)]
		d := relink.Dialer{
			Suite: suites[s.Suite].client(public),
			DialTransport: func(context.Context, string, string) (net.Conn, error) {
				if c := a.dial(s.Address); c != nil {
					return c, nil
				}
				return nil, fmt.Errorf("no connection to %s", s.Address)
			},
		}
		ctx, cancel := context.WithTimeout(context.Background(), a.order.Patience)
		if c, err := d.DialConn(ctx, "tcp4", s.Address); err == nil {
			a.opened.Add(1)
			kept = append(kept, c)
		}
		cancel()
	}
	for _, c := range kept {
		_ = c.Abort()
	}
}

// An enemy is the attackers' process as the test commands it.
type enemy struct {
	t   *testing.T
	in  io.Writer
	out *json.Decoder
}

// newEnemy starts the attackers' process, which ends with the test.
func newEnemy(t *testing.T) *enemy {
	t.Helper()
	in, out, _ := startProcess(t, attackerVariable)
	return &enemy{t, in, json.NewDecoder(out)}
}

// begin starts an attack, and the function that it returns ends it.
func (e *enemy) begin(o order) (end func() result) {
	e.t.Helper()
	line, err := json.Marshal(o)
	require.NoError(e.t, err)
	_, err = e.in.Write(append(line, '\n'))
	require.NoError(e.t, err)
	return func() (r result) {
		_, err := io.WriteString(e.in, "\n")
		require.NoError(e.t, err)
		require.NoError(e.t, e.out.Decode(&r))
		return r
	}
}
