package simulation_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/lab/simulation"
)

// What is printed is read back, and means the same.
func TestTextOfASchedule(t *testing.T) {
	for seed := range uint64(2000) {
		s := simulation.Generate(seed)
		again, err := simulation.Parse("# a comment\n\n" + s.String())
		require.NoError(t, err)
		require.Equal(t, s, again)
		require.Equal(t, s, simulation.Generate(seed), "a seed makes two schedules")
	}
}

// What is not a schedule is refused, with the number of the line.
func TestNoSchedule(t *testing.T) {
	for text, want := range map[string]string{
		"config suite=tls\n":                      `there is no suite "tls"`,
		"config seed=x\n":                         "line 1: seed",
		"config colour=red\n":                     `line 1: there is no "colour" here`,
		"\n+1ms fly\n":                            `line 2: there is no step "fly"`,
		"+1 open\n":                               "line 1: time: missing unit",
		"+1ms\n":                                  `line 1: "+1ms" is no step`,
		"+1ms open side=client\n":                 `line 1: there is no "side" here`,
		"+1ms write side=both\n":                  `line 1: side: "both" is not one of`,
		"+1ms cut kind=Maybe\n":                   `line 1: kind: "Maybe" is not one of`,
		"+1ms open conn=-1\n":                     "line 1: +1ms open conn=-1: a number is below zero",
		"config end=never\n":                      `line 1: end: "never" is not one of`,
		"config delay=1\n":                        "line 1: delay: time: missing unit",
		"config opaque=perhaps\n+1ms open\n":      "line 1: opaque",
		"+1ms open\n+1ms hostile n=-1 stay=yes\n": "line 2: stay",
	} {
		_, err := simulation.Parse(text)
		require.ErrorContains(t, err, want)
	}
}
