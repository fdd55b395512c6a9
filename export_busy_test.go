package relink

// HoldFlusher makes goroutines that are to be the session's flusher wait before they
// begin, as they do where all processors are busy, until release is called.
func HoldFlusher(c *Conn) (release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	gate := make(chan struct{})
	c.flusher = func() {
		<-gate
		c.flush()
	}
	return func() { close(gate) }
}

// CallsForAck says whether an acknowledgement waits for a flusher to begin.
func CallsForAck(c *Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.callsForAckLocked()
}
