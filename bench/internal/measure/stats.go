// Package measure holds what every experiment needs: turns that fall on all
// subjects alike, medians with their spread, and what the process has used.
package measure

import (
	"math"
	"math/rand/v2"
	"slices"
)

// A Summary is the median of a sample and its quartiles.
type Summary struct {
	Median, Low, High float64
	N                 int
}

// Summarize returns the median and quartiles of the sample, which it leaves as it
// is. An empty sample has a median of NaN.
func Summarize(sample []float64) Summary {
	sorted := slices.Sorted(slices.Values(sample))
	return Summary{
		Median: Quantile(sorted, 0.5),
		Low:    Quantile(sorted, 0.25),
		High:   Quantile(sorted, 0.75),
		N:      len(sorted),
	}
}

// Quantile returns the q-quantile of a sorted sample, between neighbours where
// it falls between them, and NaN for an empty one.
func Quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return math.NaN()
	}
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	part := at - float64(i)
	return sorted[i]*(1-part) + sorted[i+1]*part
}

// Ratios divides the values of a by those of b, round by round.
func Ratios(a, b []float64) []float64 {
	ratios := make([]float64, min(len(a), len(b)))
	for i := range ratios {
		ratios[i] = a[i] / b[i]
	}
	return ratios
}

// Turns calls f for each of n subjects in each round, in an order that is drawn
// anew, so that what one leaves behind (garbage, warm or cold caches, a busy
// kernel) meets all others alike.
func Turns(rounds, n int, f func(round, subject int) error) error {
	for round := range rounds {
		for _, subject := range rand.Perm(n) {
			if err := f(round, subject); err != nil {
				return err
			}
		}
	}
	return nil
}
