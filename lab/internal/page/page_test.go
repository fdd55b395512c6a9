package page_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/lab/internal/page"
)

func TestPart(t *testing.T) {
	const begin, end = "<!-- begin: a command -->\n", "<!-- end: a command -->\n"
	part := page.Part{Command: "a command"}
	file := filepath.Join(t.TempDir(), "page.md")
	write := func(s string) { require.NoError(t, os.WriteFile(file, []byte(s), 0o600)) }

	write("before\n" + begin + "old\n" + end + "after\n")
	text, err := part.Read(file)
	require.NoError(t, err)
	require.Equal(t, "old\n", text)
	for _, text := range []string{"new\n", "newer\n"} {
		require.NoError(t, part.Write(file, text))
		got, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, "before\n"+begin+"\n"+text+"\n"+end+"after\n", string(got))
		read, err := part.Read(file)
		require.NoError(t, err)
		require.Equal(t, "\n"+text+"\n", read)
	}
	for _, broken := range []string{"", begin, end, end + begin} {
		write(broken)
		require.Error(t, part.Write(file, "new\n"))
		_, err := part.Read(file)
		require.Error(t, err)
	}
	require.Error(t, part.Write(file+".none", "new\n"))
	_, err = part.Read(file + ".none")
	require.Error(t, err)
}
