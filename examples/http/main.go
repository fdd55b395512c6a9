// Http runs net/http over relink: a download goes on through cuts of the
// connection below it, and neither http.Server nor http.Transport know. The server
// is told to shut down meanwhile, and finishes what it has begun. The suite is Noise,
// unless -suite names another.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/examples/internal/suiteflag"
	"github.com/relink-go/relink/internal/faultnet"
)

func main() {
	suite := suiteflag.Register(flag.CommandLine)
	flag.Parse()
	if err := run(suite, os.Stdout); err != nil {
		log.Fatal("http: ", err)
	}
}

// size is how many bytes the server offers for download.
const size = 6 << 20

func run(suite *suiteflag.Choice, out io.Writer) error {
	serverSuite, clientSuite, err := suite.Both()
	if err != nil {
		return err
	}

	// The server: http.Server gets a relink.Listener instead of a TCP listener.
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	l, err := relink.NewListener(tcp, relink.ListenConfig{
		Suites: []relink.ServerSuite{serverSuite},
		Config: relink.Config{ReplayLimit: suite.ReplayLimit()}, // a download fills the socket buffers
	})
	if err != nil {
		return err
	}
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data)
	allCut := make(chan struct{})
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(data[:size-1024])
		// Socket buffers may hold all of it, and a client with everything has
		// nothing to resume for: the end waits for the last cut.
		select {
		case <-allCut:
			_, _ = w.Write(data[size-1024:])
		case <-r.Context().Done():
		}
	})}
	defer l.Close()
	// Shutdown closes what Serve is given before it waits for the requests under way. An
	// Acceptor only ends accepting then, so that these survive a cut.
	go func() { _ = server.Serve(l.Acceptor()) }()
	defer server.Close()

	// A network that can be cut.
	relay, err := faultnet.NewRelay(l.Addr().String())
	if err != nil {
		return err
	}
	defer relay.Close()
	relay.SetBuffers(64 << 10)

	// The client: http.Transport gets a relink.Dialer's DialContext.
	// Its Logger tells what happens below. With small socket buffers the next third
	// of the download cannot be there already when a cut comes.
	dialer := relink.Dialer{
		Suite:  clientSuite,
		Config: relink.Config{Logger: slog.New(slog.NewTextHandler(out, nil))},
		DialTransport: func(ctx context.Context, network, address string) (net.Conn, error) {
			t, err := new(net.Dialer).DialContext(ctx, network, address)
			if tcp, ok := t.(*net.TCPConn); ok {
				_ = tcp.SetReadBuffer(64 << 10)
			}
			return t, err
		},
	}
	client := http.Client{Transport: &http.Transport{DialContext: dialer.DialContext}}
	defer client.CloseIdleConnections()

	response, err := client.Get("http://" + relay.Addr() + "/")
	if err != nil {
		return err
	}
	defer response.Body.Close()

	// The server begins to shut down. What it has begun goes on, through cuts.
	began, ended := make(chan struct{}), make(chan error, 1)
	server.RegisterOnShutdown(func() { close(began) })
	go func() { ended <- server.Shutdown(context.Background()) }()
	<-began

	hash := sha256.New()
	for _, kind := range []faultnet.Kind{faultnet.Reset, faultnet.End} {
		if _, err := io.CopyN(hash, response.Body, size/3); err != nil {
			return err
		}
		relay.Cut(kind)
	}
	close(allCut)
	rest, err := io.Copy(hash, response.Body)
	if err != nil {
		return err
	}
	if [sha256.Size]byte(hash.Sum(nil)) != sha256.Sum256(data) {
		return errors.New("the download differs from what the server has")
	}
	if err := <-ended; err != nil {
		return err
	}
	fmt.Fprintf(out, "%d bytes in one download, %d of them after the last cut\n", size, rest)
	return nil
}
