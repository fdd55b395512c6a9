package network

import (
	"os"

	"golang.org/x/sys/unix"
)

// openTUN makes a TUN device in the namespace: what is sent to the interface
// can be read from the file, and what is written to the file arrives at the
// interface.
func openTUN(n *Namespace, name string) (*os.File, error) {
	var f *os.File
	err := n.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		request, err := unix.NewIfreq(name)
		if err == nil {
			request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
		}
		if err != nil {
			_ = unix.Close(fd)
			return err
		}
		f = os.NewFile(uintptr(fd), "/dev/net/tun") // only now: a device without an interface cannot be polled
		return nil
	})
	if err != nil {
		return nil, unavailable("a TUN device", err)
	}
	return f, nil
}
