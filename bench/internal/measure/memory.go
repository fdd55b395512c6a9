package measure

import "runtime"

// Memory is what a process holds at a moment.
type Memory struct {
	Heap       float64 // bytes of live objects
	Stacks     float64 // bytes of the goroutines' stacks
	Goroutines int
}

// TakeMemory collects garbage and returns what is left. Two collections, since
// the first only prepares what pools give back in the second.
func TakeMemory() Memory {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return Memory{Heap: float64(m.HeapAlloc), Stacks: float64(m.StackInuse), Goroutines: runtime.NumGoroutine()}
}

// Since returns how much more is held than before.
func (m Memory) Since(before Memory) Memory {
	return Memory{m.Heap - before.Heap, m.Stacks - before.Stacks, m.Goroutines - before.Goroutines}
}

// Mallocs returns how many objects the process has allocated so far.
func Mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}
