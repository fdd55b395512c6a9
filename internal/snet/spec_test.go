package snet_test

import (
	"math/big"
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/dh64"
	"github.com/relink-go/relink/internal/snet"
)

// The table Numbers of the specification and the constants say the same.
func TestNumbersOfTheSpecification(t *testing.T) {
	doc, err := os.ReadFile("../../docs/spec/snet.md")
	require.NoError(t, err)
	section := regexp.MustCompile(`(?s)\n## Numbers\n(.*?)\n## `).FindSubmatch(doc)
	require.NotNil(t, section, "no section Numbers")
	got := make(map[string]uint64)
	for _, row := range regexp.MustCompile(`(?m)^\| ([^|]+?) \| (0x[0-9a-f]+|\d+) \|`).FindAllSubmatch(section[1], -1) {
		n, err := strconv.ParseUint(string(row[2]), 0, 64)
		require.NoError(t, err)
		require.NotContains(t, got, string(row[1]))
		got[string(row[1])] = n
	}
	require.Equal(t, snet.Numbers, got)
}

// The factors of p - 1 are why the key exchange protects nothing.
func TestFactors(t *testing.T) {
	product := uint64(1)
	for _, f := range []uint64{4, 11, 137, 547, 5594472617641} {
		product *= f
		if f != 4 {
			require.True(t, new(big.Int).SetUint64(f).ProbablyPrime(0))
		}
	}
	require.Equal(t, dh64.Prime-1, product)

	doc, err := os.ReadFile("../../docs/spec/snet.md")
	require.NoError(t, err)
	require.Contains(t, string(doc), "4·11·137·547·5594472617641")
}
