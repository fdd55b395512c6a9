package noise

import (
	"fmt"

	"github.com/relink-go/relink/internal/suite"
)

// A hint is a refusal in clear, which anybody on the path can forge: it never
// ends a session (Hints).
type hint byte

// The hints.
const (
	hintBadVersion     hint = 1
	hintBadRequest     hint = 2
	hintUnknownKey     hint = 3
	hintUnknownSession hint = 4
	hintStale          hint = 5
	hintElsewhere      hint = 6
	hintBusy           hint = 7
	hintFailed         hint = 8
)

// err returns what a client makes of the refusal of a request.
func (r refusal) err(of request) error {
	const said = "(the server said so, without proof)"
	switch r.hint {
	case hintBadVersion:
		return suite.Malformed("the server speaks version %d of the suite Noise at best, and was asked in version %d %s", r.version, of.version, said)
	case hintBadRequest:
		return suite.Malformed("the server does not take requests of type %#02x: one that has a key needs NoiseClient with its public key, "+
			"one that has none InsecureNoiseClient, and it may want a client key, a pre-shared key, or a client that is not classical %s", byte(of.kind), said)
	case hintUnknownKey:
		return fmt.Errorf("%w: the server has none of the keys that this client pins, or not its pre-shared key: give NoiseClient the public key of the one it was started with %s", suite.ErrAuthentication, said)
	case hintUnknownSession:
		return fmt.Errorf("%w %s", suite.ErrUnknownSession, said)
	case hintStale:
		return fmt.Errorf("%w %s", suite.ErrSuperseded, said)
	case hintElsewhere:
		return fmt.Errorf("%w: another node has it %s", suite.ErrUnknownSession, said)
	case hintBusy:
		return fmt.Errorf("%w %s", suite.ErrBusy, said)
	case hintFailed:
		return fmt.Errorf("%w: the server could not open the request %s", suite.ErrAuthentication, said)
	default:
		return suite.Malformed("the server refuses with the unknown hint %d", byte(r.hint))
	}
}

// A status is the server's verdict inside message 2, and authentic where the
// server has a key (Payload status).
type status byte

// The statuses.
const (
	statusOK        status = 0
	statusClosed    status = 1
	statusAborted   status = 2
	statusBadOffset status = 3
	statusDenied    status = 4
	statusUnknown   status = 5
	statusElsewhere status = 6
)
