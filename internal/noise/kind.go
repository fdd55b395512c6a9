package noise

// A kind is the type of a request (Request): a pattern, whether the server's PSK
// is used, whether the key exchange is hybrid, and what for.
type kind byte

const (
	patternNN kind = 0x01
	patternNK kind = 0x02
	patternIK kind = 0x03

	withPSK kind = 0x04
	hybrid  kind = 0x08

	forResume kind = 0x10
	forQuery  kind = 0x20

	patternMask = 0x03
	purposeMask = 0xf0
)

// The kinds that are named in the code.
const (
	resumeNN   = forResume | withPSK | patternNN
	resumeNK   = forResume | withPSK | patternNK
	queryNN    = forQuery | patternNN
	queryNK    = forQuery | patternNK
	queryNNPSK = forQuery | withPSK | patternNN
)

func (k kind) isNew() bool    { return k&purposeMask == 0 }
func (k kind) isResume() bool { return k&purposeMask == forResume }
func (k kind) isQuery() bool  { return k&purposeMask == forQuery }
func (k kind) isHybrid() bool { return k&hybrid != 0 }

// psk reports whether a secret goes first. In a resume it is the session's.
func (k kind) psk() bool { return k&withPSK != 0 }

// serverPSK reports whether it is one of the server's PSKs.
func (k kind) serverPSK() bool { return k.psk() && !k.isResume() }

// keyed reports whether the server's static key is part of the handshake.
func (k kind) keyed() bool { return k&patternMask != patternNN }

// clientKeyed reports whether the client's static key is.
func (k kind) clientKeyed() bool { return k&patternMask == patternIK }

func (k kind) known() bool {
	switch k {
	case resumeNN, resumeNK, queryNN, queryNK, queryNNPSK:
		return true
	default:
		return k.isNew() && k&patternMask != 0
	}
}

// A token is one step of a handshake (Noise, section 7; Hybrid).
type token byte

const (
	tokenE token = iota
	tokenS
	tokenEE
	tokenES
	tokenSE
	tokenSS
	tokenPSK
	tokenE1
	tokenEKEM1
)

// tokens returns the steps of the two messages.
func (k kind) tokens() (first, second []token) {
	if k.psk() {
		first = append(first, tokenPSK)
	}
	first = append(first, tokenE)
	if k.keyed() {
		first = append(first, tokenES)
	}
	second = append(second, tokenE, tokenEE)
	if k.isHybrid() {
		first = append(first, tokenE1)
		second = append(second, tokenEKEM1)
	}
	if k.clientKeyed() {
		first = append(first, tokenS, tokenSS)
		second = append(second, tokenSE)
	}
	return first, second
}

// protocolName returns the full name, which the handshake hash begins with.
func (k kind) protocolName(c cipherID) string {
	name := map[kind]string{patternNN: "NN", patternNK: "NK", patternIK: "IK"}[k&patternMask]
	curve := "_25519_"
	switch {
	case k.isHybrid() && k.psk():
		name += "hfs+psk0"
	case k.isHybrid():
		name += "hfs"
	case k.psk():
		name += "psk0"
	}
	if k.isHybrid() {
		curve = "_25519+MLKEM768_"
	}
	return "Noise_" + name + curve + c.String() + "_SHA256"
}

// message1 returns the bounds of the length of Noise message 1.
func (k kind) message1() (least, most int) {
	n := k.overhead1()
	switch {
	case k.isNew():
		return n + newPayload1, n + newPayload1 + maxTarget
	case k.isResume():
		return n + resumePayload1, n + resumePayload1 + maxEarly
	default:
		return n + queryPayload1, n + queryPayload1
	}
}

// overhead1 is what message 1 has beside its payload.
func (k kind) overhead1() int {
	tag := tagSize
	if !k.keyed() && !k.psk() {
		tag = 0 // the first message of NN is in clear
	}
	n := dhSize + tag
	if k.isHybrid() {
		n += encapsulationKeySize + tag
	}
	if k.clientKeyed() {
		n += dhSize + tag
	}
	return n
}

// message2 returns the bounds of the length of Noise message 2.
func (k kind) message2() (least, most int) {
	n := k.overhead2()
	switch {
	case k.isNew():
		return n + newPayload2, n + newPayload2
	case k.isResume():
		return n + resumePayload2, n + resumePayload2 + maxEarly
	default:
		return n + queryPayload2, n + queryPayload2
	}
}

// overhead2 is what message 2 has beside its payload.
func (k kind) overhead2() int {
	n := dhSize + tagSize
	if k.isHybrid() {
		n += kemCiphertextSize + tagSize
	}
	return n
}
