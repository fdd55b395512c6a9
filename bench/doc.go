// Bench compares relink with what else carries a stream, and writes
// docs/benchmarks.md:
//
//	go run ./bench            # about half an hour
//	go run ./bench -quick     # about two minutes, noisy; only prints, unless -out is given
//	go run ./bench -only echo # one experiment; the same
//
// Nothing in the document is typed in: the table of goals, the tables, the plots
// and the sentences about the machine are made from the run.
//
// # Design
//
// There are five parts, each a package below internal:
//
//   - subject: what is compared. Each subject is a small type behind one interface
//     (Listen, Dial, what it does for its price), from raw TCP to a re-creation of
//     the classic design with two goroutines and two buffers a connection. A Network
//     leads from a client to a server: loopback, or one of package wan.
//   - wan: a long path in user space, with delay, rate and a bounded queue, for TCP and
//     UDP.
//   - apart: streams whose two ends are in processes of their own, which process starts. It is
//     also what ../compare compares two versions of relink with.
//   - experiment: what is measured, a file each. The same work runs over all
//     subjects. Goals are named here, and refer to figures of the experiments.
//   - report: tables, plots, the machine, the document. measure has the statistics and
//     what the process has used; helper has what else runs in a process of its
//     own.
//
// # How noise is met
//
// The machine may be shared and its processors may change their speed for seconds at a
// time. So subjects take turns in an order that is drawn anew each round; processes and
// connections are new for each measurement; ratios are those of one round, whose
// measurements lie within seconds of each other; and what is told is the median of the rounds
// with its quartiles. An absolute time never stands without a ratio beside it. Echoes
// are bound to cores, since what they take depends on where the system puts the two ends.
//
// What runs in one process does so because two say nothing else: allocations, cuts of
// a connection in a relay, a long path, many connections in turn.
//
// # What would be unfair
//
// Each subject says in the document what it does and does not do. RC4 straight over TCP uses
// relink's own faster cipher; the variant with crypto/rc4 is a second subject. Its two
// states are kept from sharing a cache line. Where memory is measured, a server is alone
// in its process and bare TCP is subtracted. Processor times are of both sides. The long
// path ends TCP connections at the relay, which spares them loss, and drops QUIC's
// datagrams; the document says so.
//
// The same work is available as ordinary benchmarks, for benchstat:
//
//	go test -run '^$' -bench . -count 10 ./bench | tee new.txt
//	benchstat -col /subject new.txt
package main
