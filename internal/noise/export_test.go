package noise

import (
	"io"

	"github.com/relink-go/relink/internal/suite"
)

// Numbers are those that docs/spec/noise.md tells in its table Limits and
// elsewhere, by the names that the test uses.
var Numbers = map[string]int{
	"magic":               magic,
	"version":             version,
	"early data":          maxEarly,
	"requests":            maxRequests,
	"keys":                maxKeys,
	"psks":                maxPSKs,
	"target":              maxTarget,
	"header":              headerSize,
	"resume header":       headerSize + resumeFieldsSize,
	"body":                maxBody,
	"window":              maxWindow,
	"first limit":         firstLimit,
	"record":              maxRecord,
	"shortest record":     minRecord,
	"data":                maxData,
	"first record":        maxFirst,
	"first data":          maxFirstData,
	"records per key":     recordsPerKey,
	"unconfirmed secrets": maxUnconfirmed,
}

// Flags are the flags of a record by their names in the specification.
var Flags = map[string]int{
	"ACK": flagAck, "FINACK": flagFinAck, "FIN": flagFin, "STOP": flagStop,
	"PING": flagPing, "PONG": flagPong, "RESET": flagReset, "DRAIN": flagDrain,
}

// Kinds are the types of requests by their names in the specification.
var Kinds = func() map[string]byte {
	kinds := map[string]byte{
		"ResumeNN": byte(resumeNN), "ResumeNK": byte(resumeNK),
		"QueryNN": byte(queryNN), "QueryNK": byte(queryNK), "QueryNNPSK": byte(queryNNPSK),
	}
	for pattern, k := range map[string]kind{"NN": patternNN, "NK": patternNK, "IK": patternIK} {
		kinds["New"+pattern] = byte(k | hybrid)
		kinds["New"+pattern+"PSK"] = byte(k | hybrid | withPSK)
		kinds["Classical"+pattern] = byte(k)
		kinds["Classical"+pattern+"PSK"] = byte(k | withPSK)
	}
	return kinds
}()

// NoiseName is the full name of a kind's handshake.
func NoiseName(k, cipher byte) string { return kind(k).protocolName(cipherID(cipher)) }

// Message1 and Message2 are the bounds of the messages of a type.
func Message1(k byte) (least, most int) { return kind(k).message1() }
func Message2(k byte) (least, most int) { return kind(k).message2() }

// Hints and Statuses are the refusals by their names in the specification.
var (
	Hints = map[string]byte{
		"BadVersion": byte(hintBadVersion), "BadRequest": byte(hintBadRequest),
		"UnknownKey": byte(hintUnknownKey), "UnknownSession": byte(hintUnknownSession),
		"Stale": byte(hintStale), "Elsewhere": byte(hintElsewhere), "Busy": byte(hintBusy),
		"Failed": byte(hintFailed),
	}
	Statuses = map[string]byte{
		"OK": byte(statusOK), "Closed": byte(statusClosed), "Aborted": byte(statusAborted),
		"BadOffset": byte(statusBadOffset), "Denied": byte(statusDenied), "Unknown": byte(statusUnknown), "Elsewhere": byte(statusElsewhere),
	}
)

// The least lengths of payloads.
const (
	NewPayload1    = newPayload1
	NewPayload2    = newPayload2
	ResumePayload1 = resumePayload1
	ResumePayload2 = resumePayload2
)

// The ciphers.
const (
	AESGCM     = byte(cipherAESGCM)
	ChaChaPoly = byte(cipherChaChaPoly)
)

// Fixed returns the protocol with a cipher and a source of ephemeral keys.
func Fixed(p suite.Protocol, cipher byte, random io.Reader) *Protocol {
	q := *p.(*Protocol)
	q.cipher, q.random = cipherID(cipher), random
	return &q
}

// Speaking returns the protocol with other versions than there are, all of which
// are like the one that there is.
func Speaking(p suite.Protocol, lowest, highest byte) *Protocol {
	q := *p.(*Protocol)
	q.lowest, q.highest = lowest, highest
	return &q
}

