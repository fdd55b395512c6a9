package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// A source is what is sent.
type source struct {
	io.Reader
	io.Closer
	name string
	size int64
}

// open opens the file, or makes a source of random data, the same each time.
func (o options) open() (*source, error) {
	if o.file == "" {
		random := io.NopCloser(rand.NewChaCha8([32]byte{}))
		return &source{random, random, "random data", o.size}, nil
	}
	f, err := os.Open(o.file)
	if err != nil {
		return nil, fmt.Errorf("%w: name another file with -file, or use -size 64M", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file, whose size would be known: name another with -file", o.file)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &source{f, f, o.file, info.Size()}, nil
}

// goBinary returns a large file that is there wherever this example is: the go
// command, or else this program.
func goBinary() string {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err == nil {
		name := filepath.Join(strings.TrimSpace(string(root)), "bin", "go")
		if runtime.GOOS == "windows" {
			name += ".exe"
		}
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
			return name
		}
	}
	self, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return self
}

// units are the suffixes of sizes, each 1024 times the one before.
const units = "KMGT"

// parseSize reads a number of bytes such as 500000, 64M or 2GiB.
func parseSize(s string) (int64, error) {
	digits := strings.TrimRight(strings.ToUpper(s), "IB")
	shift := 0
	if n := len(digits); n > 0 {
		if i := strings.IndexByte(units, digits[n-1]); i >= 0 {
			digits, shift = digits[:n-1], 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n<<shift>>shift != n {
		return 0, errors.New("want a number of bytes, such as 500000, 64M or 2G")
	}
	return n << shift, nil
}

// formatSize is the reverse of parseSize, for people.
func formatSize(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d bytes", n)
	}
	x, i := float64(n)/(1<<10), 0
	for ; x >= 1<<10 && i+1 < len(units); i++ {
		x /= 1 << 10
	}
	return fmt.Sprintf("%.1f %ciB", x, units[i])
}
