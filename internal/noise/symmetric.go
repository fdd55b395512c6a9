package noise

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
)

// A symmetric is Noise's SymmetricState (revision 34, section 5.2) with SHA-256,
// and the CipherState that belongs to it.
type symmetric struct {
	cipher cipherID
	ck     [sha256.Size]byte
	h      [sha256.Size]byte
	k      secret
	hasKey bool
	n      uint64
}

// initialize is InitializeSymmetric.
func (s *symmetric) initialize(protocol string) {
	if len(protocol) <= len(s.h) {
		copy(s.h[:], protocol)
	} else {
		s.h = sha256.Sum256([]byte(protocol))
	}
	s.ck = s.h
}

// mixHash is MixHash.
func (s *symmetric) mixHash(data []byte) {
	d := sha256.New()
	d.Write(s.h[:])
	d.Write(data)
	d.Sum(s.h[:0])
}

// mixKey is MixKey.
func (s *symmetric) mixKey(ikm []byte) {
	var next [2]secret
	noiseHKDF(s.ck[:], ikm, next[:])
	s.ck, s.k = next[0], next[1]
	clear(next[:])
	s.hasKey, s.n = true, 0
}

// mixKeyAndHash is MixKeyAndHash.
func (s *symmetric) mixKeyAndHash(ikm []byte) {
	var next [3]secret
	noiseHKDF(s.ck[:], ikm, next[:])
	s.ck, s.k = next[0], next[2]
	s.mixHash(next[1][:])
	clear(next[:])
	s.hasKey, s.n = true, 0
}

// overhead is how much longer encryptAndHash makes a plain text now.
func (s *symmetric) overhead() int {
	if s.hasKey {
		return tagSize
	}
	return 0
}

// encryptAndHash is EncryptAndHash. It appends to dst.
func (s *symmetric) encryptAndHash(dst, plain []byte) []byte {
	start := len(dst)
	if s.hasKey {
		a := s.cipher.aead(&s.k)
		dst = a.Seal(dst, s.nonce(), plain, s.h[:])
		eraseAEAD(a)
	} else {
		dst = append(dst, plain...)
	}
	s.mixHash(dst[start:])
	return dst
}

// decryptAndHash is DecryptAndHash. Where there is no key yet it returns data
// itself.
func (s *symmetric) decryptAndHash(data []byte) ([]byte, error) {
	plain := data
	if s.hasKey {
		var err error
		a := s.cipher.aead(&s.k)
		plain, err = a.Open(nil, s.nonce(), data, s.h[:])
		eraseAEAD(a)
		if err != nil {
			return nil, err
		}
	}
	s.mixHash(data)
	return plain, nil
}

// nonce returns the next nonce.
func (s *symmetric) nonce() []byte {
	var b [12]byte
	s.cipher.putNonce(&b, s.n)
	s.n++
	return b[:]
}

// split is Split. The first key is the initiator's.
func (s *symmetric) split() (k1, k2 secret) {
	var keys [2]secret
	noiseHKDF(s.ck[:], nil, keys[:])
	defer clear(keys[:])
	return keys[0], keys[1]
}

// noiseHKDF is Noise's HKDF (section 4.3), which is HKDF of RFC 5869 without an
// info: it fills two outputs or three.
func noiseHKDF(ck, ikm []byte, out []secret) {
	var temp secret
	mac := hmac.New(sha256.New, ck)
	sum(&temp, mac, ikm)
	eraseMAC(mac)
	mac = hmac.New(sha256.New, temp[:])
	clear(temp[:])
	var last []byte
	for i := range out {
		mac.Reset()
		sum(&out[i], mac, last, []byte{byte(i + 1)})
		last = out[i][:]
	}
	eraseMAC(mac)
}

// sum writes to dst, and leaves no copy: what a hash returns would escape.
func sum(dst *secret, mac hash.Hash, parts ...[]byte) {
	for _, p := range parts {
		mac.Write(p)
	}
	mac.Sum(dst[:0])
}
