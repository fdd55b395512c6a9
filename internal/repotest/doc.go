// Package repotest has the tests that hold the repository to its own rules: who may import what, how
// large a type may be, what documentation names, and the code in the pages for users.
package repotest
