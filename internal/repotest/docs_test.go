package repotest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each decision stands in the list of them, under the title that it has, and says its status.
func TestDecisionsAreListed(t *testing.T) {
	t.Parallel()
	list, err := os.ReadFile("docs/adr/README.md")
	require.NoError(t, err)
	files, err := filepath.Glob("docs/adr/[0-9]*.md")
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		title := regexp.MustCompile(`^# (\d+)\. (.+)\n`).FindStringSubmatch(string(text))
		require.NotNil(t, title, "%s begins with \"# number. title\"", file)
		require.Contains(t, string(list), "- ["+title[1]+"]("+filepath.Base(file)+"): "+title[2]+"\n", "docs/adr/README.md lists %s", file)
		require.Contains(t, string(text), "\n**Status**: accepted", "%s says its status", file)
	}
	require.Len(t, regexp.MustCompile(`(?m)^- \[`).FindAll(list, -1), len(files), "docs/adr/README.md lists what is there, once")
}

// Each page of docs/ and each specification can be reached from docs/README.md.
func TestPagesAreListed(t *testing.T) {
	t.Parallel()
	list, err := os.ReadFile("docs/README.md")
	require.NoError(t, err)
	for _, pattern := range []string{"docs/*.md", "docs/spec/*.md"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			if page := strings.TrimPrefix(filepath.ToSlash(file), "docs/"); page != "README.md" {
				require.Contains(t, string(list), "]("+page+")", "docs/README.md lists %s", file)
			}
		}
	}
}
