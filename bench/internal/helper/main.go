// Package helper holds what runs in processes of their own beside the two ends of
// package apart: crowds of sessions, and parties with an even load.
package helper

import (
	"github.com/relink-go/relink/bench/internal/apart"
	"github.com/relink-go/relink/bench/internal/process"
)

// Main serves calls until the parent is gone, if this process was started by
// [process.Start], and reports whether it was. A program calls it first of all.
func Main() bool {
	return process.Serve(map[string]any{"Party": new(Party), "Crowd": new(Crowd), apart.Service: new(apart.End)})
}
