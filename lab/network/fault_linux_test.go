package network

import (
	"errors"
	"testing"
	"time"
)

// quick are the settings of the tests.
var quick = Settings{
	RoundTrip:        50 * time.Millisecond,
	HandshakeTimeout: time.Minute, // a busy machine may take long to begin
	LivenessTimeout:  1500 * time.Millisecond,
	AttemptTimeout:   2 * time.Second,
	MaxBackoff:       500 * time.Millisecond,
	Seed:             1,
}

// atOnce is how many networks there are at a time: little enough for each to be
// served in time by two processors and the race detector.
const atOnce = 4

// longestFault is what tests wait for: longer than any of their time-outs.
const longestFault = 3 * time.Second

// Every fault, with every suite: nothing is lost or doubled, and the gaps are
// bounded. Several happen at the same time, each in a network of its own.
func TestFaults(t *testing.T) {
	newRig(t, RigConfig{}) // or there is nothing to test
	type result struct {
		r   *Report
		err error
	}
	faults := Faults()
	results := make([]chan result, len(faults))
	places := make(chan struct{}, atOnce)
	for i := range faults {
		f := &faults[i]
		f.Lasts = min(f.Lasts, longestFault)
		results[i] = make(chan result, 1)
		go func() {
			places <- struct{}{}
			defer func() { <-places }()
			r, err := Run(*f, quick)
			results[i] <- result{r, err}
		}()
	}
	for i, f := range faults {
		t.Run(f.Name, func(t *testing.T) {
			got := <-results[i]
			if errors.Is(got.err, ErrUnavailable) {
				t.Skip(got.err)
			}
			if got.err != nil {
				t.Fatal(got.err)
			}
			judge(t, got.r, quick)
		})
	}
}

// judge holds a report to what is promised. A time that is exceeded counts only
// as far as this process was not kept waiting: everything takes a few steps,
// each of which may have been.
func judge(t *testing.T, r *Report, s Settings) {
	const steps = 10
	late := max(r.Late, r.LateAfter)
	slack := time.Second + steps*late
	starved := late > s.Liveness()/2
	t.Logf("this process was kept from running for up to %v, and then for up to %v", r.Late, r.LateAfter)
	for _, o := range r.Outcomes {
		name := o.Subject + ", " + string(o.Load)
		if o.Told {
			name += ", told"
		}
		t.Logf("%s: client %v, server %v; %d resumes, %d bytes again of %d", name, o.Client, o.Server, o.Resumes, o.Replayed, o.Bytes)
		for i, side := range []string{"client", "server"} {
			for _, l := range o.Lost[i] {
				t.Logf("  the %s lost a transport after %v: %v", side, l.At.Round(time.Millisecond), l.Err)
			}
		}
		if !o.IsSession() {
			judgePlain(t, r.Fault, o)
			continue
		}
		if errors.Is(o.Exact, ErrIncomplete) && starved {
			t.Skipf("%s: %v, but this process was kept from running for %v, and so was the network: too long for a LivenessTimeout of %v", name, o.Exact, late, s.Liveness())
		}
		if o.Exact != nil {
			t.Errorf("%s: %v", name, o.Exact)
		}
		if o.Bytes == 0 {
			t.Errorf("%s: no bytes", name)
		}
		if starved {
			continue // the links may have died of it, any number of times
		}
		if raceDetector {
			continue // it slows every step down, which the two times above do not tell
		}
		if o.Load == Idle {
			if o.Answer > s.Liveness()+3*s.RoundTrip+slack {
				t.Errorf("%s: the first message afterwards took %v", name, o.Answer)
			}
			continue
		}
		if r.Fault.Cuts && o.Resumes == 0 && (!survivable(r.Fault) || late < s.Liveness()/8) {
			t.Errorf("%s: the session did not have to resume", name)
		}
		if most := bound(r.Fault, s, o.Told); most > 0 && o.Gap() > most+slack {
			t.Errorf("%s: a gap of %v, and the bound is %v with %v of slack", name, o.Gap(), most, slack)
		}
	}
}

// bound is the longest gap that is promised, or zero if nothing is.
func bound(f Fault, s Settings, told bool) time.Duration {
	flow := 3*s.RoundTrip + MessageEvery
	switch {
	case !f.Cuts:
		return 0
	case told:
		return f.Lasts + flow + 10*time.Millisecond
	case f.Lasts > 0:
		return f.Lasts + max(s.Liveness(), s.Redial()) + flow
	default:
		return s.Liveness() + flow
	}
}

// judgePlain makes sure that the fault was one: a connection that nothing
// resumes does not survive what cuts it for good, and is quiet while nothing
// passes.
func judgePlain(t *testing.T, f Fault, o Outcome) {
	if !f.Cuts {
		return
	}
	if !survivable(f) && !o.Client.Open && !o.Server.Open {
		t.Errorf("%s has survived a fault that ends connections", o.Subject)
	}
	if o.Gap() < f.Lasts/2 {
		t.Errorf("%s: a gap of %v while nothing passed for %v", o.Subject, o.Gap(), f.Lasts)
	}
}

// survivable says that the network is in the end what it was before, so that a
// connection may live through the fault if its time-outs are long enough.
func survivable(f Fault) bool { return f.Lasts > 0 && !f.nat }
