//go:build unix

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// restartSignal starts the program again, which takes over.
const restartSignal = syscall.SIGUSR2

// writeDescriptors writes and passes descriptors along.
func writeDescriptors(c *net.UnixConn, b []byte, descriptors []int) (int, error) {
	var oob []byte
	if len(descriptors) > 0 {
		oob = unix.UnixRights(descriptors...)
	}
	n, _, err := c.WriteMsgUnix(b, oob, nil)
	return n, err
}

// readDescriptors reads, and takes the descriptors that come along.
func readDescriptors(c *net.UnixConn, b []byte) (int, []*os.File, error) {
	oob := make([]byte, unix.CmsgSpace(4*maxDescriptors))
	n, oobn, flags, _, err := c.ReadMsgUnix(b, oob)
	if err != nil {
		return n, nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return n, nil, err
	}
	var files []*os.File
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return n, files, err
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "passed"))
		}
	}
	if flags&unix.MSG_CTRUNC != 0 {
		return n, files, errors.New("descriptors were cut off: this process may have too few (LimitNOFILE)")
	}
	return n, files, nil
}

// duplicate returns another descriptor of a socket.
func duplicate(s syscall.Conn) (fd int, err error) {
	err = control(s, func(of uintptr) error {
		fd, err = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0)
		return err
	})
	return fd, err
}

func closeDescriptor(fd int) { _ = unix.Close(fd) }

// socketPair returns the two ends of a channel: one as a descriptor for a child.
func socketPair() (*channel, *os.File, error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	other := os.NewFile(uintptr(fds[1]), "handover")
	c, err := fileChannel(os.NewFile(uintptr(fds[0]), "handover"))
	if err != nil {
		_ = other.Close()
		return nil, nil, err
	}
	return c, other, nil
}

// fileChannel makes a channel of a descriptor, which it takes.
func fileChannel(f *os.File) (*channel, error) {
	defer func() { _ = f.Close() }()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		_ = c.Close()
		return nil, fmt.Errorf("descriptor %s is no Unix socket", f.Name())
	}
	return &channel{conn: u}, nil
}
