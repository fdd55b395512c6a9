//go:build !unix

package main

import "syscall"

// asUser is for where there is a root, who needs it.
func asUser(uint32) *syscall.SysProcAttr { return nil }
