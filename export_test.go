package relink

import "github.com/relink-go/relink/internal/suite"

// NewTestSuite makes a Suite of a protocol that exists only in tests.
func NewTestSuite(p suite.Protocol) Suite { return wire{p: p} }

// Resolved returns the configuration with its defaults filled in.
func (cfg Config) Resolved() (Config, error) {
	s, err := cfg.resolve()
	if err != nil {
		return Config{}, err
	}
	return s.Config, nil
}