// Secrets are what a client's session keeps.
type Secrets struct {
	Resumption [32]byte
	ID         suite.Key
	Attempt    uint32
}

// SecretsOf returns what the session on a client keeps.
func SecretsOf(s suite.Session) Secrets {
	c := s.(*clientSession)
	return Secrets{c.resumption, c.name, c.attempt}
}

// SetSecrets changes what the session on a client keeps, as a thief could.
func SetSecrets(s suite.Session, k Secrets) {
	c := s.(*clientSession)
	c.resumption, c.name, c.attempt = k.Resumption, k.ID, k.Attempt
}

// Kept returns how many secrets the session on a server keeps.
func Kept(s suite.Session) int { return 1 + len(s.(*serverSession).unconfirmed) }

// TrafficKeys returns the two keys of a link.
func TrafficKeys(c suite.Codec) (out, in [32]byte) {
	k := c.(*codec)
	return k.out.key.secret, k.in.key.secret
}

// RekeyAfter makes both directions of a codec change their keys after n
// records.
func RekeyAfter(c suite.Codec, n uint64) {
	k := c.(*codec)
	k.out.limit, k.in.limit = uint32(n), uint32(n)
}

// Counters returns how often the codec's directions were rekeyed, and their
// counters.
func Counters(c suite.Codec) (outKeys int, outN uint64, inKeys int, inN uint64) {
	k := c.(*codec)
	return int(k.out.rekeys), k.out.n, int(k.in.rekeys), k.in.n
}

// NewCodecs returns the two ends of a link under keys that depend on the seed
// only.
func NewCodecs(cipher, seed byte, clientWindow, serverWindow int64) (client, server suite.Codec) {
	k := &keys{}
	for i := range k.toServer {
		k.toServer[i], k.toClient[i] = seed+byte(i), seed-byte(i)-1
	}
	return newCodec(cipherID(cipher), k, true, serverWindow), newCodec(cipherID(cipher), k, false, clientWindow)
}

// SealRaw seals a plain text as it is, as no correct peer would.
func SealRaw(c suite.Codec, kind byte, plain []byte) []byte {
	k := c.(*codec)
	b := appendHeader(nil, kind, len(plain)+tagSize)
	b = k.out.aead.Seal(b, k.out.at(k.out.n), plain, b)
	k.out.advance()
	return b
}

// An Exchange is a handshake with a prologue of the test's.
type Exchange struct{ h *handshake }

// NewExchange begins one side of the handshake of a type. private is the side's
// static key, and public the server's.
func NewExchange(k, cipher byte, prologue []byte, initiator bool, private PrivateKey, public PublicKey, psk *[32]byte, random io.Reader) (Exchange, error) {
	p := party{private: private, pinned: public, psk: (*secret)(psk), random: random}
	if !initiator {
		p.pinned = PublicKey{}
	}
	if private != (PrivateKey{}) {
		p.public = private.public()
	}
	h := newHandshake(kind(k), cipherID(cipher), initiator, p)
	if initiator {
		if err := h.generate(); err != nil {
			return Exchange{}, err
		}
	}
	h.start(prologue)
	return Exchange{h}, nil
}

// Write and Read are a message each. With the last one come the two keys of
// Split.
func (x Exchange) Write(payload []byte) (message []byte, k1, k2 [32]byte, err error) {
	b, k, err := x.h.write(nil, payload)
	if k != nil {
		k1, k2 = x.h.split()
	}
	return b, k1, k2, err
}

func (x Exchange) Read(message []byte) (payload []byte, k1, k2 [32]byte, err error) {
	b, k, err := x.h.read(message)
	if k != nil {
		k1, k2 = x.h.split()
	}
	return b, k1, k2, err
}

// Seal seals with a key of a direction and the counter n, without a record
// around it.
func Seal(cipher byte, key [32]byte, n uint64, plain []byte) []byte {
	d := newDirection(cipherID(cipher), key)
	return d.aead.Seal(nil, d.at(n), plain, nil)
}

