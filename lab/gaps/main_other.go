//go:build !linux

// Gaps needs network namespaces, which are Linux's.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "gaps: this command needs Linux: it builds networks of network namespaces")
	os.Exit(2)
}
