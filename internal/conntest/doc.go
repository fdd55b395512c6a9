// Package conntest tests relink from outside: what its sessions do on networks
// that fail on command, for every suite. Its harness serves the tests of package
// relink too, which look inside.
//
// A [Rig] is a session on such a network, with both its ends and what they were
// told. [Suites] are what the contract is tested for; [RecordProtocol] is one of
// them that can misbehave, and hooks come between any other and its sessions.
package conntest
