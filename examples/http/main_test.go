package main

import (
	"bytes"
	"flag"
	"strings"
	"sync"
	"testing"

	"github.com/relink-go/relink/examples/internal/suiteflag"
)

func TestDownloadThroughCuts(t *testing.T) {
	for _, name := range suiteflag.Names() {
		t.Run(name, func(t *testing.T) {
			flags := flag.NewFlagSet("http", flag.ContinueOnError)
			suite := suiteflag.Register(flags)
			if err := flags.Parse([]string{"-suite", name}); err != nil {
				t.Fatal(err)
			}
			var out lockedBuffer
			if err := run(suite, &out); err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			text := out.String()
			if n := strings.Count(text, "relink: resumed"); n != 2 {
				t.Errorf("resumed %d times, want 2:\n%s", n, text)
			}
			if !strings.Contains(text, "6291456 bytes in one download") {
				t.Errorf("the result is missing:\n%s", text)
			}
		})
	}
}

// A lockedBuffer is a buffer that the logger and the test share.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
