package main

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A message goes from one process to the other in a hand-over. One of its fields is set.
type message struct {
	Step    string   `json:"step,omitempty"`
	Sockets []handed `json:"sockets,omitempty"` // of the step stepSockets, each with a descriptor
	PID     int      `json:"pid,omitempty"`     // of the step stepServing
	Passed  *passed  `json:"passed,omitempty"`  // with a descriptor
}

// A handed socket is one that listens.
type handed struct {
	Address string `json:"address"`           // as it is configured: see socketName
	Systemd bool   `json:"systemd,omitempty"` // who has opened it
}

// The steps of a hand-over, in their order. The old process says the first, and then they
// take turns.
const (
	stepSockets  = "sockets"
	stepReady    = "ready"
	stepPaused   = "paused"
	stepServing  = "serving"
	stepReleased = "released"
)

// A passed transport is one that the new process gives to the old one.
type passed struct {
	Network string `json:"network"` // of the addresses
	Remote  string `json:"remote"`
	Local   string `json:"local"`
	Label   string `json:"label"`
	Read    []byte `json:"read"` // what has been read of it
}

// The bounds of a message: what has been read of a transport is less than 64 KiB, and a kernel
// passes at most 253 descriptors.
const (
	maxMessage     = 256 << 10
	maxDescriptors = 253
)

// A channel is between two processes in a hand-over.
type channel struct {
	conn *net.UnixConn
	mu   sync.Mutex // taken by whoever sends
}

// stuckAfter bounds how long the other process may leave a message in the socket.
const stuckAfter = 5 * time.Second

// send sends one message with descriptors, which stay the caller's.
func (c *channel) send(m message, descriptors ...int) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(body) > maxMessage || len(descriptors) > maxDescriptors {
		return fmt.Errorf("a message of %d bytes with %d descriptors is too large", len(body), len(descriptors))
	}
	b := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.conn.SetWriteDeadline(time.Now().Add(stuckAfter)); err != nil {
		return err
	}
	n, err := writeDescriptors(c.conn, b, descriptors)
	if err == nil && n < len(b) {
		_, err = c.conn.Write(b[n:])
	}
	if err != nil {
		_ = c.conn.Close() // half of a message is none
	}
	return err
}

// receive returns the next message and its descriptors, which are the caller's.
func (c *channel) receive() (m message, files []*os.File, err error) {
	defer func() {
		if err != nil {
			closeAll(files)
			files = nil
		}
	}()
	var length [4]byte
	n, files, err := readDescriptors(c.conn, length[:])
	if err != nil {
		return m, files, err
	}
	if _, err := io.ReadFull(c.conn, length[n:]); err != nil {
		return m, files, err
	}
	size := binary.BigEndian.Uint32(length[:])
	if size > maxMessage {
		return m, files, fmt.Errorf("a message of %d bytes: the other side is no relink", size)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c.conn, body); err != nil {
		return m, files, err
	}
	err = json.Unmarshal(body, &m)
	return m, files, err
}

// await waits for a step, at most for stepTime. What else comes is for other.
func (c *channel) await(step string, other func(message, []*os.File)) (message, []*os.File, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(stepTime)); err != nil {
		return message{}, nil, err
	}
	defer func() { _ = c.conn.SetReadDeadline(time.Time{}) }()
	for {
		m, files, err := c.receive()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
			return m, nil, fmt.Errorf("the other process has ended, or given up, before %q", step)
		case err != nil:
			return m, nil, fmt.Errorf("waiting for %q: %w", step, err)
		case m.Step == step:
			return m, files, nil
		case other != nil && m.Passed != nil:
			other(m, files)
		default:
			closeAll(files)
			return m, nil, fmt.Errorf("the other process says %q where %q belongs: its version is another", m.Step, step)
		}
	}
}

func (c *channel) close() { _ = c.conn.Close() }

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// control calls f with the descriptor of a socket.
func control(s syscall.Conn, f func(fd uintptr) error) error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	if err := raw.Control(func(fd uintptr) { ferr = f(fd) }); err != nil {
		return err
	}
	return ferr
}
