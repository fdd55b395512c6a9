package simulation

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/relink-go/relink/internal/faultnet"
)

// The text of a schedule has a line for its configuration and one for each
// step:
//
//	config seed=7 suite=scp buffer=300 delay=1ms
//	+10ms open
//	+2.5ms write side=client n=5000
//
// What has its default, or is zero, is left out. An empty line and one that
// begins with # say nothing.

// A named is a field of a Config or Step under the name that it has in text.
// value points to it.
type named struct {
	name  string
	value any
}

func (c *Config) fields() []named {
	return []named{
		{"seed", &c.Seed},
		{"suite", &c.Suite},
		{"conns", &c.Conns},
		{"climit", &c.ClientLimit},
		{"slimit", &c.ServerLimit},
		{"cresume", &c.ClientResume},
		{"sresume", &c.ServerResume},
		{"handshake", &c.Handshake},
		{"linger", &c.Linger},
		{"liveness", &c.Liveness},
		{"attempt", &c.Attempt},
		{"minbackoff", &c.MinBackoff},
		{"maxbackoff", &c.MaxBackoff},
		{"buffer", &c.Buffer},
		{"segment", &c.Segment},
		{"delay", &c.Delay},
		{"opaque", &c.Opaque},
		{"resetonunread", &c.ResetOnUnread},
		{"shortwrites", &c.ShortWrites},
		{"eofwithdata", &c.EOFWithData},
		{"quiet", &c.Quiet},
		{"end", &c.End},
		{"tail", &c.Tail},
	}
}

func (s *Step) fields() []named {
	return []named{
		{"conn", &s.Conn},
		{"side", &s.Side},
		{"n", &s.N},
		{"m", &s.M},
		{"for", &s.For},
		{"which", &s.Which},
		{"path", &s.Path},
		{"dir", &s.Dir},
		{"kind", &s.Kind},
		{"stay", &s.Stay},
	}
}

// kinds are the cuts that a schedule can name.
var kinds = []faultnet.Kind{
	faultnet.Reset, faultnet.ResetNow, faultnet.End,
	faultnet.BlackHole, faultnet.BlackHoleUp, faultnet.BlackHoleDown,
	faultnet.EndUp, faultnet.EndDown,
}

func (f named) String() string {
	switch v := f.value.(type) {
	case *int:
		return strconv.Itoa(*v)
	case *uint64:
		return strconv.FormatUint(*v, 10)
	case *bool:
		return strconv.FormatBool(*v)
	case *string:
		return *v
	case *Side:
		return string(*v)
	case *Ending:
		return string(*v)
	case *time.Duration:
		return v.String()
	case *faultnet.Dir:
		return v.String()
	case *faultnet.Kind:
		return v.String()
	default:
		panic(fmt.Sprintf("simulation: a field of type %T", v))
	}
}

// set reads what String has written.
func (f named) set(s string) (err error) {
	switch v := f.value.(type) {
	case *int:
		*v, err = strconv.Atoi(s)
	case *uint64:
		*v, err = strconv.ParseUint(s, 10, 64)
	case *bool:
		*v, err = strconv.ParseBool(s)
	case *string:
		*v = s
	case *Side:
		err = oneOf(v, s, []Side{Client, Server})
	case *Ending:
		err = oneOf(v, s, endings)
	case *time.Duration:
		*v, err = time.ParseDuration(s)
	case *faultnet.Dir:
		err = oneOf(v, s, []faultnet.Dir{faultnet.Up, faultnet.Down})
	case *faultnet.Kind:
		err = oneOf(v, s, kinds)
	default:
		panic(fmt.Sprintf("simulation: a field of type %T", v))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	return nil
}

// oneOf sets v to the value that prints as s.
func oneOf[T any](v *T, s string, all []T) error {
	for _, a := range all {
		if fmt.Sprint(a) == s {
			*v = a
			return nil
		}
	}
	return fmt.Errorf("%q is not one of %v", s, all)
}

// String returns the schedule as [Parse] reads it.
func (s Schedule) String() string {
	var b strings.Builder
	b.WriteString("config")
	d := Default()
	defaults := d.fields()
	for i, f := range s.Config.fields() {
		if v := f.String(); v != defaults[i].String() {
			fmt.Fprintf(&b, " %s=%s", f.name, v)
		}
	}
	b.WriteByte('\n')
	for _, st := range s.Steps {
		b.WriteString(st.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// String returns the step's line. Fields that the verb does not use are left
// out, and zeros, but for a direction and a kind of cut.
func (s Step) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "+%v %s", s.After, s.Do)
	zero := Step{}
	zeros := zero.fields()
	for i, f := range s.fields() {
		uses := false
		for _, name := range verbs[s.Do] {
			uses = uses || name == f.name
		}
		v := f.String()
		if uses && (v != zeros[i].String() || f.name == "dir" || f.name == "kind") {
			fmt.Fprintf(&b, " %s=%s", f.name, v)
		}
	}
	return b.String()
}

// Parse reads the text of a schedule. An error names the line.
func Parse(text string) (Schedule, error) {
	s := Schedule{Config: Default()}
	sc := bufio.NewScanner(strings.NewReader(text))
	for number := 1; sc.Scan(); number++ {
		words := strings.Fields(sc.Text())
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if err := s.parseLine(words); err != nil {
			return Schedule{}, fmt.Errorf("line %d: %w", number, err)
		}
	}
	if _, ok := suites[s.Suite]; !ok {
		return Schedule{}, fmt.Errorf("there is no suite %q", s.Suite)
	}
	return s, sc.Err()
}

func (s *Schedule) parseLine(words []string) error {
	if words[0] == "config" {
		return parseFields(words[1:], s.Config.fields(), nil)
	}
	if len(words) < 2 {
		return fmt.Errorf("%q is no step", words[0])
	}
	var st Step
	var err error
	if st.After, err = time.ParseDuration(strings.TrimPrefix(words[0], "+")); err != nil {
		return err
	}
	st.Do = Verb(words[1])
	used, ok := verbs[st.Do]
	if !ok {
		return fmt.Errorf("there is no step %q", st.Do)
	}
	if used == nil {
		used = []string{}
	}
	if err := parseFields(words[2:], st.fields(), used); err != nil {
		return err
	}
	if st.Conn < 0 || st.Path < 0 || st.M < 0 || st.After < 0 {
		return fmt.Errorf("%v: a number is below zero", st)
	}
	s.Steps = append(s.Steps, st)
	return nil
}

// parseFields sets fields to what words say. used, if not nil, says which may
// be there.
func parseFields(words []string, fields []named, used []string) error {
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		known := used == nil
		for _, u := range used {
			known = known || u == name
		}
		found := false
		for _, f := range fields {
			if f.name == name && known {
				found = true
				if err := f.set(value); err != nil {
					return err
				}
			}
		}
		if !found {
			return fmt.Errorf("there is no %q here", name)
		}
	}
	return nil
}
