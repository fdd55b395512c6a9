// Worker is one end of a measurement of compare, which builds it from each of the
// two versions that it compares.
package main

import (
	"fmt"
	"os"

	"github.com/relink-go/relink/bench/internal/apart"
	"github.com/relink-go/relink/bench/internal/process"
)

func main() {
	if !process.Serve(map[string]any{apart.Service: new(apart.End)}) {
		fmt.Fprintln(os.Stderr, "worker: compare starts this program; it does nothing by itself")
		os.Exit(1)
	}
}
