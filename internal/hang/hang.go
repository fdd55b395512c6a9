// Package hang finds tests that hang, within seconds and however slow the machine is,
// and says what state they hang in.
//
// A bubble of testing/synctest that can never go on panics by itself, but only if
// all its goroutines wait for one another in ways that synctest knows. One that waits for
// a mutex whose holder waits too is not found: the test lasts until the time of the whole
// process is up, which prints no state but stacks. [Watch] looks from outside.
package hang

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"time"
)

// look is how often a watched test is looked at. Three looks in a row at which
// nobody can run mean that nobody ever will.
const look = 700 * time.Millisecond

// Watch panics if the process hangs before stop is called: if no goroutine but the
// watch's own can run, and this time after time, or when limit has passed. What it says
// is what describe returns, which must not wait for anything, and all stacks. It is
// called outside of any bubble, because it goes by real time, and only where the process
// does nothing else: what another test is computing looks like life.
func Watch(limit time.Duration, describe func() string) (stop func()) {
	w := &watch{began: time.Now(), limit: limit, describe: describe}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(look, w.look)
	return w.stop
}

type watch struct {
	began    time.Time // constant, like the next two
	limit    time.Duration
	describe func() string

	mu      sync.Mutex // guards everything below
	timer   *time.Timer
	idle    int // looks in a row at which nobody could run
	stopped bool
}

func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.timer.Stop()
}

func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stopped {
		return
	}
	stacks := Stacks()
	if w.idle++; Lively(stacks) {
		w.idle = 0
	}
	switch {
	case w.idle >= 3:
		panic("hangs: nobody can go on\n" + w.describe() + "\n" + stacks)
	case time.Since(w.began) > w.limit:
		panic(fmt.Sprintf("hangs: not over after %v\n%s\n%s", w.limit, w.describe(), stacks))
	}
	w.timer.Reset(look)
}

// Stacks returns the stacks of all goroutines.
func Stacks() string {
	b := make([]byte, 1<<20)
	return string(b[:runtime.Stack(b, true)])
}

// Lively reports whether a goroutine beside the first, which has asked for the stacks,
// is doing something, or waits for what the system will bring or for time.
func Lively(stacks string) bool {
	for i, g := range strings.Split(stacks, "\n\n") {
		_, state, ok := strings.Cut(g, " [")
		if i == 0 || !ok || !strings.HasPrefix(g, "goroutine ") {
			continue
		}
		state, _, _ = strings.Cut(state, "]")
		bubbled := strings.Contains(state, "synctest bubble")
		state, _, _ = strings.Cut(state, ",")
		if strings.HasPrefix(state, "GC ") {
			return true // it is made to help, or to wait
		}
		switch state {
		case "running", "runnable", "syscall", "IO wait", "preempted", "copystack", "waiting":
			return true
		case "sleep":
			if !bubbled { // else its time stands still as long as anybody is not known to wait
				return true
			}
		}
	}
	return false
}

// Describe returns the fields of what v points to, and of what those point to in
// the same package, without calling any method and without any lock: for use
// when nothing goes on.
func Describe(v any) string {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return fmt.Sprintf("%T, nothing", v)
	}
	var b strings.Builder
	describe(&b, p.Elem(), "", make(map[uintptr]bool))
	return b.String()
}

func describe(b *strings.Builder, v reflect.Value, indent string, seen map[uintptr]bool) {
	t := v.Type()
	fmt.Fprintf(b, "%s:", t.Name())
	for i := range v.NumField() {
		f := v.Field(i)
		switch {
		case f.Kind() == reflect.Pointer && !f.IsNil() && f.Elem().Kind() == reflect.Struct && f.Elem().Type().PkgPath() == t.PkgPath() && len(indent) < 6:
			if seen[f.Pointer()] {
				continue
			}
			seen[f.Pointer()] = true
			fmt.Fprintf(b, "\n%s  %s → ", indent, t.Field(i).Name)
			describe(b, f.Elem(), indent+"  ", seen)
			fmt.Fprintf(b, "\n%s ", indent)
		case f.Kind() == reflect.Slice && f.Len() > 16:
			fmt.Fprintf(b, " %s=%d of %v", t.Field(i).Name, f.Len(), f.Type().Elem())
		case !f.IsZero():
			fmt.Fprintf(b, " %s=%+v", t.Field(i).Name, f)
		}
	}
}
