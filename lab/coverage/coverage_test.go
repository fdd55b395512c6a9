package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const source = `package p

type T struct{}

func (t *T) F(f func() error) error {
	err := f()
	if err != nil {
		return err
	}
	switch {
	case err == nil || false:
		return nil
	}
	return nil
}
`

// profileOf returns a profile of the source in which the blocks at two lines
// were run that often.
func profileOf(failed, switched string) string {
	return "mode: set\n" +
		module + "p.go:5.38,7.16 2 1\n" +
		module + "p.go:7.16,9.3 1 " + failed + "\n" +
		module + "p.go:11.27,12.13 1 " + switched + "\n" +
		module + "p.go:11.27,12.13 1 0\n" + // the tests of another package
		module + "p.go:14.2,14.12 40 1\n"
}

const (
	onFailure = "| `p.go` | `T.F` | `if err != nil {` | never | it cannot fail |\n"
	onSwitch  = "| `p.go` | `T.F` | `case err == nil \\|\\| false` | sometimes | a race |\n"
	header    = "| file | function | statement | when | why |\n|---|---|---|---|---|\n"
)

func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		profile, list string
		want          string
	}{
		"all covered":             {profileOf("1", "1"), header, ""},
		"explained":               {profileOf("0", "1"), header + onFailure, ""},
		"explained by the call":   {profileOf("0", "1"), header + strings.Replace(onFailure, "if err != nil {", "err := f()", 1), ""},
		"explained twice":         {profileOf("0", "0"), header + onFailure + onSwitch, ""},
		"sometimes, and not now":  {profileOf("1", "1"), header + onSwitch, ""},
		"not explained":           {profileOf("0", "1"), header, "p.go:7 (T.F): err := f() if err != nil { return err }"},
		"explained by another":    {profileOf("0", "1"), header + onSwitch, "not covered"},
		"covered":                 {profileOf("1", "1"), header + onFailure, "it is covered"},
		"gone":                    {profileOf("1", "1"), header + strings.Replace(onSwitch, "false", "true", 1), "no such statement"},
		"of another function":     {profileOf("0", "1"), header + strings.Replace(onFailure, "T.F", "T.G", 1), "no such statement"},
		"fewer than are wanted":   {strings.Replace(profileOf("0", "1"), "7.16,9.3 1", "7.16,9.3 9", 1), header + onFailure, "are wanted"},
		"no columns":              {profileOf("1", "1"), header + "| `p.go` | `T.F` |\n", "columns"},
		"neither never nor other": {profileOf("1", "1"), header + strings.Replace(onFailure, "never", "rarely", 1), "neither"},
		"no reason":               {profileOf("1", "1"), header + strings.Replace(onFailure, "it cannot fail", "", 1), "lacks"},
		"no profile":              {"mode: set\nfoo\n", header, "not of a coverage profile"},
	} {
		t.Run(name, func(t *testing.T) {
			err := judgeTexts(t, c.profile, c.list)
			switch {
			case c.want == "" && err != nil:
				t.Fatal(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Fatalf("want an error with %q: %v", c.want, err)
			}
		})
	}
}

func judgeTexts(t *testing.T, profile, list string) error {
	t.Helper()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "p.go"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	blocks, err := parseProfile(profile)
	if err != nil {
		return err
	}
	if err := locate(root, blocks); err != nil {
		return err
	}
	reasons, err := parseList(list)
	if err != nil {
		return err
	}
	return judge(blocks, reasons)
}
