// Package helper runs parts of an experiment in processes of their own: the
// program starts itself again and calls its copy through package net/rpc. A
// server that is alone in its process can be measured without its clients, two
// processes have twice the descriptors, and a fresh heap remembers nothing.
package helper

import (
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
)

// variable marks a process as a helper.
const variable = "RELINK_BENCH_HELPER"

// Main serves calls until its parent is gone, if this process was started by
// [Start], and reports whether it was. A program calls it first of all.
func Main() bool {
	if os.Getenv(variable) == "" {
		return false
	}
	s := rpc.NewServer()
	for name, service := range map[string]any{"Party": new(Party), "Crowd": new(Crowd)} {
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

// A Process is a helper as its parent sees it.
type Process struct {
	cmd    *exec.Cmd
	client *rpc.Client
}

// Start starts this program as a helper.
func Start() (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), variable+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &Process{cmd: cmd, client: rpc.NewClient(stdio{out, in})}, nil
}

// Call calls a method, as "Party.Dial", and waits for its answer.
func (p *Process) Call(method string, args, reply any) error {
	if err := p.client.Call(method, args, reply); err != nil {
		return fmt.Errorf("helper: %s: %w", method, err)
	}
	return nil
}

// Close ends the process and all that it holds.
func (p *Process) Close() {
	_ = p.client.Close()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// None stands for no arguments or no reply.
type None struct{}
