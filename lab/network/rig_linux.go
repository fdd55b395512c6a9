package network

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/vishvananda/netlink"
)

// The addresses are of the ranges that are set aside for documentation. The
// router is in two networks of clients, so that a client can move from one to
// the other.
const (
	lan = "lan" // the interfaces of client and router that face each other
	wan = "wan" // those of router and server

	clientCIDR, gateway           = "192.0.2.2/24", "192.0.2.1"
	movedCIDR, movedGateway       = "198.51.100.2/24", "198.51.100.1"
	routerCIDR, restartedRouter   = "203.0.113.1/24", "203.0.113.77/24"
	serverCIDR, serverHost        = "203.0.113.2/24", "203.0.113.2"
	gatewayCIDR, movedGatewayCIDR = gateway + "/24", movedGateway + "/24"
)

// A Rig is the three namespaces and what connects them.
type Rig struct {
	Client, Router, Server *Namespace

	Path  *Path
	rules *firewall
}

// A RigConfig says what the network is like while nothing is wrong.
type RigConfig struct {
	RoundTrip time.Duration
	Seed      uint64 // of the loss
	NAT       bool   // the router gives clients its own address
	Tracking  bool   // the router knows each connection, and forwards no others
}

// NewRig builds a rig. Its error is ErrUnavailable where the machine cannot.
func NewRig(cfg RigConfig) (*Rig, error) {
	r := new(Rig)
	if err := r.build(cfg); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Rig) build(cfg RigConfig) (err error) {
	for _, n := range []**Namespace{&r.Client, &r.Router, &r.Server} {
		if *n, err = newNamespace(); err != nil {
			return err
		}
	}
	link := netlink.NewLinkAttrs()
	link.Name = lan
	err = r.Client.links.LinkAdd(&netlink.Veth{LinkAttrs: link, PeerName: lan, PeerNamespace: netlink.NsFd(int(r.Router.ns))})
	if err != nil {
		return unavailable("a veth pair", err)
	}
	var ends [2]io.ReadWriteCloser
	for i, n := range []*Namespace{r.Router, r.Server} {
		if ends[i], err = openTUN(n, wan); err != nil {
			if i > 0 {
				_ = ends[0].Close()
			}
			return err
		}
	}
	r.Path = newPath(ends[0], ends[1], cfg.RoundTrip/2, cfg.Seed)
	if r.rules, err = newFirewall(r.Router); err != nil {
		return err
	}
	if cfg.NAT {
		if err := r.rules.masquerade(wan); err != nil {
			return err
		}
	}
	if cfg.Tracking || cfg.NAT {
		// Without this, connection tracking takes the middle of a connection
		// for a new one.
		if err := r.rules.set(dropUnknown()); err != nil {
			return err
		}
		if err := r.Router.setSysctl("netfilter/nf_conntrack_tcp_loose", "0"); err != nil {
			return unavailable("connection tracking", err)
		}
	}
	if err := r.Router.setSysctl("ipv4/ip_forward", "1"); err != nil {
		return unavailable("forwarding", err)
	}
	return errors.Join(
		r.Client.addAddress(lan, clientCIDR), r.Client.up(lan),
		r.Router.addAddress(lan, gatewayCIDR), r.Router.addAddress(lan, movedGatewayCIDR), r.Router.up(lan),
		r.Router.addAddress(wan, routerCIDR), r.Router.up(wan),
		r.Server.addAddress(wan, serverCIDR), r.Server.up(wan),
		r.Client.defaultRoute(lan, net.ParseIP(gateway)),
		r.Server.defaultRoute(wan, nil),
	)
}

// Close takes the rig down. Sockets in it live on until they are closed.
func (r *Rig) Close() {
	if r.Path != nil {
		r.Path.close()
	}
	for _, n := range []*Namespace{r.Client, r.Router, r.Server} {
		if n != nil {
			n.close()
		}
	}
}
