// Package transport is what the packages under transport/ share: a connection
// that passes on what relink asks of a transport, and a listener that prepares
// each connection before Accept returns it.
package transport
