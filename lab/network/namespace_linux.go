package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// ErrUnavailable says that this machine cannot build the laboratory, or lacks
// what one of the faults needs, and why.
var ErrUnavailable = errors.New("network: not available here")

// unavailable makes an error of the kernel's an ErrUnavailable where it means
// that the right or the feature is missing, and not that something went wrong.
func unavailable(what string, err error) error {
	for _, e := range []syscall.Errno{unix.EPERM, unix.EACCES, unix.ENOSYS, unix.EOPNOTSUPP, unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT, unix.ENOENT, unix.ENODEV, unix.ENXIO, unix.EROFS} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: %s: %w", ErrUnavailable, what, err)
		}
	}
	return fmt.Errorf("network: %s: %w", what, err)
}

// A Namespace is a network of its own. A socket belongs to the one that its
// thread was in when it made it, for good.
type Namespace struct {
	// use is held to read by whoever works in the namespace. A client that was
	// aborted may still be in the middle of a dial.
	use   sync.RWMutex
	ns    netns.NsHandle // not open after close
	links *netlink.Handle
}

func newNamespace() (*Namespace, error) {
	n := new(Namespace)
	err := onThread(func() (err error) {
		n.ns, err = netns.New()
		return err
	})
	if err != nil {
		return nil, unavailable("root is needed to make a network namespace", err)
	}
	if n.links, err = netlink.NewHandleAt(n.ns, unix.NETLINK_ROUTE, unix.NETLINK_NETFILTER); err != nil {
		_ = n.ns.Close()
		return nil, unavailable("netlink in a network namespace", err)
	}
	return n, nil
}

// close waits for what is under way in the namespace.
func (n *Namespace) close() {
	n.use.Lock()
	defer n.use.Unlock()
	n.links.Close()
	_ = n.ns.Close()
}

// Do calls f on a thread that is in the namespace. Goroutines that f starts are
// not.
func (n *Namespace) Do(f func() error) error {
	n.use.RLock()
	defer n.use.RUnlock()
	if !n.ns.IsOpen() {
		return net.ErrClosed
	}
	return onThread(func() error {
		if err := netns.Set(n.ns); err != nil {
			return err
		}
		return f()
	})
}

// onThread calls f on a thread of its own, and puts the thread back into the
// namespace that it came from. If that fails the thread ends with its
// goroutine.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			done <- err
			return
		}
		err = f()
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
		_ = home.Close()
		done <- err
	}()
	return <-done
}

// DialContext dials from within the namespace. The address must not need
// resolving, which other threads would do.
func (n *Namespace) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var c net.Conn
	err := n.Do(func() (err error) {
		c, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Listen listens within the namespace.
func (n *Namespace) Listen(network, address string) (net.Listener, error) {
	var l net.Listener
	err := n.Do(func() (err error) {
		l, err = net.Listen(network, address)
		return err
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// setSysctl writes a setting of the namespace's network stack, named by its
// path below /proc/sys/net.
func (n *Namespace) setSysctl(name, value string) error {
	return n.Do(func() error {
		return os.WriteFile("/proc/sys/net/"+name, []byte(value), 0)
	})
}

// addAddress gives an interface an address.
func (n *Namespace) addAddress(iface, cidr string) error {
	return n.address(iface, cidr, n.links.AddrAdd)
}

// removeAddress takes it away, and with it the routes that go by it.
func (n *Namespace) removeAddress(iface, cidr string) error {
	return n.address(iface, cidr, n.links.AddrDel)
}

func (n *Namespace) address(iface, cidr string, change func(netlink.Link, *netlink.Addr) error) error {
	link, err := n.links.LinkByName(iface)
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(cidr)
	if err != nil {
		return err
	}
	return change(link, addr)
}

// up starts an interface; down stops it, which takes its routes away.
func (n *Namespace) up(iface string) error { return n.change(iface, n.links.LinkSetUp) }

func (n *Namespace) down(iface string) error { return n.change(iface, n.links.LinkSetDown) }

func (n *Namespace) change(iface string, do func(netlink.Link) error) error {
	link, err := n.links.LinkByName(iface)
	if err != nil {
		return err
	}
	return do(link)
}

// defaultRoute sends everything out of an interface, through a gateway if there
// is one.
func (n *Namespace) defaultRoute(iface string, gateway net.IP) error {
	return n.change(iface, func(link netlink.Link) error {
		return n.links.RouteReplace(&netlink.Route{
			LinkIndex: link.Attrs().Index,
			Dst:       &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
			Gw:        gateway,
		})
	})
}

// narrow puts a token bucket before the interface of the client's network: so
// many bits a second leave, and up to half a megabyte waits, which is four seconds
// of a megabit.
func (n *Namespace) narrow(bitsPerSecond int64) error {
	const burst, queue = 16 << 10, 500_000
	return n.change(lan, func(link netlink.Link) error {
		rate := uint64(bitsPerSecond / 8)
		return n.links.QdiscReplace(&netlink.Tbf{
			QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
			Rate:       rate,
			Limit:      queue,
			Buffer:     netlink.Xmittime(rate, burst),
		})
	})
}

// destroy does what `ss -K` does to the socket with the two addresses: the
// kernel aborts it.
func (n *Namespace) destroy(local, remote net.Addr) error {
	err := n.Do(func() error { return netlink.SocketDestroy(local, remote) })
	if errors.Is(err, unix.EOPNOTSUPP) {
		return unavailable("SOCK_DESTROY, which needs a kernel with CONFIG_INET_DIAG_DESTROY", err)
	}
	return err
}
