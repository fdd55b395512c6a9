package experiment

import (
	"context"

	"github.com/relink-go/relink/bench/internal/report"
	"github.com/relink-go/relink/bench/internal/subject"
)

var transports = Experiment{
	Name:  "transports",
	Title: "Transports: a session, and what it runs over",
	Text: "A session of the suite Noise over each transport of this repository, beside what that transport is without it: a TLS connection, a WebSocket as its library makes a net.Conn of it, a stream of a QUIC connection, a KCP connection. " +
		"Over TLS and QUIC all bytes are encrypted twice. The first row is a session over TCP, relative to the same cipher in TLS. Echoes and processes as above; a resume is a client's NetworkChanged and the echo after it, which for what cannot resume is a new connection.",
	run: runTransports,
}

// overTransports are what is compared: each after its rival.
var overTransports = []string{
	subject.TCP, subject.TLSAES256, subject.Noise, subject.TLS, subject.NoiseTLS, subject.WebSocket, subject.NoiseWebSocket,
	subject.QUIC, subject.NoiseQUIC, subject.KCP, subject.NoiseKCP,
}

func runTransports(ctx context.Context, e *Env, s *report.Section) error {
	pin := placements()[0]
	bulk, echo, back := each(overTransports, writes("", large, 1)), each(overTransports, echoes("", echoing, pin)), each(overTransports, contender{task: resuming, conns: 1})
	all, err := e.contest(ctx, e.Scale.Rounds, bulk, echo, back)
	if err != nil {
		return err
	}
	t := report.Table{Columns: []string{
		"subject", "rival", report.Bytes(large) + ": MB/s", "speed / rival", "processor time / rival", report.Bytes(echoDuelSize) + " echo: p50 µs", "p50 / rival", "resume: p50 µs", "p50 / rival",
	}}
	for i, name := range overTransports {
		t.Rows = append(t.Rows, []string{
			name, versus(name),
			all[0].cell(bulk[i], speedOf, megabytes), all[0].ratioCell(bulk[i], speedOf), all[0].ratioCell(bulk[i], processorOf),
			all[1].cell(echo[i], p50Of, micro), all[1].ratioCell(echo[i], p50Of),
			all[2].cell(back[i], p50Of, micro), all[2].ratioCell(back[i], p50Of),
		})
		if rival, ok := rivalOf[name]; ok {
			for k, c := range []contender{bulk[i], echo[i]} {
				o := c
				o.subject = rival
				all[k].compare(s.Figures, c, o)
			}
		}
	}
	s.Tables = append(s.Tables, t)
	return nil
}
