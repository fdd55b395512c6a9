package network

import (
	"errors"
	"net"
	"time"

	"github.com/vishvananda/netlink"
)

// A Fault is something that happens to a network.
type Fault struct {
	Name string

	// Lasts is the time between its beginning and its end. Zero: it happens and
	// is over.
	Lasts time.Duration

	// Told says that there is a moment, the fault's end, at which a device
	// learns that it has a new network, or its user takes it out of the pocket:
	// NetworkChanged is called then.
	Told bool

	// Cuts says that it ends the transports, so that a session has to resume.
	// The others only disturb.
	Cuts bool

	nat, tracking bool
	begin         func(r *Rig, live []socket) error
	end           func(r *Rig) error
}

// A socket is a live connection, by its ends.
type socket struct{ client, server net.Conn }

// The rates of the narrow link and of one that is not, in bits a second.
const (
	narrowRate = 1_000_000
	wideRate   = 1_000_000_000
)

// Faults are all there are, with the times that they last in the table of
// docs/reliability.md.
func Faults() []Fault {
	return []Fault{
		{Name: "address change", Told: true, Cuts: true, begin: changeAddress},
		{Name: "link down and up", Lasts: 5 * time.Second, Told: true, begin: linkDown, end: linkUp},
		{Name: "silent drop", Lasts: 60 * time.Second, Told: true, Cuts: true, begin: forward(dropAll()), end: forwardAll},
		{Name: "silent drop to the server", Lasts: 30 * time.Second, Told: true, Cuts: true, begin: forward(dropFrom(lan)), end: forwardAll},
		{Name: "silent drop to the client", Lasts: 30 * time.Second, Told: true, Cuts: true, begin: forward(dropFrom(wan)), end: forwardAll},
		{Name: "firewall forgets, drops", Cuts: true, Told: true, tracking: true, begin: forget},
		{Name: "firewall forgets, resets", Cuts: true, tracking: true, begin: forgetAndReset},
		{Name: "NAT restarts, new address", Lasts: 2 * time.Second, Cuts: true, Told: true, nat: true, begin: forward(dropAll()), end: restartNAT},
		{Name: "`ss -K` on the client", Cuts: true, begin: destroyClients},
		{Name: "`ss -K` on the server", Cuts: true, begin: destroyServers},
		{Name: "1 % loss", Lasts: 20 * time.Second, begin: loss(0.01), end: lossless},
		{Name: "5 % loss", Lasts: 20 * time.Second, begin: loss(0.05), end: lossless},
		{Name: "1 Mbit/s, deep queue", Lasts: 20 * time.Second, begin: narrow, end: wide},
	}
}

// changeAddress moves the client to another network, as a phone that leaves its
// Wi-Fi.
func changeAddress(r *Rig, _ []socket) error {
	return errors.Join(
		r.Client.removeAddress(lan, clientCIDR),
		r.Client.addAddress(lan, movedCIDR),
		r.Client.defaultRoute(lan, net.ParseIP(movedGateway)),
	)
}

func linkDown(r *Rig, _ []socket) error { return r.Client.down(lan) }

func linkUp(r *Rig) error {
	return errors.Join(r.Client.up(lan), r.Client.defaultRoute(lan, net.ParseIP(gateway)))
}

// forward replaces the router's rules.
func forward(rules ...rule) func(*Rig, []socket) error {
	return func(r *Rig, _ []socket) error { return r.rules.set(rules...) }
}

func forwardAll(r *Rig) error { return r.rules.set() }

// forget empties the table of connections, and what is not in it is dropped.
func forget(r *Rig, _ []socket) error {
	if err := r.Router.links.ConntrackTableFlush(netlink.ConntrackTable); err != nil {
		return unavailable("emptying the table of connections", err)
	}
	return nil
}

// forgetAndReset empties the table, and what is not in it is answered with a
// reset.
func forgetAndReset(r *Rig, live []socket) error {
	return errors.Join(r.rules.set(resetUnknown()), forget(r, live))
}

// restartNAT lets the router come back with another address of its provider.
// The server sees its clients come from there.
func restartNAT(r *Rig) error {
	return errors.Join(
		r.Router.removeAddress(wan, routerCIDR),
		r.Router.addAddress(wan, restartedRouter),
		forget(r, nil),
		r.rules.set(dropUnknown()),
	)
}

func destroyClients(r *Rig, live []socket) error {
	for _, s := range live {
		if err := r.Client.destroy(s.client.LocalAddr(), s.client.RemoteAddr()); err != nil {
			return err
		}
	}
	return nil
}

func destroyServers(r *Rig, live []socket) error {
	for _, s := range live {
		if err := r.Server.destroy(s.server.LocalAddr(), s.server.RemoteAddr()); err != nil {
			return err
		}
	}
	return nil
}

func loss(share float64) func(*Rig, []socket) error {
	return func(r *Rig, _ []socket) error {
		r.Path.SetLoss(share)
		return nil
	}
}

func lossless(r *Rig) error {
	r.Path.SetLoss(0)
	return nil
}

// narrow limits both directions.
func narrow(r *Rig, _ []socket) error {
	if err := errors.Join(r.Client.narrow(narrowRate), r.Router.narrow(narrowRate)); err != nil {
		return unavailable("a token bucket", err)
	}
	return nil
}

// wide lets go what has gathered, too.
func wide(r *Rig) error {
	return errors.Join(r.Client.narrow(wideRate), r.Router.narrow(wideRate))
}
