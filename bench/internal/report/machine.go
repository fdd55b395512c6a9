package report

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
)

// A Machine is where a run took place.
type Machine struct {
	Processor string
	Cores     int
	Memory    string
	System    string
	Go        string
	Modules   []string // of the rivals and what they use, with versions
}

// rivals are the modules whose versions matter.
var rivals = []string{
	"github.com/hashicorp/yamux", "github.com/quic-go/quic-go", "github.com/flynn/noise", "golang.org/x/crypto",
}

// ThisMachine asks the system.
func ThisMachine() Machine {
	m := Machine{
		Processor: field("/proc/cpuinfo", "model name"),
		Cores:     runtime.NumCPU(),
		Memory:    field("/proc/meminfo", "MemTotal"),
		System:    runtime.GOOS + "/" + runtime.GOARCH,
		Go:        runtime.Version(),
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.System += ", Linux " + strings.TrimSpace(string(b))
	}
	if m.Processor == "" { // macOS has a command for it
		if b, err := exec.Command("sysctl", "-n", "machdep.cpu.brand_string").Output(); err == nil {
			m.Processor = strings.TrimSpace(string(b))
		}
	}
	if m.Processor == "" {
		m.Processor = "unknown processor"
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			for _, r := range rivals {
				if d.Path == r {
					m.Modules = append(m.Modules, d.Path+" "+d.Version)
				}
			}
		}
	}
	return m
}

// field returns the value of the first line "name : value" of a file of Linux's
// proc, or nothing.
func field(file, name string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range bytes.Lines(b) {
		key, value, ok := strings.Cut(string(line), ":")
		if ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
