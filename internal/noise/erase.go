package noise

import (
	"crypto/cipher"
	"crypto/sha256"
	"hash"
	"reflect"
	"runtime"
)

// What is not needed any more is overwritten: secrets that are replaced, what a handshake
// derives on its way, and what the standard library's ciphers and MACs keep of a key, which
// they have no method for. The memory of a struct that one of them points to is cleared
// as a whole; afterwards nothing may be done with it.

// eraseAEAD overwrites a cipher, which has its key in it.
func eraseAEAD(a any) {
	if v := reflect.ValueOf(a); v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct {
		v.Elem().SetZero()
	}
}

// eraseMAC overwrites what an HMAC holds: of its key, or what stands for it, and of what was
// written to it last, which can be a whole secret.
func eraseMAC(mac hash.Hash) {
	var zeros [2*sha256.BlockSize - 1]byte
	mac.Reset()
	mac.Write(zeros[:])
	v := reflect.ValueOf(mac)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return
	}
	for i := range v.Elem().NumField() {
		if f := v.Elem().Field(i); f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Uint8 {
			clear(f.Bytes())
		}
	}
}

// A trafficKey is the key of a direction, as it is and as its cipher has it.
type trafficKey struct {
	secret secret
	aead   cipher.AEAD
}

func (k *trafficKey) erase() {
	k.secret = secret{}
	eraseAEAD(k.aead)
}

// eraseWithLink has the keys of a codec overwritten when nobody can use it any more, which
// the garbage collector finds out: whoever seals and opens does so without a lock, and
// some do when the link has already been lost.
func eraseWithLink(c *codec) {
	runtime.AddCleanup(c, func(keys [2]*trafficKey) {
		keys[0].erase()
		keys[1].erase()
	}, [2]*trafficKey{c.out.key, c.in.key})
}
