//go:build relinkdebug

package relink

// debugging has the session look at itself at each unlock: see assertStraightLocked.
const debugging = true
