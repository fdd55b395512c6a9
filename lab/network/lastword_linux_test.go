package network

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/relink-go/relink"
)

// The last that a client sends over a path which is about to die is an
// acknowledgement, and then it waits for what the server has to say. Its kernel
// repeats the lost segment for a quarter of an hour, and while it does there
// is no keep-alive; the session must not wait for that.
func TestLostLastWord(t *testing.T) {
	r := newRig(t, RigConfig{})
	inner, err := r.Server.Listen("tcp", serverHost+":0")
	if err != nil {
		t.Fatal(err)
	}
	clientSuite, serverSuite := suites(Noise)
	l, err := relink.NewListener(inner, relink.ListenConfig{Suites: []relink.ServerSuite{serverSuite}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	suspended := make(chan time.Time, 100)
	d := relink.Dialer{
		Suite: clientSuite,
		Config: relink.Config{
			LivenessTimeout: 2 * time.Second,
			OnEvent: func(e relink.Event) {
				if e.Kind == relink.EventSuspended {
					suspended <- time.Now()
				}
			},
		},
		DialTransport: r.Client.DialContext,
	}
	client, err := d.DialConn(context.Background(), "tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Abort()
	server, err := l.AcceptConn()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Abort()
	go io.Copy(io.Discard, client) //nolint:errcheck // an application in Read
	time.Sleep(time.Second)

	if err := forward(dropFrom(lan))(r, nil); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := server.Write([]byte("the client hears this, and its answer is lost")); err != nil {
		t.Fatal(err)
	}
	for deadline := began.Add(time.Minute); client.Stats().BytesRead == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the client has heard nothing")
		}
	}
	// The server's kernel hears no acknowledgement either, and its session would
	// end the transport; nothing of that must reach the client.
	if err := forward(dropAll())(r, nil); err != nil {
		t.Fatal(err)
	}
	select {
	case at := <-suspended:
		t.Logf("noticed after %v", at.Sub(began))
	case <-time.After(20 * time.Second):
		t.Fatal("the client has not noticed in 20 seconds")
	}
}
