package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// stepTime bounds each step of a hand-over.
const stepTime = 30 * time.Second

// before is the process that this one replaces: it has the sessions of clients that may
// come back here.
type before struct {
	*channel
	gone chan struct{} // closed when it has ended
}

// inherit takes the sockets of the process before, if there is one, or of systemd.
func (s *service) inherit(path string) (err error) {
	var c *channel
	if fd := os.Getenv(envHandover); fd != "" {
		n, err := strconv.Atoi(fd)
		if err != nil {
			return fmt.Errorf("%s is %q, which is no descriptor", envHandover, fd)
		}
		c, err = fileChannel(os.NewFile(uintptr(n), envHandover))
		if err != nil {
			return fmt.Errorf("%s: %w", envHandover, err)
		}
	} else if path != "" {
		if conn, err := net.Dial("unix", path); err == nil {
			c = &channel{conn: conn.(*net.UnixConn)} // it is
		} // else nobody is there, and listening says what is wrong with the path
	}
	if c == nil {
		s.sockets.given, err = activated()
		return err
	}
	m, files, err := c.await(stepSockets, nil)
	if err != nil {
		c.close()
		return fmt.Errorf("taking the sockets over: %w", err)
	}
	if len(files) != len(m.Sockets) {
		closeAll(files)
		c.close()
		return fmt.Errorf("taking the sockets over: %d of %d have come", len(files), len(m.Sockets))
	}
	for i, f := range files {
		l, err := fileSocket(f)
		if err != nil {
			closeAll(files[i+1:])
			c.close()
			return fmt.Errorf("taking the socket %s over: %w", m.Sockets[i].Address, err)
		}
		s.sockets.given = append(s.sockets.given, &given{socket: l, carrier: m.Sockets[i].Address, systemd: m.Sockets[i].Systemd})
	}
	if err := c.send(message{Step: stepReady}); err != nil {
		return fmt.Errorf("taking the sockets over: %w", err)
	}
	if _, _, err := c.await(stepPaused, nil); err != nil {
		c.close()
		return fmt.Errorf("taking the sockets over: %w", err)
	}
	s.before = &before{c, make(chan struct{})}
	return nil
}

// takenOver tells the process before that this one serves.
func (s *service) takenOver() {
	b := s.before
	if b == nil {
		return
	}
	err := b.send(message{Step: stepServing, PID: os.Getpid()})
	if err == nil {
		_, _, err = b.await(stepReleased, nil)
	}
	if err != nil {
		s.logger.Warn("the process before may be gone", "error", err)
	}
	s.sockets.each(func(g *gate) {
		if u, ok := g.socket.(*net.UnixListener); ok && !g.systemd {
			u.SetUnlinkOnClose(true) // it is this process's now
		}
	})
	go func() {
		defer close(b.gone)
		for err == nil {
			var files []*os.File
			_, files, err = b.receive() // it has nothing more to say
			closeAll(files)
		}
		b.close()
		s.logger.Info("the process before has ended")
	}()
}

// passOn gives a transport to the process before.
func (s *service) passOn(t net.Conn, read []byte) bool {
	select {
	case <-s.before.gone:
		return false
	default:
	}
	p := &passed{Network: t.RemoteAddr().Network(), Remote: t.RemoteAddr().String(), Local: t.LocalAddr().String(), Label: s.labelOf(t), Read: read}
	plain := plainSocket(t)
	var relayed net.Conn // this end of it
	if plain == nil {
		near, far, err := loopbackPair()
		if err != nil {
			s.logger.Warn("a session of the process before cannot go on there", "error", err)
			return false
		}
		defer func() { _ = far.Close() }()
		plain, relayed = far, near
	}
	fd, err := duplicate(plain)
	if err == nil {
		err = s.before.send(message{Passed: p}, fd)
		closeDescriptor(fd)
	}
	switch {
	case err != nil:
		if relayed != nil {
			_ = relayed.Close()
		}
		s.logger.Warn("a session of the process before cannot go on there", "error", err)
		return false
	case relayed != nil:
		go relay(t, relayed)
	default:
		_ = t.Close() // this descriptor alone
	}
	s.logger.Debug("passed on to the process before", "remote", p.Remote)
	return true
}

// labelOf returns the endpoint that a transport has come from, as far as its address tells.
func (s *service) labelOf(t net.Conn) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.opened {
		if o.Addr().Network() == t.LocalAddr().Network() && o.Addr().String() == t.LocalAddr().String() {
			return o.carrier.String()
		}
	}
	return ""
}

