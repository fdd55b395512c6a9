package noise_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"strings"
	"testing"

	flynn "github.com/flynn/noise"
	"github.com/stretchr/testify/require"
)

// An oracle is the symmetric state of revision 34, section 5.2, written down
// once more and as plainly as it is there, over the ciphers of flynn/noise. The
// library cannot run the patterns of HFS itself.
type oracle struct {
	t     *testing.T
	suite flynn.CipherSuite
	ck, h []byte
	k     []byte // nil is none
	n     uint64
}

func (o *oracle) hmac(key []byte, data ...[]byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(bytes.Join(data, nil))
	return m.Sum(nil)
}

func (o *oracle) mixHash(data []byte) {
	h := sha256.Sum256(append(append([]byte{}, o.h...), data...))
	o.h = h[:]
}

func (o *oracle) hkdf(ikm []byte) (a, b, c []byte) {
	temp := o.hmac(o.ck, ikm)
	a = o.hmac(temp, []byte{1})
	b = o.hmac(temp, a, []byte{2})
	return a, b, o.hmac(temp, b, []byte{3})
}

func (o *oracle) mixKey(ikm []byte) {
	o.ck, o.k, _ = o.hkdf(ikm)
	o.n = 0
}

func (o *oracle) mixKeyAndHash(ikm []byte) {
	a, b, c := o.hkdf(ikm)
	o.ck, o.k, o.n = a, c, 0
	o.mixHash(b)
}

func (o *oracle) encryptAndHash(plain []byte) []byte {
	sealed := append([]byte{}, plain...)
	if o.k != nil {
		sealed = o.suite.Cipher([32]byte(o.k)).Encrypt(nil, o.n, o.h, plain)
		o.n++
	}
	o.mixHash(sealed)
	return sealed
}

func (o *oracle) decryptAndHash(sealed []byte) []byte {
	plain := append([]byte{}, sealed...)
	if o.k != nil {
		var err error
		plain, err = o.suite.Cipher([32]byte(o.k)).Decrypt(nil, o.n, o.h, sealed)
		require.NoError(o.t, err)
		o.n++
	}
	o.mixHash(sealed)
	return plain
}

// tag is how much longer the next thing is for being sealed.
func (o *oracle) tag() int {
	if o.k != nil {
		return 16
	}
	return 0
}

func (o *oracle) dh(private, public []byte) {
	shared, err := flynn.DH25519.DH(private, public)
	require.NoError(o.t, err)
	o.mixKey(shared)
}

// hybrid is the server's side of a hybrid request, step by step as section 3.1 of
// the specification has it, with the encapsulation of testdata/kem.txt if the
// request has the key that belongs to it.
func (p *peer) hybrid(request []byte, clear int, psk, payload []byte) (claim, message, h []byte, k1, k2 [32]byte) {
	kind := request[5]
	name := "Noise_" + map[byte]string{1: "NN", 2: "NK", 3: "IK"}[kind&0x03] + "hfs"
	if psk != nil {
		name += "+psk0"
	}
	name += "_25519+MLKEM768_" + map[byte]string{1: "AESGCM", 2: "ChaChaPoly"}[p.cipher] + "_SHA256"
	o := &oracle{t: p.t, suite: p.suite()}
	if o.h = make([]byte, 32); len(name) <= 32 {
		copy(o.h, name)
	} else {
		sum := sha256.Sum256([]byte(name))
		o.h = sum[:]
	}
	o.ck = o.h
	o.mixHash(request[:clear])
	keyed := kind&0x03 != 1
	if keyed {
		o.mixHash(p.public)
	}

	rest := request[clear:]
	take := func(n int) (part []byte) {
		part, rest = rest[:n], rest[n:]
		return part
	}
	if psk != nil {
		o.mixKeyAndHash(psk)
	}
	re := take(32)
	o.mixHash(re)
	if psk != nil {
		o.mixKey(re)
	}
	if keyed {
		o.dh(p.private, re) // es
	}
	ek := o.decryptAndHash(take(1184 + o.tag())) // e1
	var rs []byte
	if kind&0x03 == 3 {
		rs = o.decryptAndHash(take(32 + o.tag())) // s
		o.dh(p.private, rs)                       // ss
	}
	claim = o.decryptAndHash(rest)

	random := p.random
	if random == nil {
		random = bytes.NewReader(same(0x99))
	}
	e := make([]byte, 32)
	_, err := io.ReadFull(random, e)
	require.NoError(p.t, err)
	pair, err := flynn.DH25519.GenerateKeypair(bytes.NewReader(e))
	require.NoError(p.t, err)
	message = append(message, pair.Public...)
	o.mixHash(pair.Public)
	if psk != nil {
		o.mixKey(pair.Public)
	}
	o.dh(pair.Private, re) // ee
	shared, ciphertext := p.encapsulate(ek)
	message = append(message, o.encryptAndHash(ciphertext)...) // ekem1
	o.mixKey(shared)
	if rs != nil {
		o.dh(pair.Private, rs) // se
	}
	message = append(message, o.encryptAndHash(payload)...)
	a, b, _ := o.hkdf(nil)
	return claim, message, o.h, [32]byte(a), [32]byte(b)
}

// encapsulate takes what the test wants, or the recorded encapsulation where the
// key is that of the vectors.
func (p *peer) encapsulate(ek []byte) (shared, ciphertext []byte) {
	if p.ciphertext != nil {
		return p.shared, p.ciphertext
	}
	key, ciphertext, shared := recordedKEM(p.t)
	if bytes.Equal(ek, key.EncapsulationKey().Bytes()) {
		return shared, ciphertext
	}
	fresh, err := mlkem.NewEncapsulationKey768(ek)
	require.NoError(p.t, err)
	return fresh.Encapsulate()
}

// recordedKEM returns the ML-KEM key of the vectors, whose seed is 46 repeated,
// and an encapsulation to it, whose randomness m (FIPS 203, algorithm 17) was 57
// repeated.
func recordedKEM(t *testing.T) (key *mlkem.DecapsulationKey768, ciphertext, shared []byte) {
	t.Helper()
	data, err := os.ReadFile("testdata/kem.txt")
	require.NoError(t, err)
	lines := strings.Fields(string(data))
	ciphertext, err = hex.DecodeString(lines[0])
	require.NoError(t, err)
	shared, err = hex.DecodeString(lines[1])
	require.NoError(t, err)
	key, err = mlkem.NewDecapsulationKey768(append(same(0x46), same(0x46)...))
	require.NoError(t, err)
	got, err := key.Decapsulate(ciphertext)
	require.NoError(t, err)
	require.Equal(t, shared, got)
	return key, ciphertext, shared
}
