//go:build relinkdebug

package asserts

// Check panics if what is kept contradicts the state.
func Check(i Invariant) {
	if what := i.Contradiction(); what != "" {
		panic("relink: internal error: " + what)
	}
}
