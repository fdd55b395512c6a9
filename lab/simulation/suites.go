package simulation

import (
	"slices"

	"github.com/relink-go/relink"
)

// A wire is a suite with what the model has to know of its wire.
type wire struct {
	server relink.ServerSuite
	client relink.ClientSuite

	// records: the wire has acknowledgements, ends of streams and pings.
	// Otherwise it is a classic one, which has none of these.
	records bool
}

// suites are those that schedules name. The server's key is always the same.
var suites = map[string]wire{
	"snet":          {server: relink.DH64RC4Server{}, client: relink.DH64RC4Client{}},
	"snetclear":     {server: relink.DH64RC4Server{ClearStream: true}, client: relink.DH64RC4Client{ClearStream: true}},
	"scp":           {server: relink.SCPServer{}, client: relink.SCPClient{}},
	"noise":         noiseWire(),
	"insecurenoise": {server: relink.InsecureNoiseServer{}, client: relink.InsecureNoiseClient{}, records: true},
}

// suiteNames are the keys of suites in order.
var suiteNames = func() []string {
	var names []string
	for name := range suites {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}()

func noiseWire() wire {
	key, err := relink.ParsePrivateKey("AQIDBAUGBwgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	if err != nil {
		panic(err)
	}
	return wire{
		server:  relink.NoiseServer{Keys: []relink.PrivateKey{key}},
		client:  relink.NoiseClient{ServerKeys: []relink.PublicKey{key.PublicKey()}},
		records: true,
	}
}
