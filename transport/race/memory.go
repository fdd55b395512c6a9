package race

import (
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relink-go/relink/internal/transport"
)

// A memory knows which ways have worked on this network.
type memory struct {
	mu     sync.Mutex // guards everything below
	epoch  int        // counts the networks
	worked map[int]time.Time
	mute   map[int]time.Time // took a connection, and brought nothing
}

// forget begins with another network.
func (m *memory) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epoch++
	m.worked, m.mute = nil, nil
}

// current returns the number of the network.
func (m *memory) current() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.epoch
}

// order returns n ways: those that have worked, the last learnt first, those of
// which nothing is known, and those that were mute.
func (m *memory) order(n int, keep time.Duration) []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for _, of := range []map[int]time.Time{m.worked, m.mute} {
		for i, at := range of {
			if now.Sub(at) >= keep {
				delete(of, i)
			}
		}
	}
	ways := make([]int, n)
	for i := range ways {
		ways[i] = i
	}
	class := func(i int) int {
		if _, ok := m.worked[i]; ok {
			return 0
		}
		if _, ok := m.mute[i]; ok {
			return 2
		}
		return 1
	}
	slices.SortStableFunc(ways, func(i, j int) int {
		if d := class(i) - class(j); d != 0 {
			return d
		}
		return m.worked[j].Compare(m.worked[i])
	})
	return ways
}

// heard notes that a way works. What was known is not renewed, so that its time
// ends.
func (m *memory) heard(way, epoch int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if epoch != m.epoch {
		return
	}
	delete(m.mute, way)
	if _, ok := m.worked[way]; !ok {
		if m.worked == nil {
			m.worked = make(map[int]time.Time)
		}
		m.worked[way] = time.Now()
	}
}

// failed notes that a way could not be dialled.
func (m *memory) failed(way, epoch int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if epoch == m.epoch {
		delete(m.worked, way)
	}
}

// silent notes that a connection has brought nothing.
func (m *memory) silent(way, epoch int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if epoch != m.epoch {
		return
	}
	delete(m.worked, way)
	if m.mute == nil {
		m.mute = make(map[int]time.Time)
	}
	m.mute[way] = time.Now()
}

// watch returns a connection that tells the memory what has become of it.
func (m *memory) watch(t net.Conn, name string, way, epoch int) net.Conn {
	return &conn{Conn: transport.Conn{Conn: t}, name: name, m: m, way: way, epoch: epoch, since: time.Now()}
}

// patience is how long a connection may bring nothing without counting as mute
// when it is closed: whoever dials may have closed it for a reason of its own.
const patience = 2 * time.Second

// A conn is a connection that the memory wants to hear of.
type conn struct {
	transport.Conn

	// Constant after creation.
	name       string
	m          *memory
	way, epoch int
	since      time.Time

	settled atomic.Bool // the memory has heard of it
}

// Read tells the memory of the first byte, or of the end before it.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.settled.Load() {
		return n, err
	}
	switch {
	case n > 0:
		if c.settled.CompareAndSwap(false, true) {
			c.m.heard(c.way, c.epoch)
		}
	case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
		if c.settled.CompareAndSwap(false, true) {
			c.m.silent(c.way, c.epoch)
		}
	}
	return n, err
}

// Close tells the memory if the connection had time enough and has brought
// nothing.
func (c *conn) Close() error {
	if c.settled.CompareAndSwap(false, true) && time.Since(c.since) >= patience {
		c.m.silent(c.way, c.epoch)
	}
	return c.Conn.Close()
}

// WayOf returns the name of the way that a connection of a [Dialer] has taken,
// also if the connection is below others that have a NetConn method.
func WayOf(c net.Conn) (name string, ok bool) {
	for range 8 { // wrappers do not nest deeper; a cycle must not hang us
		switch t := c.(type) {
		case *conn:
			return t.name, true
		case interface{ NetConn() net.Conn }:
			c = t.NetConn()
		default:
			return "", false
		}
	}
	return "", false
}
