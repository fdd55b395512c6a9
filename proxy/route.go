package proxy

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// ErrUnknownUpstream means that a client asked for a name that no [Rule] knows,
// or for none where there is no default.
var ErrUnknownUpstream = errors.New("proxy: no such upstream")

// Routes find the upstream that a client asks for. They must not be changed while
// they are used.
type Routes struct {
	// Default is for clients that ask for nothing by name ([relink.Identity.Target]),
	// which those of DH64RC4 never do. Nil means that these are turned away.
	Default *Upstream

	// Rules are for the others. The first one that fits is taken.
	Rules []Rule
}

// A Rule fits a name if everything of it does that is set. One with nothing set fits
// every name.
type Rule struct {
	Name    string         // the whole name
	Prefix  string         // how it begins
	Suffix  string         // how it ends
	Pattern *regexp.Regexp // what it contains; ^ and $ are not implied

	Upstream *Upstream // where the session goes
}

func (r *Rule) fits(name string) bool {
	return (r.Name == "" || r.Name == name) &&
		strings.HasPrefix(name, r.Prefix) && strings.HasSuffix(name, r.Suffix) &&
		(r.Pattern == nil || r.Pattern.MatchString(name))
}

// Find returns the upstream for a name, which is empty for a client that asked for
// none. The error is [ErrUnknownUpstream].
func (r *Routes) Find(name string) (*Upstream, error) {
	if name == "" {
		if r.Default == nil {
			return nil, fmt.Errorf("%w: the client names none, and there is no default", ErrUnknownUpstream)
		}
		return r.Default, nil
	}
	for i := range r.Rules {
		if r.Rules[i].fits(name) {
			return r.Rules[i].Upstream, nil
		}
	}
	return nil, fmt.Errorf("%w: the client asks for %q", ErrUnknownUpstream, name)
}
