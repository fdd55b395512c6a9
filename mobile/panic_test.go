package relink_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	relink "github.com/relink-go/relink/mobile"
)

// TestCrashOutput: what ends the process is in the file afterwards.
func TestCrashOutput(t *testing.T) {
	const variable = "RELINK_CRASH_OUTPUT"
	if path := os.Getenv(variable); path != "" { // the process that is to crash
		require.NoError(t, relink.SetCrashOutput(path))
		done := make(chan struct{})
		go func() { panic("on purpose") }()
		<-done
	}
	path := filepath.Join(t.TempDir(), "crash")
	require.NoError(t, os.WriteFile(path, []byte("an earlier one\n"), 0o600))
	crash := exec.Command(os.Args[0], "-test.run=^TestCrashOutput$")
	crash.Env = append(os.Environ(), variable+"="+path)
	require.Error(t, crash.Run())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(text), "an earlier one\n")
	require.Contains(t, string(text), "panic: on purpose")
	require.Contains(t, string(text), "TestCrashOutput")

	requireCode(t, relink.CodeArgument, relink.SetCrashOutput(filepath.Join(path, "below a file")))
	require.NoError(t, relink.SetCrashOutput(path))
	require.NoError(t, relink.SetCrashOutput(""))
}
