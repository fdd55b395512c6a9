package network

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// stream returns a flow that wrote n bytes, and the bytes.
func stream(n int) (*flow, []byte) {
	f := &flow{seed: 7}
	var b bytes.Buffer
	for f.written < int64(n) {
		f.write(&b, min(100, n-int(f.written)))
	}
	return f, b.Bytes()
}

func TestFlowIsExact(t *testing.T) {
	for _, read := range []func(io.Reader) io.Reader{
		func(r io.Reader) io.Reader { return r },
		iotest.OneByteReader,
		iotest.HalfReader,
	} {
		f, b := stream(1234)
		f.consume(read(io.MultiReader(bytes.NewReader(b), iotest.ErrReader(io.EOF))))
		if f.wrong != nil || f.read != 1234 {
			t.Errorf("%d bytes, %v", f.read, f.wrong)
		}
	}
}

// What is lost, doubled, swapped, changed or of another flow shows.
func TestFlowFindsWhatIsWrong(t *testing.T) {
	_, b := stream(1000)
	other := &flow{seed: 8}
	foreign := make([]byte, 1000)
	other.fill(foreign, 0)
	for name, wrong := range map[string][]byte{
		"lost":    append(bytes.Clone(b[:500]), b[501:]...),
		"lost 8":  append(bytes.Clone(b[:500]), b[508:]...),
		"doubled": append(bytes.Clone(b[:500]), b[400:]...),
		"swapped": append(append(bytes.Clone(b[:500]), b[600:700]...), b[500:600]...),
		"changed": append(append(bytes.Clone(b[:500]), ^b[500]), b[501:]...),
		"foreign": foreign,
	} {
		f, _ := stream(1000)
		f.consume(bytes.NewReader(wrong))
		if err := f.exact(); err == nil || !strings.Contains(err.Error(), "offset") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, n := range map[string]int{"one too few": 999, "one too many": 1001} {
		f, _ := stream(1000)
		_, b := stream(n)
		f.consume(io.MultiReader(bytes.NewReader(b), &silent{f}))
		if f.exact() == nil {
			t.Error(name, "was exact")
		}
	}
}

// silent ends a stream as the end of a run does, which is no failure.
type silent struct{ f *flow }

func (s *silent) Read([]byte) (int, error) { return 0, io.EOF }
