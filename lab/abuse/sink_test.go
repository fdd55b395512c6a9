package abuse

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A sink is what an attack is directed at for comparison: a plain TCP listener
// that does what any server has to, and nothing else. It takes what comes,
// answers, and closes as the library does, without a reset; or, against slow
// clients, it keeps them, up to a number, the oldest giving way.
type sink struct {
	l    net.Listener
	keep atomic.Int64 // clients that are kept; 0 for answering them
	work sync.WaitGroup

	mu   sync.Mutex // guards kept
	kept []net.Conn
}

func newSink(t *testing.T) *sink {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	s := &sink{l: l}
	s.work.Go(s.accept)
	return s
}

func (s *sink) accept() {
	for {
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		if keep := int(s.keep.Load()); keep > 0 {
			s.mu.Lock()
			s.kept = append(s.kept, c)
			var oldest net.Conn
			if len(s.kept) > keep {
				oldest, s.kept = s.kept[0], s.kept[1:]
			}
			s.mu.Unlock()
			if oldest != nil {
				_ = oldest.Close()
			}
			s.work.Go(func() {
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			})
			continue
		}
		s.work.Go(func() {
			timer := time.AfterFunc(time.Second, func() { _ = c.Close() })
			defer timer.Stop()
			_, _ = c.Read(make([]byte, 256))
			_, _ = c.Write(make([]byte, 24))
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.CopyN(io.Discard, c, 64<<10)
			_ = c.Close()
		})
	}
}

// release lets the kept ones go.
func (s *sink) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.kept {
		_ = c.Close()
	}
	s.kept = nil
}

func (s *sink) close() {
	_ = s.l.Close()
	s.release()
	s.work.Wait()
}
