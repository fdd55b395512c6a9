package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/relink-go/relink"
)

// A player is the client's side of a session: what has been heard so far. The terminal's
// client and the bots are built on it.
type player struct {
	conn  *relink.Conn
	lines *bufio.Scanner

	number int            // this player's
	events int            // how many were heard
	names  map[int]string // of all players
	state  message        // the last one
}

// join connects and enters the arena.
func join(ctx context.Context, d *relink.Dialer, address, name string) (*player, error) {
	conn, err := d.DialConn(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	p := &player{conn: conn, lines: bufio.NewScanner(conn), names: map[int]string{}}
	p.lines.Buffer(make([]byte, 0, 4<<10), 1<<20)
	if _, err := conn.Write(message{Type: "join", Name: name}.line()); err != nil {
		_ = conn.Abort()
		return nil, err
	}
	welcome, err := p.next()
	if err != nil {
		_ = conn.Abort()
		return nil, err
	}
	p.number = welcome.You
	p.names[p.number] = name
	return p, nil
}

// steer sets where to go to. It never waits: while the network is away there is room for
// some hundred thousand of these, and the server takes them all when it is back.
func (p *player) steer(dx, dy float64) error {
	_, err := p.conn.TryWrite(message{Type: "move", DX: dx, DY: dy}.line())
	return err
}

// next reads the next message and keeps what it says. An event that does not follow the
// one before it was lost or came twice: relink is there so that this never happens.
func (p *player) next() (m message, err error) {
	if !p.lines.Scan() {
		if err := p.lines.Err(); err != nil {
			return m, err
		}
		return m, io.EOF
	}
	if err := json.Unmarshal(p.lines.Bytes(), &m); err != nil {
		return m, fmt.Errorf("no message: %w", err)
	}
	switch m.Type {
	case "state":
		p.state = m
	case "event":
		if m.Number != p.events+1 {
			return m, fmt.Errorf("event %d came after event %d", m.Number, p.events)
		}
		p.events = m.Number
		switch m.Kind {
		case joined:
			p.names[m.Player] = m.Name
		case left:
			delete(p.names, m.Player)
		}
	}
	return m, nil
}
