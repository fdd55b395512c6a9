package noise

import (
	"crypto/mlkem"
	"errors"
	"io"
)

// The sizes of ML-KEM-768 (Hybrid).
const (
	encapsulationKeySize = mlkem.EncapsulationKeySize768
	kemCiphertextSize    = mlkem.CiphertextSize768
)

// errKEMKey is the client's mistake: FIPS 203 wants it checked.
var errKEMKey = errors.New("the client's ML-KEM encapsulation key is none")

// newDecapsulationKey makes the client's key of one handshake.
func newDecapsulationKey(random io.Reader) (*mlkem.DecapsulationKey768, error) {
	var seed [mlkem.SeedSize]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return nil, err
	}
	defer clear(seed[:])
	return mlkem.NewDecapsulationKey768(seed[:])
}

// encapsulate makes the server's answer to an encapsulation key.
func encapsulate(key *mlkem.EncapsulationKey768) (shared, ciphertext []byte) {
	return key.Encapsulate()
}
