package suite

import "fmt"

// Read asks a stream for the n bytes of a step of a handshake. The error says
// which.
func Read(s Stream, n int, what string) ([]byte, error) {
	b, err := s.Next(n)
	if err != nil {
		return nil, fmt.Errorf("relink: reading %s: %w", what, err)
	}
	return b, nil
}

// Write sends a message of a handshake, in one piece so that it leaves in one
// segment. The error says which.
func Write(s Stream, message []byte, what string) error {
	if _, err := s.Write(message); err != nil {
		return fmt.Errorf("relink: writing %s: %w", what, err)
	}
	return nil
}
