package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A verdict is what a run of tests has come to: the first test that failed, if
// one did.
type verdict struct {
	test   string // the name, without that of a subtest
	pkg    string // its import path
	how    string // in which way, where it is not by a comparison of its own
	wide   bool   // it is not one of those that ought to have
	output string // what the tests printed

	// doubtful are tests that have failed, but alone have passed, or have failed
	// without the mutant too.
	doubtful []string
}

func (v verdict) caught() bool { return v.test != "" }

// String is how the table names the test.
func (v verdict) String() string {
	switch {
	case !v.caught():
		return "**survives**"
	case v.how != "":
		return v.test + " (" + v.how + ")"
	default:
		return v.test
	}
}

// An event is a line of go test -json.
type event struct {
	Action, Package, Test, Output string
	ImportPath, FailedBuild       string
}

// ways are how a process of tests says that it ended before its time, and what
// the table calls that. The first that fits counts.
var ways = []struct{ says, called string }{
	{"panic: test timed out", "time-out"},
	{"WARNING: DATA RACE", "data race"},
	{"panic: deadlock: main bubble goroutine has exited", "a goroutine is left"},
	{"panic: deadlock", "deadlock"},
	{"fatal error: all goroutines are asleep", "deadlock"},
	{"fatal error: ", "crash"},
	{"panic: ", "panic"},
}

// judge reads what go test -json has printed. That something does not compile
// is an error.
func judge(lines []byte) (verdict, error) {
	var v verdict
	var output strings.Builder
	var begun []string // tests that have not ended, of the package that is being run
	broke := ""        // the test whose process said that it ended before its time
	timedOut := ""     // the test that was running when the time was up
	for line := range bytes.Lines(lines) {
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return v, fmt.Errorf("the go command printed what is not JSON: %.200q", line)
		}
		output.WriteString(e.Output)
		if e.FailedBuild != "" {
			return v, fmt.Errorf("it does not compile:\n%s", output.String())
		}
		if v.test != "" {
			continue
		}
		test, _, isSubtest := strings.Cut(e.Test, "/")
		for _, w := range ways {
			if v.how == "" && strings.HasPrefix(e.Output, w.says) {
				v.how, broke = w.called, test
			}
		}
		if name, ok := runningTest(e.Output); ok && timedOut == "" {
			timedOut = name
		}
		switch {
		case e.Action == "run" && !isSubtest:
			begun = append(begun, test)
		case e.Action == "fail" && test != "":
			v.test, v.pkg = test, e.Package
		case (e.Action == "pass" || e.Action == "skip") && test != "" && !isSubtest:
			begun = slices.DeleteFunc(begun, func(s string) bool { return s == test })
		case e.Action == "fail": // the process has ended without naming one
			v.test, v.pkg = "TestMain", e.Package
			switch {
			case timedOut != "" && v.how == "time-out":
				v.test = timedOut
			case broke != "":
				v.test = broke
			case len(begun) > 0:
				v.test = begun[len(begun)-1]
			}
			if v.how == "" {
				v.how = "the process ended"
			}
		}
	}
	v.output = output.String()
	return v, nil
}

// runningTest returns the test that a line names in the list which a time-out
// prints: "		TestName/subtest (3s)".
func runningTest(line string) (string, bool) {
	rest, ok := strings.CutPrefix(line, "\t\tTest")
	if !ok || !strings.HasSuffix(rest, "s)\n") {
		return "", false
	}
	rest, _, ok = strings.Cut(rest, " (")
	name, _, _ := strings.Cut("Test"+rest, "/")
	return name, ok
}
