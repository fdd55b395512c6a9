package proxyproto

import "errors"

// What is wrong with a connection. Its Read and Write return one of these in a
// *net.OpError that names the peer.
var (
	// ErrStranger is the error of connections from addresses that are not
	// trusted.
	ErrStranger = errors.New("proxyproto: the peer is not among Config.Trusted, and Config.Strangers refuses others")

	// ErrNoHeader is the error of trusted peers whose first bytes are none of
	// the protocol.
	ErrNoHeader = errors.New("proxyproto: no PROXY header: is the peer set to send one?")

	// ErrInvalidHeader is the error of headers that are wrong or cut short.
	ErrInvalidHeader = errors.New("proxyproto: invalid PROXY header")

	// ErrHeaderTooLong is the error of headers that are longer than what is
	// accepted.
	ErrHeaderTooLong = errors.New("proxyproto: the PROXY header is too long")

	// ErrChecksum is the error of headers whose checksum does not match.
	ErrChecksum = errors.New("proxyproto: the checksum of the PROXY header is wrong")

	// ErrHeaderTimeout is the error of connections whose header was not there
	// within Config.HeaderTimeout.
	ErrHeaderTimeout = errors.New("proxyproto: no complete PROXY header within the time limit")

	// ErrTooManyPending is the error of connections without a complete header
	// that gave way to newer ones: see Config.MaxPending.
	ErrTooManyPending = errors.New("proxyproto: too many connections without a PROXY header")
)
