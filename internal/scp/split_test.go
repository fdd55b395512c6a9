package scp

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/suite"
)

// A carriage return is none of an answer's, wherever it is.
func TestSplitCarriageReturn(t *testing.T) {
	for _, content := range []string{"\r", "\ra\nb", "a\r\nb", "a\nb\r"} {
		_, err := split([]byte(content), 3)
		require.ErrorIs(t, err, suite.ErrProtocol, "%q", content)
	}
	lines, err := split([]byte("a\nb"), 3)
	require.NoError(t, err)
	require.Len(t, lines, 2)
}
