package relink_test

import (
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
)

// What only a suite with acknowledgements can do is tested in bubbles, with all of
// them, or with the protocol records where the suite has to misbehave: in
// window_test.go, closewrite_test.go, silence_test.go, violation_test.go,
// recordresume_test.go and everycut_test.go.

// inAckBubble runs a test in a bubble of its own for every suite with
// acknowledgements.
func inAckBubble(t *testing.T, f func(t *testing.T, s testSuite)) {
	t.Helper()
	for _, s := range ackSuites {
		t.Run(s.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, s) })
		})
	}
}

// ackSuites are the suites with acknowledgements.
var ackSuites = func() (found []testSuite) {
	for _, s := range suites {
		if traitsOf(s).Acks {
			found = append(found, s)
		}
	}
	return found
}()

// Lengths are those of a suite's handshakes, in bytes.
type lengths struct {
	request, answer             int64 // of a new session
	resumeRequest, resumeAnswer int64 // of a resume without early data
}

// lengthsOf returns the lengths of the handshakes of a suite with
// acknowledgements.
func lengthsOf(s testSuite) lengths {
	switch s.String() {
	case recordSuite.String():
		return lengths{recNewLen, recNewAnswerLen, recResumeHead + 4, recResumeAnswerLen}
	case noiseSuite.String():
		return lengths{1269, 1168, 99, 66}
	default: // without the server's key
		return lengths{1237, 1168, 99, 66}
	}
}

// inRecordBubble runs a test in a bubble of its own with a protocol of its own.
func inRecordBubble(t *testing.T, f func(t *testing.T, p *records, s testSuite)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p, s := newRecords()
		f(t, p, s)
	})
}

// withLimit sets both sides' ReplayLimit.
func withLimit(n int) rigOption {
	return withBoth(func(c *relink.Config) { c.ReplayLimit = n })
}

// finish closes both sides and requires that nothing is left undelivered.
func (r *rig) finish() {
	r.t.Helper()
	require.NoError(r.t, r.client.Close())
	require.NoError(r.t, r.server.Close())
	<-r.client.Done()
	<-r.server.Done()
	_ = r.l.Close()
	for name, l := range map[string]*eventLog{"client": r.clientEvents, "server": r.serverEvents} {
		synctest.Wait()
		for _, e := range l.all(relink.EventClosed) {
			require.NoError(r.t, e.Err, name)
		}
	}
}

func requireRead(t *testing.T, c net.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	_, err := io.ReadFull(c, got)
	require.NoError(t, err)
	require.True(t, string(got) == string(want), "the stream differs")
}

func requireWrite(t *testing.T, c net.Conn, b []byte) {
	t.Helper()
	n, err := c.Write(b)
	require.NoError(t, err)
	require.Equal(t, len(b), n)
}

// requireEOF requires io.EOF, and again.
func requireEOF(t *testing.T, c net.Conn) {
	t.Helper()
	for range 2 {
		n, err := c.Read(make([]byte, 10))
		require.Zero(t, n)
		require.Equal(t, io.EOF, err)
	}
}
