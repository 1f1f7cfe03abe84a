package endpoint

import (
	"net"
	"sync/atomic"
	"testing"

	"github.com/zeekpeer/zeekpeer/wire"
)

// A trickle is a connection that gives at most a record of TLS at each read.
type trickle struct {
	net.Conn
	rest []byte
}

func (c *trickle) Read(b []byte) (int, error) {
	n := copy(b[:min(len(b), 16<<10)], c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// The buffer of a large frame doubles as it fills, however little each read brings: were it moved more
// often, a large frame would be copied over and over.
func TestFrameReaderDoubles(t *testing.T) {
	const size = 20 << 20
	for _, before := range []int{0, 100, segmentSize - 1000} { // bytes of a frame that comes first
		var stream []byte
		if before > 0 {
			stream = numbered(stream, 1, before)
		}
		stream = numbered(stream, 2, size)
		var total atomic.Int64
		f := newFrameReader(&trickle{rest: stream}, &total, 2*size)
		if before > 0 {
			if _, err := f.next(size); err != nil {
				t.Fatal(err)
			}
		}
		moves, copied, seg := 0, 0, f.seg
		for {
			body, _, need, err := wire.NextFrame(f.pending(), size)
			if err != nil {
				t.Fatal(err)
			}
			if body != nil {
				break
			}
			pending := len(f.pending())
			if err := f.read(need); err != nil {
				t.Fatal(err)
			}
			if f.seg != seg {
				moves, copied, seg = moves+1, copied+pending, f.seg
			}
		}
		if moves > 12 || copied > 2*size {
			t.Errorf("after %d bytes: moved %d times, %d bytes in all", before, moves, copied)
		}
		if f.release(); total.Load() != 0 {
			t.Errorf("%d bytes still counted", total.Load())
		}
	}
}
