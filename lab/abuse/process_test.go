package abuse

import (
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain makes the test's program one of its other processes, if a variable of
// the environment says so.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(attackerVariable) != "":
		attackerProcess()
	case os.Getenv(strangerVariable) != "":
		strangerProcess()
	case os.Getenv(fullServerVariable) != "":
		fullServerProcess()
	default:
		os.Exit(m.Run())
	}
}

// startProcess starts the test's program once more with the variable set. It ends
// when its input does; end closes that and waits, and so does the test's end.
func startProcess(t *testing.T, variable string) (in io.Writer, out io.Reader, end func()) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), variable+"=1")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	ended := false
	end = func() {
		if ended {
			return
		}
		ended = true
		_ = stdin.Close()
		require.NoError(t, cmd.Wait())
	}
	t.Cleanup(end)
	return stdin, stdout, end
}
