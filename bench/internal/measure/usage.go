package measure

import "time"

// Usage is what a process has used so far.
type Usage struct {
	Processor time.Duration // user and system
	Switches  int64         // context switches, where the system tells
}

// TakeUsage returns what this process has used so far.
func TakeUsage() Usage {
	spent, _ := ProcessorTime()
	return Usage{Processor: spent, Switches: contextSwitches()}
}

// Since returns how much more was used than before.
func (u Usage) Since(before Usage) Usage {
	return Usage{u.Processor - before.Processor, u.Switches - before.Switches}
}

// And returns the sum of both.
func (u Usage) And(other Usage) Usage {
	return Usage{u.Processor + other.Processor, u.Switches + other.Switches}
}
