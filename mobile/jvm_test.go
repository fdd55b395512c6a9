package relink_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/faultnet"
)

// TestJVM builds the generated bindings for a desktop JVM, and runs a client in Java
// through 200 cuts.
func TestJVM(t *testing.T) {
	const cuts = 200
	if testing.Short() {
		t.Skip("it builds a library for half a minute: not in short mode")
	}
	for _, tool := range []string{"java", "javac", "jar", "gcc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("it needs a JDK and gcc, and there is no %s: .ci/run installs them on Debian", tool)
		}
	}
	dir := t.TempDir()
	build(t, "jvm", dir)
	compile := exec.Command("javac", "-Xlint:all", "-Werror", "-cp", dir+"/relink.jar", "-d", dir, "testdata/jvm/Client.java")
	out, err := compile.CombinedOutput()
	require.NoError(t, err, "%s", out)

	s := serve(t, nil)
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	client := exec.CommandContext(ctx, "java", "-Djava.library.path="+dir, "-cp", dir+"/relink.jar"+string(os.PathListSeparator)+dir,
		"Client", s.relay.Addr(), s.key.PublicKey().String(), strconv.Itoa(cuts))
	var said string
	stdout, err := client.StdoutPipe()
	require.NoError(t, err)
	stdin, err := client.StdinPipe()
	require.NoError(t, err)
	client.Stderr = os.Stderr
	require.NoError(t, client.Start())
	done := 0
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		switch said = lines.Text(); said {
		case "cut":
			s.relay.Cut(faultnet.Reset)
			done++
			_, err := stdin.Write([]byte{'\n'})
			require.NoError(t, err)
		default:
			t.Log(said)
		}
	}
	require.NoError(t, client.Wait())
	require.Equal(t, cuts, done)
	require.Equal(t, "done", said)
}
