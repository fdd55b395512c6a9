package main

/*
#include "relink.h"
*/
import "C"

import "sync"

// What C holds are numbers, which are never used again: a freed one is an error and not
// somebody else's connection.
var (
	handles  = map[int64]any{}
	lastUsed int64
	mu       sync.Mutex // guards both
)

func put(v any) int64 {
	mu.Lock()
	defer mu.Unlock()
	lastUsed++
	handles[lastUsed] = v
	return lastUsed
}

// get returns what a handle stands for, if it is of the kind that is wanted.
func get[T any](handle C.relink_handle) (v T, err error) {
	mu.Lock()
	defer mu.Unlock()
	held, ok := handles[int64(handle)]
	if !ok {
		return v, argument("there is no handle %d: it is wrong, or was freed", int64(handle))
	}
	if v, ok = held.(T); !ok {
		return v, argument("handle %d is of another kind: a connection, a configuration and a proxy are not the same", int64(handle))
	}
	return v, nil
}

// take returns what a handle stands for and forgets it, or nil.
func take(handle C.relink_handle) any {
	mu.Lock()
	defer mu.Unlock()
	v := handles[int64(handle)]
	delete(handles, int64(handle))
	return v
}
