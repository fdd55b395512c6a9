package noise_test

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/noise"
)

// grouped writes a number as the specification does: 16,384.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// table returns the rows of a section's tables by the cell that is a name.
func table(t *testing.T, doc, section string) map[string][]string {
	t.Helper()
	m := regexp.MustCompile(`(?s)\n##+ ` + section + `\n(.*?)\n##`).FindStringSubmatch(doc)
	require.NotNil(t, m, section)
	rows := make(map[string][]string)
	for line := range strings.Lines(m[1]) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		for _, c := range cells[:2] {
			if name := strings.Trim(c, "`"); name != c || len(cells) == 2 || section[0] == '2' {
				rows[name] = cells
			}
		}
	}
	return rows
}

// The specification's numbers and the constants say the same.
func TestNumbersOfTheSpecification(t *testing.T) {
	b, err := os.ReadFile("../../docs/spec/noise.md")
	require.NoError(t, err)
	doc := string(b)

	requests := table(t, doc, "2.1 Request")
	header := noise.Numbers["header"]
	for name, k := range noise.Kinds {
		row := requests[name]
		require.NotNil(t, row, name)
		require.Equal(t, fmt.Sprintf("0x%02x", k), row[0], name)
		curve := "25519"
		if strings.Contains(row[2], "hfs") {
			curve += "+MLKEM768"
		}
		require.Equal(t, "Noise_"+row[2]+"_"+curve+"_AESGCM_SHA256", noise.NoiseName(k, noise.AESGCM), name)
		least, most := noise.Message1(k)
		if strings.HasPrefix(name, "Resume") {
			least, most = least+20, most+20
		}
		switch most - least {
		case 0:
			require.Equal(t, strconv.Itoa(least), row[3], name)
			require.Equal(t, strconv.Itoa(header+least), row[4], name)
		case noise.Numbers["target"]:
			require.Equal(t, fmt.Sprintf("%d + n", least), row[3], name)
			require.Equal(t, fmt.Sprintf("%d + n ≤ %s", header+least, grouped(header+most)), row[4], name)
			require.LessOrEqual(t, header+most, 1400, name) // the budget
		default:
			require.Equal(t, fmt.Sprintf("%d + d", least), row[3], name)
			require.Equal(t, fmt.Sprintf("%d + d ≤ %s", header+least, grouped(header+most)), row[4], name)
			require.Equal(t, noise.Numbers["body"], most, name)
		}
	}
	budget := table(t, doc, `2.5 [^\n]*`)
	for i, name := range []string{"NewNN", "NewNK", "NewIK"} {
		_, most := noise.Message1(noise.Kinds[name])
		sum := 0
		for _, part := range []string{
			"clear part (2.1)", "e", "e1: encapsulation key", "e1: tag", "s: client's key, tag",
			"window, capabilities", "payload's tag", "longest name",
		} {
			n, err := strconv.Atoi(budget[part][i+1])
			require.NoError(t, err, part)
			sum += n
		}
		require.Equal(t, header+most, sum, name)
		require.Equal(t, strconv.Itoa(sum), budget["whole"][i+1], name)
		require.Equal(t, strconv.Itoa(1400-sum), budget["left of 1,400"][i+1], name)
		require.Equal(t, strconv.Itoa(sum-noise.Numbers["target"]), budget["whole, without a name"][i+1], name)
	}
	n, _ := noise.Message2(noise.Kinds["NewNK"])
	classical, _ := noise.Message2(noise.Kinds["ClassicalIK"])
	r, _ := noise.Message2(noise.Kinds["ResumeNK"])
	q, _ := noise.Message2(noise.Kinds["QueryNK"])
	text := strings.Join(strings.Fields(doc), " ")
	require.Contains(t, text, fmt.Sprintf("exactly %d (new), %d (new, classical), %d + d (resume, `d` = 0…%s bytes of data) or %d (query)",
		n, classical, r, grouped(noise.Numbers["early data"]), q))

	flags := table(t, doc, "9 Flags")
	for name, f := range noise.Flags {
		require.Equal(t, fmt.Sprintf("0x%02x", f), flags[name][0], name)
	}
	hints := table(t, doc, `14.1 [^\n]*`)
	for name, h := range noise.Hints {
		require.Equal(t, strconv.Itoa(int(h)), hints[name][0], name)
	}
	statuses := table(t, doc, `14.2 [^\n]*`)
	for name, s := range noise.Statuses {
		require.Equal(t, strconv.Itoa(int(s)), statuses[name][0], name)
	}

	limits := table(t, doc, "15 Limits")
	num := noise.Numbers
	_, mostResume := noise.Message1(noise.Kinds["ResumeNK"])
	_, mostAnswer := noise.Message2(noise.Kinds["ResumeNK"])
	for name, want := range map[string]string{
		"request, new / query / resume":     fmt.Sprintf("1,397 / 79 / %s bytes; read only after the length was checked", grouped(35+mostResume)),
		"requests on one transport":         strconv.Itoa(num["requests"]),
		"answer, new / query / resume":      fmt.Sprintf("%s / %d / %s bytes", grouped(5+n), 5+q, grouped(5+mostAnswer)),
		"early data, and data in message 2": grouped(num["early data"]) + " bytes each",
		"record L":                          fmt.Sprintf("%d…%s; data SHOULD be ≤ %s bytes", num["shortest record"], grouped(num["record"]), grouped(num["data"])),
		"record 0 of a client":              fmt.Sprintf("L ≤ %s; data ≤ %s bytes", grouped(num["first record"]), grouped(num["first data"])),
		"records per key":                   "2^20",
		"window":                            "1…2^30",
		"first limit":                       grouped(num["first limit"]) + " bytes, or the window",
		"secrets per session":               fmt.Sprintf("1 current + %d unconfirmed", num["unconfirmed secrets"]),
		"PSKs of one listener":              strconv.Itoa(num["psks"]),
		"name of a wanted target":           fmt.Sprintf("%d bytes", num["target"]),

		"server keys of one listener, or pinned by a client": strconv.Itoa(num["keys"]),
	} {
		require.NotNil(t, limits[name], name)
		require.Equal(t, want, limits[name][1], name)
	}
	require.Equal(t, 1<<20, num["records per key"])
	require.Equal(t, 1<<30, num["window"])
	require.Equal(t, 0x52, num["magic"])
}
