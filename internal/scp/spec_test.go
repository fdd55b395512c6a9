package scp_test

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/dh64"
	"github.com/relink-go/relink/internal/scp"
	"github.com/relink-go/relink/internal/suite"
)

func specification(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/spec/scp.md")
	require.NoError(t, err)
	// Line breaks within a paragraph are nobody's concern.
	return regexp.MustCompile(`[ \n]+`).ReplaceAllString(string(b), " ")
}

// TestSpecification ties the numbers of the specification to the constants.
func TestSpecification(t *testing.T) {
	doc := specification(t)
	assert.EqualValues(t, uint64(math.MaxUint64-58), dh64.Prime)
	assert.EqualValues(t, 5, dh64.Generator)
	p := uint64(4 * 11 * 137 * 547 * 5594472617641)
	assert.Equal(t, dh64.Prime-1, p)
	for _, s := range []string{
		"p = 2^64 − 59, g = 5",
		fmt.Sprintf("djb: starts at %d,", scp.DJBStart),
		fmt.Sprintf("js: starts at %d,", scp.JSStart),
		fmt.Sprintf("%d bytes +", 16*scp.MACBlocks),
		fmt.Sprintf("| %d bytes", scp.KeySize),
		fmt.Sprintf("above %d is refused before", scp.MaxPacket),
		fmt.Sprintf("| flag | 0 | %d |", int64(scp.MaxFlag)),
		fmt.Sprintf("limit it to %d characters", scp.MaxTarget),
		fmt.Sprintf("after %d attempts", scp.MaxIDs),
		fmt.Sprintf("within **%d milliseconds** after", scp.MinInterval),
		fmt.Sprintf("Bit 0 (value %d) forbids", scp.FlagForbidForwardIP),
		fmt.Sprintf("%d bytes must therefore be enough", scp.MatchSize),
		fmt.Sprintf("a length from %d (the shortest request) to %d, and %d bytes", scp.MinRequest, scp.MaxPacket, scp.MatchSize-2),
		"p − 1 = 4·11·137·547·5594472617641",
	} {
		assert.True(t, strings.Contains(doc, s), "the specification does not say %q", s)
	}
}

// TestSpecifiedStatus reads the table of the codes.
func TestSpecifiedStatus(t *testing.T) {
	b, err := os.ReadFile("../../docs/spec/scp.md")
	require.NoError(t, err)
	rows := regexp.MustCompile(`(?m)^\| (\d{3}) \| ([^|]+) \| [^|]+ \| ([^|]*)\|$`).FindAllStringSubmatch(string(b), -1)
	known := map[int]bool{
		scp.StatusOK: true, scp.StatusMalformed: true, scp.StatusUnauthorized: true, scp.StatusIndexUsed: true,
		scp.StatusUnknown: true, scp.StatusNotAcceptable: true, scp.StatusNetworkError: true,
	}
	require.Len(t, rows, len(known))
	for _, row := range rows {
		code, err := strconv.Atoi(row[1])
		require.NoError(t, err)
		assert.True(t, known[code], code)
		e := scp.StatusError{Code: code}
		assert.Equal(t, strings.TrimSpace(row[2]), e.Name())
		assert.Equal(t, strings.TrimSpace(row[3]) == "final", e.Is(suite.ErrRefused), code)
	}
}

// TestSpecifiedExamples decodes the byte diagrams.
func TestSpecifiedExamples(t *testing.T) {
	b, err := os.ReadFile("../../docs/spec/scp.md")
	require.NoError(t, err)
	var packets [][]byte
	for _, line := range regexp.MustCompile(`(?m)^    00 [0-9a-f ]+$`).FindAllString(string(b), -1) {
		var p []byte
		for _, octet := range strings.Fields(line) {
			n, err := strconv.ParseUint(octet, 16, 8)
			require.NoError(t, err)
			p = append(p, byte(n))
		}
		require.Equal(t, packet(string(p[2:])), p, "length of %q", p)
		packets = append(packets, p)
	}
	require.Len(t, packets, 3)
	m, err := scp.ParseRequest(packets[0][2:])
	require.NoError(t, err)
	assert.Equal(t, "Zone", m.Target)
	assert.EqualValues(t, 1, m.Flag)
	m, err = scp.ParseRequest(packets[1][2:])
	require.NoError(t, err)
	assert.Equal(t, vectors(t)[0].Resume.Client, string(packets[1][2:]))
	assert.EqualValues(t, 123, m.Received)
	received, code, _, err := scp.ParseResumeAnswer(packets[2][2:])
	require.NoError(t, err)
	assert.EqualValues(t, 123, received)
	assert.Equal(t, 200, code)
}
