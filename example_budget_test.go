package relink_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/netip"

	"github.com/relink-go/relink"
)

// A server that is open to the internet, with bounds for what strangers can cost it.
func ExampleListenConfig_admit() {
	banned := netip.MustParsePrefix("203.0.113.0/24")
	lc := relink.ListenConfig{
		Suites: []relink.ServerSuite{relink.SCPServer{}},

		MaxHandshakesPerAddress: 200, // under way, and
		HandshakeRatePerAddress: 50,  // in a second

		MaxMemory:          1 << 30, // of all sessions, and
		MaxSuspendedMemory: 1 << 28, // of those whose clients are away

		Admit: func(remote net.Addr) error { // before anything is spent on it
			from, err := netip.ParseAddrPort(remote.String())
			if err == nil && banned.Contains(from.Addr().Unmap()) {
				return errors.New("the network is banned")
			}
			return nil
		},
	}
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	fmt.Println("sessions hold", l.Stats().Memory, "of", lc.MaxMemory, "bytes")
	// Output: sessions hold 0 of 1073741824 bytes
}

// What a listener had to refuse, by reason; and what it did when its memory was used up.
func ExampleEvent_refusals() {
	count := func(r relink.RefusalStats) {
		fmt.Println("of", r.Total(), "came too fast", r.Rate, "and found no memory", r.Memory)
	}
	onEvent := func(e relink.Event) {
		switch {
		case e.Refusals != nil: // many at once, because OnEvent did not keep up
			count(*e.Refusals)
		case errors.Is(e.Err, relink.ErrHandshakeRate):
			fmt.Println(e.Remote, "is too fast")
		case errors.Is(e.Err, relink.ErrMemory) && e.Kind == relink.EventRefused:
			fmt.Println(e.Remote, "was turned away: raise MaxMemory")
		case e.Kind == relink.EventHistoryCut:
			fmt.Println(e.Conn.ID(), "may not survive its next cut")
		case errors.Is(e.Err, relink.ErrReclaimed):
			fmt.Println(e.Conn.ID(), "was away, and others needed its memory")
		case errors.Is(e.Err, relink.ErrUnacknowledged):
			fmt.Println(e.Conn.ID(), "did not acknowledge what it was sent")
		}
	}
	onEvent(relink.Event{Kind: relink.EventRefused, Refusals: &relink.RefusalStats{Rate: 20, Memory: 3}})
	// Output: of 23 came too fast 20 and found no memory 3
}

func ExampleListener_Stats_memory() {
	// 1 MiB is the least that a listener can do with.
	l, err := relink.NewListener(listenTCP(), relink.ListenConfig{Suites: []relink.ServerSuite{relink.SCPServer{}}, MaxMemory: relink.MinMaxMemory})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	s := l.Stats()
	fmt.Println(s.SuspendedMemory, "bytes of sessions that are away,", s.Reclaimed, "of them ended for it,", s.HistoriesCut, "histories cut")
	// Output: 0 bytes of sessions that are away, 0 of them ended for it, 0 histories cut
}
