// Package oracle compares package proxyproto with github.com/pires/go-proxyproto,
// the library that most Go servers use. It has tests only, and is a module of its
// own so that the library depends on nothing for them.
package oracle
