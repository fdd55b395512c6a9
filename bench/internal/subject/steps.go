package subject

import (
	"context"
	"crypto/md5" //nolint:gosec // snet's MAC
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"io"
	"net"

	"github.com/relink-go/relink/dh64"
)

// snetSteps is RC4 over TCP behind the very messages of snet's handshake: what the
// wire of DH64RC4 costs where nobody keeps sessions, time limits or events.
type snetSteps struct{ cipherOverTCP }

func (snetSteps) Name() string { return RC4Steps }

func (snetSteps) About() string {
	return "RC4 behind the messages of DH64RC4's handshake, of which each has to wait for the one before: hello, answer, proof. No session, " +
		"no time limit, no event. For new sessions only."
}

func (s snetSteps) Listen() (net.Listener, error) { return newUpgrader(s.serve) }

func (s snetSteps) Dial(ctx context.Context, n Network, address string) (net.Conn, error) {
	return dialUpgraded(ctx, n, address, s.ask)
}

const (
	snetHello     = 1 + 8
	snetID        = 8
	snetChallenge = 8
	snetAnswer    = 8 + snetID + snetChallenge
)

func (s snetSteps) ask(t net.Conn) (net.Conn, error) {
	private, err := dh64.GenerateKey()
	if err != nil {
		return nil, err
	}
	if _, err := t.Write(binary.LittleEndian.AppendUint64([]byte{0}, private.PublicKey())); err != nil {
		return nil, err
	}
	var answer [snetAnswer]byte
	if _, err := io.ReadFull(t, answer[:]); err != nil {
		return nil, err
	}
	key, err := sharedKey(private, answer[:8])
	if err != nil {
		return nil, err
	}
	c, err := s.start(t, key)
	if err != nil {
		return nil, err
	}
	c.in.XORKeyStream(answer[8:8+snetID], answer[8:8+snetID])
	mac := snetMAC(answer[8+snetID:], key)
	if _, err := t.Write(mac[:]); err != nil {
		return nil, err
	}
	return c, nil
}

func (s snetSteps) serve(t net.Conn) (net.Conn, error) {
	var hello [snetHello]byte
	if _, err := io.ReadFull(t, hello[:]); err != nil {
		return nil, err
	}
	private, err := dh64.GenerateKey()
	if err != nil {
		return nil, err
	}
	key, err := sharedKey(private, hello[1:])
	if err != nil {
		return nil, err
	}
	c, err := s.start(t, key)
	if err != nil {
		return nil, err
	}
	var answer [snetAnswer]byte
	binary.LittleEndian.PutUint64(answer[:], private.PublicKey())
	rand.Read(answer[8:])
	c.out.XORKeyStream(answer[8:8+snetID], answer[8:8+snetID])
	if _, err := t.Write(answer[:]); err != nil {
		return nil, err
	}
	var proof [md5.Size]byte
	if _, err := io.ReadFull(t, proof[:]); err != nil {
		return nil, err
	}
	if mac := snetMAC(answer[8+snetID:], key); subtle.ConstantTimeCompare(proof[:], mac[:]) != 1 {
		return nil, errors.New("the client's proof is wrong")
	}
	return c, nil
}

func sharedKey(private dh64.PrivateKey, public []byte) ([]byte, error) {
	secret, err := private.SharedSecret(binary.LittleEndian.Uint64(public))
	if err != nil {
		return nil, err
	}
	return binary.LittleEndian.AppendUint64(nil, secret), nil
}

func snetMAC(challenge, key []byte) [md5.Size]byte {
	return md5.Sum(append(challenge[:snetChallenge:snetChallenge], key...)) //nolint:gosec // as above
}
