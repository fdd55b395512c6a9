package scp

import (
	"crypto/md5"
	"encoding/binary"
)

// The numbers of section 1 of the specification.
const (
	djbStart = 5381
	jsStart  = 1315423911

	// macBlocks is how often the two inputs of the authentication code are
	// repeated under MD5.
	macBlocks = 3

	// keySize is the length of the RC4 key in bytes.
	keySize = 32
)

// hash is the protocol's 64-bit digest of a text: two unrelated 32-bit hashes
// side by side. Neither resists anyone who wants a collision.
func hash(content []byte) [8]byte {
	djb, js := uint32(djbStart), uint32(jsStart)
	for _, c := range content {
		djb += djb<<5 + uint32(c)
		js ^= js<<5 + uint32(c) + js>>2
	}
	var h [8]byte
	binary.LittleEndian.PutUint32(h[:4], djb)
	binary.LittleEndian.PutUint32(h[4:], js)
	return h
}

// mac is what the protocol calls hmac, which it is not: the halves of an MD5
// folded into one.
func mac(x, y [8]byte) [8]byte {
	var in [macBlocks * 16]byte
	for i := 0; i < len(in); i += 16 {
		copy(in[i:], x[:])
		copy(in[i+8:], y[:])
	}
	d := md5.Sum(in[:])
	var out [8]byte
	for i := range out {
		out[i] = d[i] ^ d[i+8]
	}
	return out
}

// streamKey derives the RC4 key of both directions.
func streamKey(secret uint64) [keySize]byte {
	var key [keySize]byte
	for i := range keySize / 8 {
		part := mac(little(secret), little(uint64(i)))
		copy(key[8*i:], part[:])
	}
	return key
}

// little returns n as the protocol writes numbers that are not text.
func little(n uint64) (b [8]byte) {
	binary.LittleEndian.PutUint64(b[:], n)
	return b
}
