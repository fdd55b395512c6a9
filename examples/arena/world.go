package main

import (
	"math"
	"math/rand/v2"
	"slices"
)

// A world is the game: who is where, and what becomes of it in a tick. It knows nothing
// of connections, and is not safe for concurrent use.
type world struct {
	players []*body // by number
	coins   [][2]float64
	tick    int
	last    int // player's number
}

// A body is a player in the world.
type body struct {
	number, score int
	name          string
	x, y, dx, dy  float64
	away          bool // nobody steers it
}

const (
	ticksPerSecond = 20
	width, height  = 100, 60
	speed          = 18.0 / ticksPerSecond
	reach          = 2.0 // how near a coin has to be
	coinCount      = 12
)

func newWorld() *world {
	w := new(world)
	for range coinCount {
		w.coins = append(w.coins, somewhere())
	}
	return w
}

func somewhere() [2]float64 { return [2]float64{rand.Float64() * width, rand.Float64() * height} }

// join puts a new player somewhere.
func (w *world) join(name string) *body {
	w.last++
	at := somewhere()
	b := &body{number: w.last, name: name, x: at[0], y: at[1]}
	w.players = append(w.players, b)
	return b
}

// leave takes a player out.
func (w *world) leave(b *body) {
	w.players = slices.DeleteFunc(w.players, func(other *body) bool { return other == b })
}

// steer sets where a player goes to. What a client says is bounded here: it is not to be
// trusted.
func (b *body) steer(dx, dy float64) {
	if length := math.Hypot(dx, dy); length > 1 {
		dx, dy = dx/length, dy/length
	}
	if math.IsNaN(dx) || math.IsNaN(dy) {
		dx, dy = 0, 0
	}
	b.dx, b.dy = dx, dy
}

// step moves the world on by a tick, and returns who has taken a coin.
func (w *world) step() (took []*body) {
	w.tick++
	for _, b := range w.players {
		if b.away {
			continue // it stands still, and takes nothing: nobody gains by having no network
		}
		b.x = min(max(b.x+b.dx*speed, 0), width)
		b.y = min(max(b.y+b.dy*speed, 0), height)
		for i, at := range w.coins {
			if math.Hypot(b.x-at[0], b.y-at[1]) < reach {
				b.score++
				w.coins[i] = somewhere()
				took = append(took, b)
			}
		}
	}
	return took
}

// state returns all that is to be drawn.
func (w *world) state() message {
	m := message{Type: "state", Tick: w.tick}
	for _, b := range w.players {
		gone := 0
		if b.away {
			gone = 1
		}
		m.Players = append(m.Players, [5]int{b.number, int(b.x * 10), int(b.y * 10), b.score, gone})
	}
	for _, at := range w.coins {
		m.Coins = append(m.Coins, [2]int{int(at[0] * 10), int(at[1] * 10)})
	}
	return m
}
