//go:build !linux

package abuse

// fullServerVariable is for the test of a process without descriptors, which
// needs limits as Linux has them.
const fullServerVariable = "RELINK_ABUSE_FULL_SERVER"

func fullServerProcess() {}
