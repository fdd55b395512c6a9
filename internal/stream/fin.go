package stream

// A Fin is how the stream of a [Send] ends: what was said of it, and what the peer is known to have
// heard or to want.
type Fin struct {
	queued  bool // the stream ends at the buffer's end
	sent    bool // some link was given the end
	onLink  bool // the present one was
	acked   bool // the peer has received everything and the end
	stopped bool // the peer's application reads no more
}

// Queue ends the stream behind what was appended, or is being.
func (f *Fin) Queue() { f.queued = true }

// Queued reports whether the end of the stream is queued.
func (f *Fin) Queued() bool { return f.queued }

// Repeat has the end go out once more, and be acknowledged once more.
func (f *Fin) Repeat() { f.acked, f.onLink = false, false }

// Acked reports whether the peer has everything and the end.
func (f *Fin) Acked() bool { return f.acked }

// Stopped reports whether the peer's application reads no more.
func (f *Fin) Stopped() bool { return f.stopped }

// Finished reports whether the peer wants nothing more: it has everything and the end,
// or its application reads no more.
func (f *Fin) Finished() bool { return f.acked || f.stopped }
