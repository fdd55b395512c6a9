package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/bench/internal/experiment"
	"github.com/relink-go/relink/bench/internal/helper"
)

func TestMain(m *testing.M) {
	if helper.Main() {
		return
	}
	os.Exit(m.Run())
}

// A run leads to a document whose links lead somewhere and whose plots are
// well-formed.
func TestDocument(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "benchmarks", "old.svg")
	require.NoError(t, os.MkdirAll(filepath.Dir(old), 0o755))
	require.NoError(t, os.WriteFile(old, nil, 0o644))

	var said bytes.Buffer
	o := options{only: regexp.MustCompile("^(throughput|allocations)$"), out: dir, scale: experiment.Tiny()}
	require.NoError(t, measureAll(t.Context(), o, "go test", &said))
	document, err := os.ReadFile(filepath.Join(dir, "benchmarks.md"))
	require.NoError(t, err)
	links := regexp.MustCompile(`\]\((benchmarks/[^)]+)\)`).FindAllSubmatch(document, -1)
	require.NotEmpty(t, links)
	for _, l := range links {
		plot, err := os.ReadFile(filepath.Join(dir, string(l[1])))
		require.NoError(t, err)
		requireWellFormed(t, plot)
	}
	for _, x := range experiment.All() {
		require.Equal(t, o.only.MatchString(x.Name), bytes.Contains(document, []byte("## "+x.Title+"\n")), x.Name)
	}
	require.Contains(t, string(document), "not measured")
	require.NotContains(t, string(document), "NaN")
	require.Contains(t, said.String(), "Goals")
	require.NoFileExists(t, old, "a plot of an earlier run")
}

func requireWellFormed(t *testing.T, svg []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
	}
}

func TestParse(t *testing.T) {
	var said bytes.Buffer
	o, err := parse(nil, &said)
	require.NoError(t, err)
	require.Equal(t, "docs", o.out)
	require.Equal(t, experiment.Complete(), o.scale)
	o, err = parse([]string{"-quick", "-rounds", "9", "-time", "1s"}, &said)
	require.NoError(t, err)
	require.Empty(t, o.out, "a quick run replaces no document unless it is told to")
	require.Equal(t, 9, o.scale.Rounds)
	o, err = parse([]string{"-only", "echo"}, &said)
	require.NoError(t, err)
	require.Empty(t, o.out)
	require.True(t, o.only.MatchString("echo"))
	for _, wrong := range [][]string{{"-only", "("}, {"more"}, {"-nothing"}} {
		_, err = parse(wrong, &said)
		require.Error(t, err)
	}
	require.ErrorContains(t, run(t.Context(), []string{"-only", "no such thing"}, &said), "no experiment")
}
