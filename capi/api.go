// Command capi is relink as a library for C: see relink.h and README.md beside it. It
// is the binding for phones, package mobile, with numbers in place of objects.
//
//	go build -buildmode=c-shared -o librelink.so .
package main

/*
#include <stdlib.h>
#include "relink.h"
#include "lasterror.h"
*/
import "C"

import (
	"fmt"
	"strings"
	"unsafe"

	relink "github.com/relink-go/relink/mobile"
)

func main() {} // a library has none, and the build mode wants one

// fail keeps an error for the calling thread, and returns -1.
func fail(err error) C.int {
	code := relink.ErrorCode(err.Error())
	text := C.CString(strings.TrimPrefix(err.Error(), "[relink:"+code+"] "))
	word := C.CString(code)
	C.relink_keep_error(word, text)
	C.free(unsafe.Pointer(text))
	C.free(unsafe.Pointer(word))
	return -1
}

// result is fail for what may have gone well.
func result(err error) C.int {
	if err != nil {
		return fail(err)
	}
	return 0
}

// argument says what is wrong with an argument, as package mobile does.
func argument(format string, args ...any) error {
	return fmt.Errorf("[relink:"+relink.CodeArgument+"] "+format, args...)
}

// guard turns a panic into an error: nothing ends the program.
func guard(call string, status *C.int) {
	if panicked := recover(); panicked != nil {
		*status = fail(fmt.Errorf("[relink:"+relink.CodeInternal+"] %s: %v", call, panicked))
	}
}

//export relink_config_new
func relink_config_new() C.relink_handle { return C.relink_handle(put(relink.NewConfig())) }

//export relink_config_set
func relink_config_set(config C.relink_handle, name, value C.relink_text) (status C.int) {
	defer guard("relink_config_set", &status)
	c, err := get[*relink.Config](config)
	if err != nil {
		return fail(err)
	}
	if name == nil || value == nil {
		return fail(argument("relink_config_set: the name or the value is NULL"))
	}
	return result(set(c, C.GoString(name), C.GoString(value)))
}

//export relink_dial
func relink_dial(config C.relink_handle) (conn C.relink_handle) {
	var status C.int
	defer guard("relink_dial", &status)
	c, err := get[*relink.Config](config)
	if err != nil {
		fail(err)
		return 0
	}
	opened, err := relink.Dial(c)
	if err != nil {
		fail(err)
		return 0
	}
	return C.relink_handle(put(opened))
}

//export relink_read
func relink_read(conn C.relink_handle, buffer unsafe.Pointer, size C.size_t) (n C.int64_t) {
	status := C.int(0)
	defer func() {
		if status != 0 {
			n = -1
		}
	}()
	defer guard("relink_read", &status)
	c, err := get[*relink.Conn](conn)
	if err != nil {
		status = fail(err)
		return
	}
	if buffer == nil || size == 0 {
		status = fail(argument("relink_read: there is no room: the buffer is NULL, or its size is 0"))
		return
	}
	data, err := c.Read(int64(min(size, relink.MaxBuffer)))
	if err != nil {
		if relink.ErrorCode(err.Error()) != relink.CodeEnd {
			status = fail(err)
		}
		return 0
	}
	return C.int64_t(copy(unsafe.Slice((*byte)(buffer), len(data)), data))
}

// bytesOf copies what C hands over.
func bytesOf(call string, data C.relink_bytes, size C.size_t) ([]byte, error) {
	if size > relink.MaxBuffer {
		return nil, argument("%s: %d bytes at once; at most %d", call, uint64(size), relink.MaxBuffer)
	}
	if data == nil && size > 0 {
		return nil, argument("%s: the data is NULL", call)
	}
	return C.GoBytes(unsafe.Pointer(data), C.int(size)), nil
}

//export relink_write
func relink_write(conn C.relink_handle, data C.relink_bytes, size C.size_t) (status C.int) {
	defer guard("relink_write", &status)
	c, err := get[*relink.Conn](conn)
	if err != nil {
		return fail(err)
	}
	b, err := bytesOf("relink_write", data, size)
	if err != nil {
		return fail(err)
	}
	if len(b) == 0 {
		return 0
	}
	return result(c.Write(b))
}

