package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"time"
)

// serveVariable makes this program the server of another one of it. What the two
// say to each other are lines of JSON: options and the word to end on the
// server's standard input, news on its standard output. The key is not on the
// command line, where everybody could read it.
const serveVariable = "RELINK_SOAK_SERVE"

// news are what a server's process tells.
type news struct {
	Addresses *[groups]string `json:",omitempty"`
	Counts    *counts         `json:",omitempty"`
	Result    *serverResult   `json:",omitempty"`
}

// serveProcess is the server's process. It ends when its standard input does.
func serveProcess(stdin io.Reader, stdout, stderr io.Writer) int {
	fail := func(err error) int {
		say(stderr, "soak's server: %v\n", err)
		return 1
	}
	signal.Ignore(os.Interrupt) // a terminal sends it to both; the end is the clients' to decide
	in := bufio.NewScanner(stdin)
	var o serveOptions
	if !in.Scan() {
		return fail(errors.New("no options on standard input"))
	}
	if err := json.Unmarshal(in.Bytes(), &o); err != nil {
		return fail(err)
	}
	warmUp()
	m := newMonitor("the server's process")
	s, err := newServer(o)
	if err != nil {
		return fail(err)
	}
	var mu sync.Mutex // guards the encoder
	encoder := json.NewEncoder(stdout)
	tell := func(n news) {
		mu.Lock()
		defer mu.Unlock()
		_ = encoder.Encode(n) // a reader that is gone ends standard input as well
	}
	s.mu.Lock()
	s.changed = func(a [groups]string) { tell(news{Addresses: &a}) }
	s.mu.Unlock()
	first := s.addresses()
	tell(news{Addresses: &first})
	m.start()
	quit := make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-quit:
				return
			case <-ticker.C:
			}
			c := s.counts()
			tell(news{Counts: &c})
		}
	})
	in.Scan()
	r, err := s.finish()
	close(quit)
	telling.Wait()
	if err != nil {
		return fail(err)
	}
	m.stop()
	j := m.judge()
	r.Process = &j
	tell(news{Result: &r})
	return 0
}

// A serverProcess is the backend that runs in a process of its own.
type serverProcess struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	heard sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	latest counts
	now    [groups]string
	result *serverResult
	err    error
}

// startServeProcess starts a build of this program as a server, without a name
// this one.
func startServeProcess(program string, o serveOptions) (backend, error) {
	var err error
	if program == "" {
		if program, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	p := &serverProcess{cmd: exec.Command(program)}
	p.cmd.Env = append(os.Environ(), serveVariable+"=1")
	p.cmd.Stderr = os.Stderr
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	if err := json.NewEncoder(p.stdin).Encode(o); err != nil {
		return nil, p.abandon(err)
	}
	first := make(chan struct{})
	p.heard.Go(func() { p.listen(stdout, first) })
	<-first
	p.mu.Lock()
	serves := p.now != [groups]string{}
	p.mu.Unlock()
	if !serves {
		return nil, p.abandon(fmt.Errorf("the server's process, %s, has not begun to serve", program))
	}
	return p, nil
}

// abandon ends a process that does not do what it should, and returns err.
func (p *serverProcess) abandon(err error) error {
	_ = p.stdin.Close()
	_ = p.cmd.Process.Kill()
	p.heard.Wait()
	_ = p.cmd.Wait()
	return err
}

// listen takes what the process tells, until it ends. It closes first when the
// first news are there.
func (p *serverProcess) listen(stdout io.Reader, first chan struct{}) {
	d := json.NewDecoder(stdout)
	for {
		var n news
		err := d.Decode(&n)
		p.mu.Lock()
		if err != nil {
			p.err = err
		}
		if n.Addresses != nil {
			p.now = *n.Addresses
		}
		if n.Counts != nil {
			p.latest = *n.Counts
		}
		if n.Result != nil {
			p.result = n.Result
		}
		p.mu.Unlock()
		if first != nil {
			close(first)
			first = nil
		}
		if err != nil {
			return
		}
	}
}

func (p *serverProcess) address(group int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now[group]
}

func (p *serverProcess) counts() counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.latest
}

func (p *serverProcess) finish() (serverResult, error) {
	_ = p.stdin.Close()
	p.heard.Wait()
	err := p.cmd.Wait()
	if p.result == nil {
		return serverResult{}, fmt.Errorf("it has ended without a result (%w, %w)", p.err, err)
	}
	return *p.result, err
}
