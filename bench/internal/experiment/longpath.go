package experiment

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/bench/internal/helper"
	"github.com/relink-go/relink/bench/internal/measure"
	"github.com/relink-go/relink/bench/internal/report"
	"github.com/relink-go/relink/bench/internal/subject"
	"github.com/relink-go/relink/bench/internal/wan"
)

var longPath = Experiment{
	Name:  "long-path",
	Title: "A long path: 50 ms, 20 Mbit/s",
	Text: "The same work through a relay in user space that delays and paces packets of up to 1500 bytes, with a queue of 128 KiB; headers count towards the rate. New session: from Dial until the server has " +
		"accepted; TCP's own handshake is waited for as a round trip before a connection through the relay. Echo: 128 bytes. Speed: the application's bytes that arrive, writes of 64 bytes and of 64 KiB, in the second " +
		"half of the time. Resume: `NetworkChanged` until an echo is back; TCP's handshake, the resume's and the data share the round trips. " +
		"The model favours what runs over TCP: a connection ends at the relay, so nothing is lost and there is no slow start, while QUIC's datagrams are dropped when the queue is full and QUIC has to find the rate.",
	run: runLongPath,
}

// The work on the long path.
const (
	pathEcho  = 128
	pathSmall = 64
	pathLarge = 64 << 10
)

func runLongPath(ctx context.Context, e *Env, s *report.Section) error {
	subjects := subject.ForHandshakes(e.Credentials)
	of := names(subjects)
	opened, echoes, small, large, resumed := make(series), make(series), make(series), make(series), make(series)
	err := measure.Turns(e.Scale.PathRounds, len(subjects), func(round, i int) error {
		e.Progress(fmt.Sprintf("%s, round %d", of[i], round+1))
		n := wan.New(wan.Default) // of its own, with an empty queue
		defer n.Close()
		d, err := openDoor(subjects[i])
		if err != nil {
			return err
		}
		defer d.close()
		start := time.Now()
		client, server, err := d.enter(ctx, n)
		if err != nil {
			return err
		}
		defer func() { subject.Abort(client); subject.Abort(server) }()
		opened.add(of[i], milliseconds(time.Since(start)))
		if of[i] == subject.TLSX25519 {
			return nil // only its handshake differs
		}

		for size, found := range map[int]series{pathSmall: small, pathLarge: large} {
			speed, err := pathSpeed(client, server, size, e.Scale.PathTime)
			if err != nil {
				return fmt.Errorf("%s: %w", of[i], err)
			}
			found.add(of[i], speed*8/megabyte)
		}
		go Echo(server, pathEcho)
		var times []float64
		if err := RoundTrips(client, pathEcho, 1+e.Scale.PathEchoes, &times); err != nil {
			return fmt.Errorf("%s: %w", of[i], err)
		}
		echoes.add(of[i], measure.Summarize(times[1:]).Median/float64(time.Millisecond))
		if c, ok := client.(*relink.Conn); ok {
			took, err := helper.ResumeOnce(c, make([]byte, pathEcho))
			if err != nil {
				return fmt.Errorf("%s: %w", of[i], err)
			}
			resumed.add(of[i], milliseconds(took))
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	t := report.Table{Columns: []string{"subject", "new session, ms", "echo, ms", "64 B writes, Mbit/s", "64 KiB writes, Mbit/s", "resume, ms"}}
	for _, name := range of {
		row := []string{name}
		for _, v := range []series{opened, echoes, small, large, resumed} {
			if len(v[name]) == 0 {
				row = append(row, "–")
				continue
			}
			row = append(row, report.Spread(v.summary(name), report.Number))
		}
		t.Rows = append(t.Rows, row)
	}
	s.Tables = append(s.Tables, t)
	carriers := names(subject.ForConnections(e.Credentials))
	s.Plots = append(s.Plots,
		report.Plot{
			File: "long-path-speed", Title: "Speed over 50 ms, 20 Mbit/s", X: report.Axis{Label: "Mbit/s"}, Categories: carriers,
			Series: []report.Series{{Name: "64 B writes", Points: small.dotted(carriers, 1)}, {Name: "64 KiB writes", Points: large.dotted(carriers, 1)}},
		},
		report.Plot{
			File: "long-path-time", Title: "A new session over 50 ms, 20 Mbit/s", X: report.Axis{Label: "milliseconds"}, Categories: of,
			Series: []report.Series{{Name: "new session", Points: opened.dotted(of, 1)}},
		})
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// pathSpeed writes as much as the line carries in that time, and returns the bytes
// a second from the first Write until the last byte was read.
func pathSpeed(from, to net.Conn, size int, while time.Duration) (float64, error) {
	messages := max(2, int(while.Seconds()*float64(wan.Default.Rate)/8)/size)
	start := time.Now()
	err := WriteBatch(from, to, size, messages, 1, nil)
	return float64(messages*size) / time.Since(start).Seconds(), err
}
