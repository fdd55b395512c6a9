package relink_test

import (
	"fmt"
	"log"
	"time"

	"github.com/relink-go/relink"
)

// What belongs to a session is kept with it, from its opened event on.
func ExampleConn_SetValue() {
	type player struct{ ID string }
	lc := relink.ListenConfig{Suites: []relink.ServerSuite{relink.InsecureNoiseServer{}}}
	lc.OnEvent = func(e relink.Event) {
		if e.Kind == relink.EventOpened {
			e.Conn.SetValue(&player{ID: e.Conn.ID()})
		}
	}
	_ = lc
}

func ExampleConn_Value() {
	type player struct{ score int }
	client, server := session(relink.InsecureNoiseServer{}, relink.InsecureNoiseClient{})
	defer client.Abort()
	defer server.Abort()

	server.SetValue(&player{score: 7})
	if p, ok := server.Value().(*player); ok {
		fmt.Println(p.score)
	}
	// Output: 7
}

// Who has logged in may be away for longer.
func ExampleConn_SetResumeTimeout() {
	client, server := session(relink.InsecureNoiseServer{}, relink.InsecureNoiseClient{})
	defer client.Abort()
	defer server.Abort()

	for _, c := range []*relink.Conn{client, server} { // each side has its own time
		if err := c.SetResumeTimeout(time.Hour); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(server.State())
	// Output: connected
}
