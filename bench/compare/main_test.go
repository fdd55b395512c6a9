package main

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/bench/internal/apart"
	"github.com/relink-go/relink/bench/internal/subject"
)

func TestParse(t *testing.T) {
	var said bytes.Buffer
	o, err := parse([]string{"-old", "main", "-only", "write64k,echo128", "-suite", "noise,TCP", "-conns", "1,16", "-procs", "1,2", "-layouts", "3"}, &said)
	require.NoError(t, err)
	require.Equal(t, "main", o.old)
	require.Equal(t, ".", o.new)
	require.Equal(t, 3, o.layouts)
	require.Len(t, o.cases, 2*2*2*2)
	require.Equal(t, "write 64 KiB", o.cases[0].work.name)
	require.Equal(t, apart.Setup{Subject: subject.Noise, Conns: 1, GOMAXPROCS: 1}, o.cases[0].setup)
	require.Equal(t, apart.Setup{Subject: subject.TCP, Conns: 16, GOMAXPROCS: 2, Pin: apart.OneCore}, o.cases[len(o.cases)-1].setup)

	o, err = parse([]string{"-old", "main", "-only", "echo128", "-pin", "each"}, &said)
	require.NoError(t, err)
	require.Equal(t, apart.CoreEach, o.cases[0].setup.Pin)

	o, err = parse([]string{"-old", "main", "-only", "storm2k,idle300,resume", "-suite", "SCP", "-conns", "1,8"}, &said)
	require.NoError(t, err)
	var conns []int
	for _, c := range o.cases {
		conns = append(conns, c.setup.Conns)
	}
	require.Equal(t, []int{2000, 300, 1, 8}, conns)

	for wrong, says := range map[string]string{
		"":                         "-old",
		"-old main more":           "more",
		"-old main -rounds 0":      "-rounds",
		"-old main -layouts 0":     "-layouts",
		"-old main -time 0s":       "-time",
		"-old main -pin two":       "two",
		"-old main -conns 0":       "-conns",
		"-old main -procs x":       "-procs",
		"-old main -only read1":    "read1",
		"-old main -only write0":   "write0",
		"-old main -only echo999M": "echo999M",
		"-old main -only echo":     "takes a number",
		"-old main -only storm":    "takes a number",
		"-old main -only idle999k": "takes a number",
		"-old main -only session5": "-conns",
		"-old main -only resume5k": "-conns",
	} {
		_, err := parse(strings.Fields(wrong), &said)
		require.ErrorContains(t, err, says, wrong)
	}
}

// The table has the median of the rounds' ratios.
func TestTable(t *testing.T) {
	w, err := parseWork("write1k")
	require.NoError(t, err)
	c := testCase{work: w, setup: apart.Setup{Subject: subject.Noise, Conns: 4}}
	for _, speed := range [][2]float64{{100e6, 110e6}, {100e6, 130e6}, {200e6, 240e6}} {
		for k := range c.found {
			c.found[k] = append(c.found[k], apart.Result{Rate: speed[k], Processor: 2e-9})
		}
	}
	var said bytes.Buffer
	require.NoError(t, write(&said, options{old: "a", new: "b", cases: []testCase{c}}))
	require.Regexp(t, `write 1 KiB +relink Noise +4 +default +MB/s +100 +130 +1\.200 \[1\.150–1\.250\] +more +3`, said.String())
	require.Regexp(t, `processor s/GB +2\.00 +2\.00 +1\.000 \[1\.000–1\.000\] +less +3`, said.String())
}

// This checkout is compared with itself, in two layouts.
func TestRun(t *testing.T) {
	root := filepath.Join("..", "..")
	var said bytes.Buffer
	require.NoError(t, run(t.Context(), []string{
		"-old", root, "-new", root, "-rounds", "2", "-layouts", "2",
		"-only", "write1k,echo128,session,resume,storm20", "-suite", "TCP", "-warm", "0s", "-time", "50ms",
	}, &said))
	require.Regexp(t, `write 1 KiB +TCP +1 +default +MB/s `, said.String())
	require.Regexp(t, `new session +TCP +1 +default +server's µs `, said.String())
	require.Regexp(t, `resume +TCP +1 +default +p50 µs `, said.String())
	require.Regexp(t, `storm of 20 +TCP +20 +default +a second `, said.String())
	require.Regexp(t, `echo 128 B +TCP +1 +default +p99 µs `, said.String())
}

// A revision is built as well, whatever it has of the instrument.
func TestRevision(t *testing.T) {
	if err := exec.CommandContext(t.Context(), "git", "rev-parse", "--verify", "HEAD").Run(); err != nil {
		t.Skip("this is no clone: there are no revisions to build")
	}
	scratch := t.TempDir()
	v, err := find(t.Context(), "HEAD", scratch)
	require.NoError(t, err)
	for _, p := range workerPackages {
		require.NoError(t, os.RemoveAll(filepath.Join(v.root, "bench", p)))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(v.root, "bench", "compare", "worker"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(v.root, "bench", "compare", "worker", "other.go"), []byte("does not compile"), 0o600))
	bench, err := benchDir(t.Context())
	require.NoError(t, err)
	require.NoError(t, v.build(t.Context(), bench, scratch, 1))
	r, err := apart.Throughput(t.Context(), apart.Setup{Executable: v.workers[0], Subject: subject.DH64RC4, Conns: 1}, apart.Writing{Size: 1000}, apart.Window{Length: 100 * time.Millisecond})
	require.NoError(t, err)
	require.Positive(t, r.Rate)
}

func TestMistakesAreReported(t *testing.T) {
	var said bytes.Buffer
	require.ErrorContains(t, run(t.Context(), []string{"-old", "no-such-version"}, &said), "neither a directory nor a revision")
	require.ErrorContains(t, run(t.Context(), []string{"-old", t.TempDir()}, &said), "not the root of a checkout")

	broken := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(broken, "bench"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(broken, "bench", "go.mod"), []byte("module nothing\n"), 0o600))
	require.ErrorContains(t, run(t.Context(), []string{"-old", broken}, &said), "building "+broken)

	root := filepath.Join("..", "..")
	err := run(t.Context(), []string{"-old", root, "-new", root, "-suite", "nothing", "-only", "echo1", "-rounds", "1"}, &said)
	require.ErrorContains(t, err, `no subject is called "nothing"`)
}

// An archive does not write outside of its directory.
func TestUnpack(t *testing.T) {
	dir := t.TempDir()
	into := filepath.Join(dir, "into")
	require.NoError(t, os.Mkdir(into, 0o755))
	archive := filepath.Join(dir, "a.tar")
	pack := func(name string) {
		f, err := os.Create(archive)
		require.NoError(t, err)
		w := tar.NewWriter(f)
		require.NoError(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 2, Mode: 0o644}))
		_, err = w.Write([]byte("hi"))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		require.NoError(t, f.Close())
	}
	pack("inside")
	require.NoError(t, unpack(archive, into))
	b, err := os.ReadFile(filepath.Join(into, "inside"))
	require.NoError(t, err)
	require.Equal(t, "hi", string(b))
	pack("../outside")
	require.Error(t, unpack(archive, into))
	require.NoFileExists(t, filepath.Join(dir, "outside"))
}
