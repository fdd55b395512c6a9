package wan

import (
	"net"
	"sync"
	"time"
)

// socketBuffer is large enough that datagrams are dropped by the model's queue and
// not by the kernel's.
const socketBuffer = 4 << 20

// A udpRelay takes datagrams for one server. Each client gets a socket towards
// the server, so that the answers find their way back. All share the path.
type udpRelay struct {
	target   *net.UDPAddr
	socket   *net.UDPConn
	up, down line
	quit     chan struct{}
	wg       sync.WaitGroup

	mu     sync.Mutex // guards everything below
	closed bool
	flows  map[string]*flow
}

// A flow is one client's.
type flow struct {
	client   *net.UDPAddr
	towards  *net.UDPConn // connected to the server
	upwards  chan parcel
	backward chan parcel
}

func newUDPRelay(p Params, target string) (*udpRelay, error) {
	address, err := net.ResolveUDPAddr("udp", target)
	if err != nil {
		return nil, err
	}
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	_ = socket.SetReadBuffer(socketBuffer) // the kernel may grant less
	r := &udpRelay{target: address, socket: socket, quit: make(chan struct{}), flows: make(map[string]*flow)}
	r.up.params, r.down.params = p, p
	r.wg.Go(r.fromClients)
	return r, nil
}

// fromClients reads what clients send, and drops what the queue has no room for.
func (r *udpRelay) fromClients() {
	buf := make([]byte, 64<<10)
	for {
		n, client, err := r.socket.ReadFromUDP(buf)
		if err != nil {
			return
		}
		f, err := r.flow(client)
		if err != nil {
			continue // as if it had been lost
		}
		enqueue(&r.up, f.upwards, buf[:n])
	}
}

// enqueue puts a datagram on its way, or loses it.
func enqueue(l *line, parcels chan<- parcel, datagram []byte) {
	arrives, wait := l.admit(len(datagram)+udpHeaders, time.Now())
	if wait > 0 {
		return
	}
	select {
	case parcels <- parcel{arrives, append([]byte(nil), datagram...)}:
	default:
	}
}

// flow returns the flow of a client.
func (r *udpRelay) flow(client *net.UDPAddr) (*flow, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f, ok := r.flows[client.String()]; ok {
		return f, nil
	}
	if r.closed {
		return nil, net.ErrClosed
	}
	towards, err := net.DialUDP("udp", nil, r.target)
	if err != nil {
		return nil, err
	}
	_ = towards.SetReadBuffer(socketBuffer)
	f := &flow{client: client, towards: towards, upwards: make(chan parcel, underWay), backward: make(chan parcel, underWay)}
	r.flows[client.String()] = f
	r.wg.Go(func() {
		r.deliver(f.upwards, func(b []byte) { _, _ = towards.Write(b) })
	})
	r.wg.Go(func() {
		r.deliver(f.backward, func(b []byte) { _, _ = r.socket.WriteToUDP(b, client) })
	})
	r.wg.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := towards.Read(buf)
			if err != nil {
				select {
				case <-r.quit:
					return
				default:
					// The kernel reports that nobody listened for the last datagram.
					if until(time.Now().Add(time.Millisecond), r.quit) {
						continue
					}
					return
				}
			}
			enqueue(&r.down, f.backward, buf[:n])
		}
	})
	return f, nil
}

// deliver sends each datagram when it has arrived. A failure is a loss.
func (r *udpRelay) deliver(parcels <-chan parcel, send func([]byte)) {
	for {
		select {
		case p := <-parcels:
			if !until(p.arrives, r.quit) {
				return
			}
			send(p.data)
		case <-r.quit:
			return
		}
	}
}

// Close ends the relay, and returns when its goroutines have ended.
func (r *udpRelay) Close() error {
	r.mu.Lock()
	if !r.closed {
		r.closed = true
		close(r.quit)
	}
	for _, f := range r.flows {
		_ = f.towards.Close()
	}
	r.mu.Unlock()
	err := r.socket.Close()
	r.wg.Wait()
	return err
}