// handOver gives the sockets to the process at the other end, which replaces this one, and
// serves on where that fails. Before it returns nil that one serves.
func (s *service) handOver(c *channel) (err error) {
	if !s.handing.TryLock() {
		c.close()
		return errors.New("another process is taking over")
	}
	defer s.handing.Unlock()
	if s.replaced.Load() {
		c.close()
		return errors.New("another process has taken over")
	}
	defer func() {
		if err != nil {
			c.close()
			s.logger.Error("not replaced, serving goes on", "error", err)
		}
	}()
	if err := s.offerSockets(c); err != nil {
		return err
	}
	if _, _, err := c.await(stepReady, nil); err != nil {
		return err
	}
	s.sockets.each((*gate).pause)
	s.pausePackets()
	m, err := s.untilServing(c)
	if err != nil {
		s.sockets.each((*gate).resume)
		return errors.Join(err, s.resumePackets())
	}
	s.replaced.Store(true)
	s.sockets.each((*gate).release)
	if err := notify(notifyMainPID(m.PID)); err != nil {
		s.logger.Warn("systemd cannot be told", "error", err)
	}
	if err := c.send(message{Step: stepReleased}); err != nil {
		s.logger.Warn("the process that has taken over does not listen", "error", err)
	}
	s.logger.Info("replaced", "by", m.PID, "sessions", count(s.listener))
	go s.takePassed(c)
	close(s.handedOver)
	return nil
}

func (s *service) offerSockets(c *channel) error {
	var names []handed
	var fds []int
	defer func() {
		for _, fd := range fds {
			closeDescriptor(fd)
		}
	}()
	for _, g := range s.sockets.gates {
		fd, err := duplicate(g.socket)
		if err != nil {
			return err
		}
		fds, names = append(fds, fd), append(names, handed{socketName(g.carrier), g.systemd})
	}
	return c.send(message{Step: stepSockets, Sockets: names}, fds...)
}

func (s *service) untilServing(c *channel) (message, error) {
	if err := c.send(message{Step: stepPaused}); err != nil {
		return message{}, err
	}
	m, _, err := c.await(stepServing, s.takeOne)
	return m, err
}

// takePassed takes what the process that has taken over passes on, until it ends.
func (s *service) takePassed(c *channel) {
	defer c.close()
	for {
		m, files, err := c.receive()
		if err != nil {
			s.logger.Info("the process that has taken over has ended", "error", err)
			return
		}
		s.takeOne(m, files)
	}
}

// takeOne takes one transport.
func (s *service) takeOne(m message, files []*os.File) {
	defer closeAll(files)
	if m.Passed == nil || len(files) != 1 {
		return
	}
	t, err := m.Passed.conn(files[0])
	if err != nil {
		s.logger.Warn("a transport that was passed on", "error", err)
		return
	}
	s.listener.TakeTransport(t, m.Passed.Read, m.Passed.Label)
}

// pausePackets closes the endpoints over UDP, whose connections end with them.
func (s *service) pausePackets() {
	for _, o := range s.opened {
		if o.carrier.packets() {
			if s.idle == nil {
				s.idle = newIdle()
				_ = s.listener.AddListener(s.idle, "none") // lest the listener be without any
			}
			_ = o.Close()
		}
	}
}

// resumePackets opens them again.
func (s *service) resumePackets() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, o := range s.opened {
		if !o.carrier.packets() {
			continue
		}
		e := *s.config.listen[i]
		e.carrier = o.carrier
		next, err := e.open(&s.sockets)
		if err != nil {
			return err
		}
		s.opened[i] = next
		if err := s.listener.AddListener(next, next.carrier.String()); err != nil {
			return err
		}
	}
	return nil
}

// restart starts this program again, which takes over; it returns why that has failed, and serving
// goes on then.
func (s *service) restart() error {
	ours, theirs, err := socketPair()
	if err != nil {
		return err
	}
	cmd := exec.Command(s.program, s.args...) //nolint:gosec // this program itself
	cmd.Env = append(withoutInherited(os.Environ()), envHandover+"="+strconv.Itoa(firstGiven))
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err = cmd.Start()
	_ = theirs.Close()
	if err != nil {
		ours.close()
		s.logger.Error("not replaced, serving goes on", "error", err)
		return err
	}
	err = s.handOver(ours)
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return err
	}
	go func() { _ = cmd.Wait() }()
	return nil
}

// programPath returns how this program was started. What a link on the way leads to may be another
// version later, which is meant.
func programPath() (string, error) {
	path, err := exec.LookPath(os.Args[0])
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// withoutInherited leaves out what was said to this process alone.
func withoutInherited(environ []string) []string {
	return slices.DeleteFunc(environ, func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{envListenPID, envListenFDs, envListenNames, envHandover, "WATCHDOG_PID"}, name)
	})
}

// serveHandovers hands over to each process that asks at the path.
func (s *service) serveHandovers(g *gate) {
	for {
		c, err := g.Accept()
		if err != nil {
			return
		}
		_ = s.handOver(&channel{conn: c.(*net.UnixConn)}) // the log has it
	}
}

// awaitBefore waits until the process before has ended: this one is the way to it.
func (s *service) awaitBefore(done <-chan struct{}) {
	if s.before == nil {
		return
	}
	select {
	case <-s.before.gone:
	case <-done:
	}
}
