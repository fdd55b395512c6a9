package network

import (
	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// A firewall is the router's nftables table.
type firewall struct {
	conn    *nftables.Conn
	table   *nftables.Table
	forward *nftables.Chain
}

// A rule is a list of matches with a verdict at its end.
type rule []expr.Any

func newFirewall(n *Namespace) (*firewall, error) {
	conn, err := nftables.New(nftables.WithNetNSFd(int(n.ns)))
	if err != nil {
		return nil, unavailable("nftables", err)
	}
	f := &firewall{conn: conn}
	f.table = conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "lab"})
	f.forward = conn.AddChain(&nftables.Chain{
		Table:    f.table,
		Name:     "forward",
		Type:     nftables.ChainTypeFilter,
		Hooknum:  nftables.ChainHookForward,
		Priority: nftables.ChainPriorityFilter,
	})
	if err := conn.Flush(); err != nil {
		return nil, unavailable("nftables", err)
	}
	return f, nil
}

// set replaces the rules for what is forwarded, all at once.
func (f *firewall) set(rules ...rule) error {
	f.conn.FlushChain(f.forward)
	for _, r := range rules {
		f.conn.AddRule(&nftables.Rule{Table: f.table, Chain: f.forward, Exprs: r})
	}
	if err := f.conn.Flush(); err != nil {
		return unavailable("a rule of nftables", err)
	}
	return nil
}

// masquerade gives connections that leave by the interface its address.
func (f *firewall) masquerade(iface string) error {
	chain := f.conn.AddChain(&nftables.Chain{
		Table:    f.table,
		Name:     "masquerade",
		Type:     nftables.ChainTypeNAT,
		Hooknum:  nftables.ChainHookPostrouting,
		Priority: nftables.ChainPriorityNATSource,
	})
	f.conn.AddRule(&nftables.Rule{Table: f.table, Chain: chain, Exprs: append(isInterface(expr.MetaKeyOIFNAME, iface), &expr.Masq{})})
	if err := f.conn.Flush(); err != nil {
		return unavailable("masquerading", err)
	}
	return nil
}

// dropAll drops everything without a word, and dropFrom what comes in by one
// interface.
func dropAll() rule { return rule{&expr.Verdict{Kind: expr.VerdictDrop}} }

func dropFrom(iface string) rule {
	return append(isInterface(expr.MetaKeyIIFNAME, iface), &expr.Verdict{Kind: expr.VerdictDrop})
}

// dropUnknown drops packets of connections that connection tracking does not
// know, as a NAT that has restarted does, and resetUnknown answers them with a
// reset.
func dropUnknown() rule { return append(isInvalid(), &expr.Verdict{Kind: expr.VerdictDrop}) }

func resetUnknown() rule {
	tcp := rule{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
	}
	return append(append(tcp, isInvalid()...), &expr.Reject{Type: unix.NFT_REJECT_TCP_RST})
}

func isInterface(key expr.MetaKey, iface string) rule {
	name := make([]byte, unix.IFNAMSIZ)
	copy(name, iface)
	return rule{
		&expr.Meta{Key: key, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: name},
	}
}

func isInvalid() rule {
	return rule{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{
			SourceRegister: 1,
			DestRegister:   1,
			Len:            4,
			Mask:           binaryutil.NativeEndian.PutUint32(expr.CtStateBitINVALID),
			Xor:            binaryutil.NativeEndian.PutUint32(0),
		},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(0)},
	}
}
