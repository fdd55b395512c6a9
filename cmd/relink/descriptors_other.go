//go:build !unix

package main

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// restartSignal is none that comes: sockets cannot be handed over here.
const restartSignal = syscall.Signal(0)

var errNoHandover = errors.New("sockets cannot be handed to another process on this system")

func writeDescriptors(*net.UnixConn, []byte, []int) (int, error) { return 0, errNoHandover }

func readDescriptors(*net.UnixConn, []byte) (int, []*os.File, error) { return 0, nil, errNoHandover }

func duplicate(syscall.Conn) (int, error) { return 0, errNoHandover }

func closeDescriptor(int) {}

func socketPair() (*channel, *os.File, error) { return nil, nil, errNoHandover }

func fileChannel(*os.File) (*channel, error) { return nil, errNoHandover }
