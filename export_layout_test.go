package relink

import (
	"reflect"
	"unsafe"
)

// lineSize is that of a line of the processor's cache.
const lineSize = 64

// SizeOfConn is what a Conn takes, without what it refers to.
const SizeOfConn = unsafe.Sizeof(Conn{})

// LinesOfConn returns in how many lines the fields of a Conn lie, behind the word
// that the runtime puts before it.
func LinesOfConn(fields ...string) int {
	lines := make(map[uintptr]bool)
	for _, name := range fields {
		f, ok := reflect.TypeFor[Conn]().FieldByName(name)
		if !ok {
			panic("Conn has no field " + name)
		}
		for at := range f.Type.Size() {
			lines[(unsafe.Sizeof(uintptr(0))+f.Offset+at)/lineSize] = true
		}
	}
	return len(lines)
}

// LinesOfFraming returns how many lines a framing takes.
func LinesOfFraming() uintptr { return (unsafe.Sizeof(framing{}) + lineSize - 1) / lineSize }

// LinesOfLink returns how many lines of a link are touched by what comes first.
func LinesOfLink() uintptr { return unsafe.Offsetof(link{}.input) / lineSize }