// A Query asks for a session by its id over the stream, as Resume does after
// the hint.
func Query(s suite.Session, t suite.Stream) error {
	c := s.(*clientSession)
	return c.query(t, request{version: c.version, cipher: c.p.cipher, node: c.node, id: c.name})
}

// ResumeRaw runs the client's side of a resume with any claim. It keeps what
// the answer says as Resume does.
func ResumeRaw(s suite.Session, t suite.Stream, claim []byte) (suite.Codec, error) {
	c := s.(*clientSession)
	c.attempt++
	r := c.requestLocked(resumeNK)
	r.id, r.attempt = c.name, c.attempt
	psk := c.resumption
	payload, k, _, err := c.p.ask(t, r, c.pinned, &psk, claim)
	if err != nil {
		return nil, err
	}
	if a := decodeResumeAnswer(payload); a.status != statusOK || !c.take(r, k, a.node) {
		return nil, suite.ErrRefused
	}
	return newCodec(r.cipher, k, true, c.peerWindow), nil
}

// NewRaw is a request of hybrid NK with any payload, and with any bytes in the
// place of the ML-KEM key.
func NewRaw(p suite.Protocol, server PublicKey, payload, encapsulationKey []byte) []byte {
	q := p.(*Protocol)
	r := request{version: version, highest: version, kind: patternNK | hybrid, cipher: q.cipher, hint: keyHint(server)}
	r.length = r.kind.overhead1() + len(payload)
	h := newHandshake(r.kind, r.cipher, true, party{pinned: server})
	err := h.generate()
	if err != nil {
		panic(err)
	}
	b := r.encode()
	h.start(b)
	for _, t := range []token{tokenE, tokenES} {
		if b, err = h.writeToken(b, t); err != nil {
			panic(err)
		}
	}
	b = h.encryptAndHash(b, encapsulationKey)
	return h.encryptAndHash(b, payload)
}

// IKRaw is a request of classical IK in which the client's static key is any
// bytes.
func IKRaw(p suite.Protocol, server, client PublicKey) []byte {
	return ikRequest(p, server, client, func() secret { return secret{} })
}

// IKForged is a request of classical IK in the name of a client, made with the
// server's private key instead of the client's.
func IKForged(p suite.Protocol, server PrivateKey, client PublicKey) []byte {
	return ikRequest(p, server.public(), client, func() secret {
		shared, err := agree(&server, &client)
		if err != nil {
			panic(err)
		}
		return shared
	})
}

func ikRequest(p suite.Protocol, server, client PublicKey, ss func() secret) []byte {
	q := p.(*Protocol)
	r := request{version: version, highest: version, kind: patternIK, cipher: q.cipher, hint: keyHint(server)}
	payload := newClaim{window: 1}.encode()
	r.length = r.kind.overhead1() + len(payload)
	h := newHandshake(r.kind, r.cipher, true, party{pinned: server, public: client})
	err := h.generate()
	if err != nil {
		panic(err)
	}
	b := r.encode()
	h.start(b)
	for _, t := range []token{tokenE, tokenES, tokenS} {
		if b, err = h.writeToken(b, t); err != nil {
			panic(err)
		}
	}
	shared := ss()
	h.mixKey(shared[:])
	return h.encryptAndHash(b, payload)
}

// Agree is one agreement of a handshake.
func Agree(private PrivateKey, public PublicKey) ([]byte, error) {
	shared, err := agree(&private, &public)
	return shared[:], err
}

// InstanceOf returns the number by which a server knows itself.
func InstanceOf(p suite.Protocol) uint32 { return p.(*Protocol).instance }

// KeptSecrets returns where the secrets of a session on a server lie, the current one
// first.
func KeptSecrets(s suite.Session) (all []*[32]byte) {
	k := s.(*serverSession)
	for _, kept := range append([]*kept{k.current}, k.unconfirmed...) {
		all = append(all, (*[32]byte)(&kept.resumption))
	}
	return all
}
