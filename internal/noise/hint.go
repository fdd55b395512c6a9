package noise

import (
	"crypto/hkdf"
	"crypto/sha256"
)

// hintSize is the length of a key hint.
const hintSize = 4

// hintLabel separates the hints from whatever else keys are used for.
const hintLabel = "relink 1 key hint"

// hintSecret returns what the hints for a server key and a PSK are derived from.
// Either may be nil, where a kind does not have it.
func hintSecret(public *PublicKey, psk *PresharedKey) []byte {
	var ikm []byte
	if public != nil {
		ikm = append(ikm, public[:]...)
	}
	if psk != nil {
		ikm = append(ikm, psk[:]...)
	}
	prk, err := hkdf.Extract(sha256.New, ikm, nil)
	if err != nil {
		panic("relink: internal error: " + err.Error())
	}
	return prk
}

// hintOf returns the hint of a request (Request). ephemeral is the client's, and
// nil for the kinds without a PSK of the server's.
func hintOf(prk []byte, ephemeral *PublicKey) [hintSize]byte {
	info := hintLabel
	if ephemeral != nil {
		info += string(ephemeral[:])
	}
	b, err := hkdf.Expand(sha256.New, prk, info, hintSize)
	if err != nil {
		panic("relink: internal error: " + err.Error())
	}
	return [hintSize]byte(b)
}

// keyHint returns what a request without a PSK calls the server's key.
func keyHint(k PublicKey) [hintSize]byte { return hintOf(hintSecret(&k, nil), nil) }
