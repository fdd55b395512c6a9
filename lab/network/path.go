package network

import (
	"io"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxPacket is the longest packet that a path carries.
	maxPacket = 2048

	// pathQueue is how many packets may be under way in one direction. More are
	// dropped, as a router does.
	pathQueue = 1 << 14
)

// A Path carries packets between two devices, late and not all of them. A
// device gives one packet a Read and takes one a Write.
type Path struct {
	delay time.Duration // for each direction
	loss  atomic.Uint64 // the bits of a float64: the share that is lost
	ends  [2]io.ReadWriteCloser
	tasks sync.WaitGroup
}

// A packet is to be handed over at its time.
type packet struct {
	due  time.Time
	data []byte
}

// newPath carries until the path is closed. What is lost is a function of the
// seed and of the packets' order in each direction.
func newPath(a, b io.ReadWriteCloser, delay time.Duration, seed uint64) *Path {
	p := &Path{delay: delay, ends: [2]io.ReadWriteCloser{a, b}}
	p.carry(a, b, rand.New(rand.NewPCG(seed, 0)))
	p.carry(b, a, rand.New(rand.NewPCG(seed, 1)))
	return p
}

// SetLoss sets the share of the packets that are lost in each direction.
func (p *Path) SetLoss(share float64) { p.loss.Store(math.Float64bits(share)) }

// close ends the path and its devices.
func (p *Path) close() {
	for _, d := range p.ends {
		_ = d.Close()
	}
	p.tasks.Wait()
}

// carry takes packets from one device and gives them to the other. Packets keep
// their order, because all are equally late.
func (p *Path) carry(from io.Reader, to io.Writer, random *rand.Rand) {
	queue := make(chan packet, pathQueue)
	p.tasks.Go(func() {
		defer close(queue)
		buffer := make([]byte, maxPacket)
		for {
			n, err := from.Read(buffer)
			if err != nil {
				return
			}
			if random.Float64() < math.Float64frombits(p.loss.Load()) {
				continue
			}
			select {
			case queue <- packet{time.Now().Add(p.delay), append([]byte(nil), buffer[:n]...)}:
			default:
			}
		}
	})
	p.tasks.Go(func() {
		for k := range queue {
			time.Sleep(time.Until(k.due))
			_, _ = to.Write(k.data) // a device that is down drops it
		}
	})
}
