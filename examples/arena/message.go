package main

import (
	"encoding/json"
	"fmt"
)

// What goes into the stream is one JSON object a line. The first one of a client is a
// join, the first one of the server a welcome.
//
// There are two kinds of what the server says. An event must arrive, once and in order:
// it is numbered, so that a client can tell. A state is superseded by the next one: a
// client that has no room for it just now gets a later one instead.

// A message is any of them; Type says which fields count.
type message struct {
	Type string `json:"type"`

	// "join" and "move", from a client.
	Name string  `json:"name,omitempty"`
	DX   float64 `json:"dx,omitempty"` // -1 to 1
	DY   float64 `json:"dy,omitempty"`

	// "welcome".
	You    int `json:"you,omitempty"`
	Width  int `json:"width,omitempty"`
	Height int `json:"height,omitempty"`

	// "event". Kind is joined, left, away, back or coin, and Player is whom it concerns.
	Number int    `json:"number,omitempty"`
	Kind   string `json:"kind,omitempty"`
	Player int    `json:"player,omitempty"`
	Score  int    `json:"score,omitempty"`

	// "state". A player is number, x, y (in tenths), score, and 1 if away or 0; a coin
	// is x, y.
	Tick    int      `json:"tick,omitempty"`
	Players [][5]int `json:"players,omitempty"`
	Coins   [][2]int `json:"coins,omitempty"`
}

// The kinds of events.
const (
	joined = "joined"
	left   = "left"
	away   = "away"
	back   = "back"
	coin   = "coin"
)

// maxName is the most bytes in a player's name.
const maxName = 24

// line encodes a message. It cannot fail: all fields are plain.
func (m message) line() []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return append(b, '\n')
}

// parse decodes what a client has sent.
func parse(line []byte) (m message, err error) {
	if err := json.Unmarshal(line, &m); err != nil {
		return m, fmt.Errorf("no message: %w", err)
	}
	switch {
	case m.Type != "join" && m.Type != "move":
		return m, fmt.Errorf("a client says join and move, and not %q", m.Type)
	case len(m.Name) > maxName:
		return m, fmt.Errorf("a name of %d bytes: at most %d", len(m.Name), maxName)
	}
	return m, nil
}
