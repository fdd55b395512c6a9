package relink_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/relink-go/relink"
)

// A server that knows its clients by their keys, and serves several games on one
// port. The authorisation is asked before a session begins and at each resume,
// with the address that the client comes from.
func ExampleListenConfig_authorize() {
	serverKey, alice, mallory := relink.GenerateKey(), relink.GenerateKey(), relink.GenerateKey()
	members := map[relink.PublicKey]string{alice.PublicKey(): "alice"}
	cfg := relink.ListenConfig{
		Suites: []relink.ServerSuite{relink.NoiseServer{Keys: []relink.PrivateKey{serverKey}, RequireClientKey: true}},
		Authorize: func(_ context.Context, a relink.Attempt) error {
			if _, ok := members[a.ClientKey]; !ok {
				return errors.New("not a member")
			}
			if a.Resumes != nil {
				fmt.Println("back from", a.Remote)
			}
			return nil
		},
	}
	l, err := cfg.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()

	for _, key := range []relink.PrivateKey{alice, mallory} {
		c, err := relink.Dial("tcp", l.Addr().String(), relink.NoiseClient{
			ServerKeys: []relink.PublicKey{serverKey.PublicKey()}, Key: key, Target: "chess",
		})
		if errors.Is(err, relink.ErrDenied) {
			fmt.Println("denied")
			continue
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		defer c.Close()
		s, err := l.AcceptConn()
		if err != nil {
			fmt.Println(err)
			return
		}
		member, ok := s.PeerKey() // proven, since it is here
		fmt.Println(members[member], ok, s.Identity().Target)
	}
	// Output:
	// alice true chess
	// denied
}

// A login inside the stream signs the channel binding, so that it is of no use on
// any other session.
func ExampleConn_ChannelBinding() {
	key := relink.GenerateKey()
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.NoiseServer{Keys: []relink.PrivateKey{key}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	c, err := relink.Dial("tcp", l.Addr().String(), relink.NoiseClient{ServerKeys: []relink.PublicKey{key.PublicKey()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	s, err := l.AcceptConn()
	if err != nil {
		fmt.Println(err)
		return
	}
	here, ok := c.ChannelBinding()
	there, _ := s.ChannelBinding()
	fmt.Println(ok, here == there)
	// Output: true true
}

// An invitation-only server, whose keys change while it runs.
func ExampleListener_SetKeys() {
	key, stolen := relink.GenerateKey(), relink.GenerateKey()
	guests, former := relink.GeneratePresharedKey(), relink.GeneratePresharedKey()
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.NoiseServer{
		Keys:          []relink.PrivateKey{stolen},
		PresharedKeys: []relink.PresharedKey{former},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	if err := errors.Join(l.SetKeys(key), l.SetPresharedKeys(guests)); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(l.Revoke(stolen.PublicKey()), l.RevokePresharedKey(former), "sessions ended")

	c, err := relink.Dial("tcp", l.Addr().String(), relink.NoiseClient{
		ServerKeys:   []relink.PublicKey{key.PublicKey()},
		PresharedKey: guests,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Println(c.Identity().PresharedKey.Equal(guests))
	// Output:
	// 0 0 sessions ended
	// true
}

// Pre-shared keys travel as text, by a way that nobody else reads.
func ExampleParsePresharedKey() {
	k, err := relink.ParsePresharedKey("b0NHZ3k2bXhpQ3V4dGVwcXBhRGxpZUd4MmFNcVRhcGs=\n")
	fmt.Println(k, err) // a name, and not the key
	fmt.Println(len(k.EncodeSecret()))
	// Output:
	// pre-shared key fb646b926577 <nil>
	// 44
}
