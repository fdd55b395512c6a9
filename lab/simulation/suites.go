package simulation

import (
	"slices"

	"github.com/relink-go/relink"
)

// A wire is a suite with what the model has to know of its wire.
type wire struct {
	suite relink.Suite

	// records: the wire has acknowledgements, ends of streams and pings.
	// Otherwise it is a classic one, which has none of these.
	records bool
}

// suites are those that schedules name. Both sides use one value, as the
// library allows, and the server's key is made once.
var suites = map[string]wire{
	"snet":          {suite: relink.DH64RC4()},
	"snetclear":     {suite: relink.DH64RC4(relink.WithClearStream())},
	"scp":           {suite: relink.SCP()},
	"noise":         {suite: noiseSuite(), records: true},
	"insecurenoise": {suite: relink.InsecureNoise(), records: true},
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

func noiseSuite() relink.Suite {
	key := relink.PrivateKey{1, 2, 3, 4, 5, 6, 7, 8}
	public, err := key.PublicKey()
	if err != nil {
		panic(err)
	}
	return relink.Noise(relink.NoiseServer(key), relink.NoiseClient(public))
}