//export relink_try_write
func relink_try_write(conn C.relink_handle, data C.relink_bytes, size C.size_t) (status C.int) {
	defer guard("relink_try_write", &status)
	c, err := get[*relink.Conn](conn)
	if err != nil {
		return fail(err)
	}
	b, err := bytesOf("relink_try_write", data, size)
	if err != nil {
		return fail(err)
	}
	if len(b) == 0 {
		return 1
	}
	if err := c.TryWrite(b); err != nil {
		if relink.ErrorCode(err.Error()) == relink.CodeNoRoom {
			return 0
		}
		return fail(err)
	}
	return 1
}

//export relink_set_timeouts
func relink_set_timeouts(conn C.relink_handle, readMillis, writeMillis C.int64_t) (status C.int) {
	defer guard("relink_set_timeouts", &status)
	return with(conn, func(c *relink.Conn) error {
		if err := c.SetReadTimeout(int64(readMillis)); err != nil {
			return err
		}
		return c.SetWriteTimeout(int64(writeMillis))
	})
}

//export relink_flush
func relink_flush(conn C.relink_handle, millis C.int64_t) (status C.int) {
	defer guard("relink_flush", &status)
	return with(conn, func(c *relink.Conn) error { return c.Flush(int64(millis)) })
}

//export relink_close_write
func relink_close_write(conn C.relink_handle) (status C.int) {
	defer guard("relink_close_write", &status)
	return with(conn, (*relink.Conn).CloseWrite)
}

//export relink_close
func relink_close(conn C.relink_handle, millis C.int64_t) (status C.int) {
	defer guard("relink_close", &status)
	return with(conn, func(c *relink.Conn) error { return c.CloseWait(int64(millis)) })
}

//export relink_abort
func relink_abort(conn C.relink_handle) (status C.int) {
	defer guard("relink_abort", &status)
	return with(conn, (*relink.Conn).Abort)
}

//export relink_network_changed
func relink_network_changed(conn C.relink_handle) (status C.int) {
	defer guard("relink_network_changed", &status)
	return with(conn, (*relink.Conn).NetworkChanged)
}

// with calls a method of a connection.
func with(conn C.relink_handle, call func(*relink.Conn) error) C.int {
	c, err := get[*relink.Conn](conn)
	if err != nil {
		return fail(err)
	}
	return result(call(c))
}

//export relink_state_of
func relink_state_of(conn C.relink_handle) (state C.int) {
	var status C.int
	defer guard("relink_state_of", &status)
	c, err := get[*relink.Conn](conn)
	if err != nil {
		fail(err)
		return C.RELINK_NONE
	}
	return stateOf(c.State())
}

//export relink_stats_of
func relink_stats_of(conn C.relink_handle, stats *C.struct_relink_stats) (status C.int) {
	defer guard("relink_stats_of", &status)
	if stats == nil {
		return fail(argument("relink_stats_of: there is nowhere to put them: stats is NULL"))
	}
	return with(conn, func(c *relink.Conn) error {
		s := c.Stats()
		*stats = C.struct_relink_stats{
			bytes_read: C.int64_t(s.BytesRead), bytes_written: C.int64_t(s.BytesWritten), bytes_pending: C.int64_t(s.BytesPending),
			resumes: C.int64_t(s.Resumes), replayed: C.int64_t(s.Replayed),
			longest_gap_ms: C.int64_t(s.LongestGapMillis), memory: C.int64_t(s.Memory),
		}
		return nil
	})
}

//export relink_proxy_start
func relink_proxy_start(config C.relink_handle) (proxy C.relink_handle) {
	var status C.int
	defer guard("relink_proxy_start", &status)
	c, err := get[*relink.Config](config)
	if err != nil {
		fail(err)
		return 0
	}
	started, err := relink.StartProxy(c)
	if err != nil {
		fail(err)
		return 0
	}
	return C.relink_handle(put(started))
}

//export relink_proxy_port
func relink_proxy_port(proxy C.relink_handle) (port C.int) {
	defer guard("relink_proxy_port", &port)
	p, err := get[*relink.LocalProxy](proxy)
	if err != nil {
		return fail(err)
	}
	return C.int(p.Port())
}

//export relink_free
func relink_free(handle C.relink_handle) (status C.int) {
	defer guard("relink_free", &status)
	switch v := take(handle).(type) {
	case nil:
		return fail(argument("relink_free: there is no handle %d", int64(handle)))
	case *relink.Conn:
		_ = v.Abort() // after a Close it changes nothing
	case *relink.LocalProxy:
		return result(v.Close())
	}
	return 0
}
