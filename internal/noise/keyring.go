package noise

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// A ring holds a server's keyring, which may be exchanged while it is in use.
type ring struct {
	atomic.Pointer[keyring]
	mu sync.Mutex // held by who exchanges it
}

// change puts another keyring in place, unless f finds fault.
func (r *ring) change(f func(*keyring) (*keyring, error)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, err := f(r.Load())
	if err == nil {
		r.Store(k)
	}
	return err
}

// A keyring is what a server answers new sessions and queries with. It does not
// change: another takes its place.
type keyring struct {
	keys []*serverKey
	psks []*PresharedKey

	// What the hints of requests with a PSK are derived from: of each key and
	// PSK, and of each PSK alone, for the kinds without a server key.
	pairs []hintPair
	alone []hintPair
}

// A serverKey is a private key of the server with what clients call it.
type serverKey struct {
	private PrivateKey
	public  PublicKey
	hint    [hintSize]byte
}

type hintPair struct {
	key *serverKey
	psk *PresharedKey
	prk []byte
}

// newKeyring returns a ring, or what is wrong with the keys of the struct that errors name.
func newKeyring(server string, keys []PrivateKey, psks []PresharedKey) (*keyring, error) {
	if len(keys) > maxKeys {
		return nil, fmt.Errorf("relink: %s.Keys has %d keys: use at most %d", server, len(keys), maxKeys)
	}
	if len(psks) > maxPSKs {
		return nil, fmt.Errorf("relink: %s.PresharedKeys has %d keys: use at most %d, or give clients keys of their own", server, len(psks), maxPSKs)
	}
	r := new(keyring)
	for i, private := range keys {
		public, err := private.PublicKey()
		if err != nil {
			return nil, fmt.Errorf("relink: %s.Keys[%d] is zero: use GenerateKey or ParsePrivateKey", server, i)
		}
		k := &serverKey{private, public, keyHint(public)}
		for _, other := range r.keys {
			if other.hint == k.hint {
				return nil, fmt.Errorf("relink: %s.Keys[%d] has the same key hint as one before it: generate another", server, i)
			}
		}
		r.keys = append(r.keys, k)
	}
	for i, psk := range psks {
		if psk == (PresharedKey{}) {
			return nil, fmt.Errorf("relink: %s.PresharedKeys[%d] is zero: use GeneratePresharedKey or ParsePresharedKey", server, i)
		}
		if slices.Contains(psks[:i], psk) {
			return nil, fmt.Errorf("relink: %s.PresharedKeys[%d] is the same as one before it", server, i)
		}
		r.psks = append(r.psks, &psk)
		r.alone = append(r.alone, hintPair{nil, &psk, hintSecret(nil, &psk)})
		for _, k := range r.keys {
			r.pairs = append(r.pairs, hintPair{k, &psk, hintSecret(&k.public, &psk)})
		}
	}
	return r, nil
}

func (r *keyring) privateKeys() (keys []PrivateKey) {
	for _, k := range r.keys {
		keys = append(keys, k.private)
	}
	return keys
}

func (r *keyring) presharedKeys() (psks []PresharedKey) {
	for _, k := range r.psks {
		psks = append(psks, *k)
	}
	return psks
}

// find returns the keys that a request of a new session or a query names, nil
// for those that its kind does not have. ephemeral is the client's.
func (r *keyring) find(q request, ephemeral PublicKey) (key *serverKey, psk *PresharedKey, ok bool) {
	if q.kind.serverPSK() {
		pairs := r.alone
		if q.kind.keyed() {
			pairs = r.pairs
		}
		for _, p := range pairs {
			if hintOf(p.prk, &ephemeral) == q.hint {
				return p.key, p.psk, true
			}
		}
		return nil, nil, false
	}
	if !q.kind.keyed() {
		return nil, nil, q.hint == [hintSize]byte{}
	}
	for _, k := range r.keys {
		if k.hint == q.hint {
			return k, nil, true
		}
	}
	return nil, nil, false
}
