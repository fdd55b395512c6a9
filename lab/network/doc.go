// Package network is a laboratory of real networks: a client, a router and a
// server, each in a network namespace of its own, all in one process, with the
// kernel's own TCP between them.
//
//	client ──veth── router ──path── server
//
// The path is a pair of TUN devices between which this package carries the
// packets, late by half a round trip and with random loss. What breaks in
// between is made with the kernel's own means: addresses, routes and links,
// nftables, connection tracking, a token bucket, SOCK_DESTROY.
//
// [Run] opens sessions of every suite and, beside them, plain TCP and TLS
// connections, lets them exchange streams in which every byte is a function of
// its offset, brings one [Fault] upon all of them at once, and tells what each
// application saw of it.
//
// The namespaces have no names: they belong to open files of this process, and
// so the kernel removes them, with all that is in them, when the process ends,
// however it ends.
//
// It needs Linux and root (CAP_SYS_ADMIN and CAP_NET_ADMIN), and no other
// program: it speaks netlink itself.
package network
