// Package process runs parts of a measurement in processes of their own: a
// program starts itself, or another build of it, and calls the copy through
// package net/rpc. A server that is alone in its process can be measured without its
// clients, two processes have two schedulers and twice the descriptors, and a fresh
// heap remembers nothing.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// variable marks a process that serves.
const variable = "RELINK_BENCH_PROCESS"

// Serve offers the services, by name, until the parent is gone, if this process was
// started by [Start], and reports whether it was. A program calls it first of
// all.
func Serve(services map[string]any) bool {
	if os.Getenv(variable) == "" {
		return false
	}
	s := rpc.NewServer()
	for name, service := range services {
		if err := s.RegisterName(name, service); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	s.ServeConn(stdio{os.Stdin, os.Stdout})
	return true
}

// stdio is a connection made of two pipes.
type stdio struct {
	io.ReadCloser
	w io.WriteCloser
}

func (s stdio) Write(p []byte) (int, error) { return s.w.Write(p) }

func (s stdio) Close() error { return errors.Join(s.ReadCloser.Close(), s.w.Close()) }

// Options say how a process runs. The zero value starts this program on any
// processor.
type Options struct {
	Executable string // of a program that calls [Serve]; empty means this one
	GOMAXPROCS int    // 0 means the default
	Processors []int  // that it may run on, by number; nil means all. Linux only.
}

// A Process is a helper as its parent sees it.
type Process struct {
	ctx    context.Context // the process lives no longer
	cmd    *exec.Cmd
	client *rpc.Client
}

// killedWithin bounds how long a process that was killed holds up its parent.
const killedWithin = 10 * time.Second

// Start starts a process, which is killed when the context ends.
func Start(ctx context.Context, o Options) (*Process, error) {
	executable := o.Executable
	if executable == "" {
		var err error
		if executable, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	cmd := exec.CommandContext(ctx, executable)
	cmd.WaitDelay = killedWithin
	cmd.Env = append(os.Environ(), variable+"=1")
	if o.GOMAXPROCS > 0 {
		cmd.Env = append(cmd.Env, "GOMAXPROCS="+strconv.Itoa(o.GOMAXPROCS))
	}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := startOn(o.Processors, cmd); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("starting %s: %w", executable, err)
	}
	return &Process{ctx: ctx, cmd: cmd, client: rpc.NewClient(stdio{out, in})}, nil
}

// Call calls a method, as "Party.Dial", and waits for its answer.
func (p *Process) Call(method string, args, reply any) error {
	err := p.client.Call(method, args, reply)
	switch {
	case err == nil:
		return nil
	case p.ctx.Err() != nil:
		return fmt.Errorf("process: %s: %w", method, context.Cause(p.ctx))
	case errors.Is(err, rpc.ErrShutdown), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("process: %s: the process has ended: %w", method, err)
	default:
		return fmt.Errorf("process: %s: %w", method, err)
	}
}

// Close ends the process and all that it holds.
func (p *Process) Close() {
	_ = p.client.Close()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// None stands for no arguments or no reply.
type None struct{}
