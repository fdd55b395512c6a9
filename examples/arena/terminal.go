package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/relink-go/relink"
)

// A terminal draws the arena with characters.
type terminal struct {
	out io.Writer

	mu   sync.Mutex // guards what OnEvent changes
	note string     // what has become of the network
}

// play is the client in a terminal, until q is pressed.
func (t *terminal) play(ctx context.Context, suite relink.ClientSuite, address, name string) error {
	fd := int(os.Stdin.Fd())
	if !term.IsTerminal(fd) {
		return errors.New("standard input is no terminal: the keys come from there")
	}
	d := &relink.Dialer{Config: relink.Config{OnEvent: t.heard}, Suite: suite}
	p, err := join(ctx, d, address, name)
	if err != nil {
		return err
	}
	defer p.conn.Abort()
	before, err := term.MakeRaw(fd)
	if err != nil {
		return err
	}
	fmt.Fprint(t.out, "\x1b[?25l\x1b[2J") // no cursor, an empty screen
	defer func() {
		fmt.Fprint(t.out, "\x1b[?25h\r\n")
		_ = term.Restore(fd, before)
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { _ = p.conn.Abort() })
	go func() {
		defer cancel()
		_ = keys(os.Stdin, p)
	}()
	for {
		m, err := p.next()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if m.Type == "state" {
			fmt.Fprint(t.out, t.picture(p))
		}
	}
}

// heard is told what becomes of the network. The game itself does not need it.
func (t *terminal) heard(e relink.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.Kind == relink.EventSuspended {
		t.note = "the network is gone"
	}
	if e.Kind == relink.EventResumed {
		t.note = fmt.Sprintf("back after %v, %d bytes sent again", e.Gap.Round(time.Millisecond), e.Replayed)
	}
}

// keys steers until q or Ctrl-C is pressed.
func keys(in io.Reader, p *player) error {
	b := make([]byte, 16)
	for {
		n, err := in.Read(b)
		if err != nil {
			return err
		}
		switch string(b[:n]) {
		case "q", "\x03":
			return nil
		case "\x1b[A", "w", "k":
			err = p.steer(0, -1)
		case "\x1b[B", "s", "j":
			err = p.steer(0, 1)
		case "\x1b[C", "d", "l":
			err = p.steer(1, 0)
		case "\x1b[D", "a", "h":
			err = p.steer(-1, 0)
		case " ":
			err = p.steer(0, 0)
		}
		if err != nil {
			return err
		}
	}
}

// The picture's size: a character is about twice as high as it is wide.
const (
	columns = width
	rows    = height / 2
)

// picture draws the last state.
func (t *terminal) picture(p *player) string {
	var field [rows][columns]byte
	for y := range field {
		for x := range field[y] {
			field[y][x] = ' '
		}
	}
	put := func(x10, y10 int, c byte) {
		x, y := min(x10/10, columns-1), min(y10/20, rows-1)
		field[max(y, 0)][max(x, 0)] = c
	}
	for _, at := range p.state.Coins {
		put(at[0], at[1], '*')
	}
	score := 0
	for _, b := range p.state.Players {
		switch {
		case b[0] == p.number:
			score = b[3]
		case b[4] == 1:
			put(b[1], b[2], '.')
		default:
			put(b[1], b[2], 'o')
		}
	}
	for _, b := range p.state.Players {
		if b[0] == p.number {
			put(b[1], b[2], '@') // above the others
		}
	}
	var s strings.Builder
	s.WriteString("\x1b[H+" + strings.Repeat("-", columns) + "+\r\n")
	for _, row := range field {
		s.WriteString("|" + string(row[:]) + "|\r\n")
	}
	s.WriteString("+" + strings.Repeat("-", columns) + "+\r\n")
	t.mu.Lock()
	note := t.note
	t.mu.Unlock()
	fmt.Fprintf(&s, "%d coins, %d players, %d events; arrows steer, space stops, q leaves. %s\x1b[K\r\n", score, len(p.state.Players), p.events, note)
	return s.String()
}
