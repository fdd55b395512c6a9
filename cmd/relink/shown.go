package main

import "github.com/relink-go/relink/proxy"

// shown returns the configuration as it may be seen: keys by their public keys or
// fingerprints.
func (c *config) shown() any {
	type upstream struct {
		Addresses     []string `json:"to"`
		ProxyProtocol int      `json:"proxy_protocol,omitempty"`
		TLS           bool     `json:"tls,omitempty"`
		Relink        string   `json:"relink,omitempty"` // the suite
	}
	of := func(u *proxy.Upstream) *upstream {
		if u == nil {
			return nil
		}
		s := &upstream{Addresses: u.Addresses, ProxyProtocol: u.ProxyProtocol, TLS: u.TLS != nil}
		if u.Relink != nil {
			s.Relink = u.Relink.Suite.String()
		}
		return s
	}
	type rule struct {
		Name    string    `json:"name,omitempty"`
		Prefix  string    `json:"prefix,omitempty"`
		Suffix  string    `json:"suffix,omitempty"`
		Pattern string    `json:"pattern,omitempty"`
		To      *upstream `json:"upstream"`
	}
	var rules []rule
	for _, r := range c.routes.Rules {
		s := rule{Name: r.Name, Prefix: r.Prefix, Suffix: r.Suffix, To: of(r.Upstream)}
		if r.Pattern != nil {
			s.Pattern = r.Pattern.String()
		}
		rules = append(rules, s)
	}
	listen := make([]string, len(c.listen))
	for i, e := range c.listen {
		listen[i] = e.String()
	}
	var public, preshared, clients []string
	for _, k := range c.keys {
		public = append(public, k.PublicKey().String())
	}
	for _, k := range c.presharedKeys {
		preshared = append(preshared, k.String()) // a fingerprint
	}
	for _, k := range c.clientKeys {
		clients = append(clients, k.String())
	}
	return struct {
		Listen        []string  `json:"listen"`
		Suites        []string  `json:"suites"`
		Node          int64     `json:"node,omitempty"`
		PublicKeys    []string  `json:"public_keys,omitempty"`
		PresharedKeys []string  `json:"preshared_keys,omitempty"`
		ClientKeys    []string  `json:"client_keys,omitempty"`
		MaxSessions   int       `json:"max_sessions,omitempty"`
		ReplayLimit   int       `json:"replay_limit_bytes,omitempty"`
		ResumeTimeout string    `json:"resume_timeout"`
		Idle          string    `json:"idle"`
		Life          string    `json:"life"`
		Answer        string    `json:"answer"`
		Drain         string    `json:"drain"`
		Handover      string    `json:"handover,omitempty"`
		Default       *upstream `json:"default,omitempty"`
		Routes        []rule    `json:"routes,omitempty"`
	}{
		listen, c.suites, c.node, public, preshared, clients, c.maxSessions, c.replayLimit, c.resumeTimeout.String(),
		c.limits.Idle.String(), c.limits.Life.String(), c.limits.Answer.String(), c.drain.String(), c.handover, of(c.routes.Default), rules,
	}
}
