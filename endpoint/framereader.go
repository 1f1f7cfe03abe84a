package endpoint

import (
	"fmt"
	"io"
	"net"
	"sync/atomic"

	"github.com/zeekpeer/zeekpeer/wire"
)

const (
	// firstBuffer is what a connection gets to begin with, and what a quiet one goes back to.
	firstBuffer = 2 << 10
	// quietReads is after how many small reads in a row a connection is quiet.
	quietReads = 4
)

// A frameReader reads frames from a connection into segments. It makes room for what has arrived,
// not for what a length announces: the buffer for a large frame doubles as it fills.
type frameReader struct {
	conn  net.Conn
	seg   *segment
	at    int // where the next frame begins
	quiet int // small reads in a row
	large int // bytes of memory beyond a pooled segment, counted in total
	total *atomic.Int64
	limit int64 // for total

	first    []byte // the first bytes, to name who is not a node
	received int    // bytes in all
}

// firstBytes is how many bytes it takes to name who is speaking.
const firstBytes = 16

func newFrameReader(conn net.Conn, total *atomic.Int64, limit int64) *frameReader {
	return &frameReader{conn: conn, seg: adopt(make([]byte, 0, firstBuffer)), total: total, limit: limit}
}

// pending returns what was read and not yet consumed.
func (f *frameReader) pending() []byte { return f.seg.mem[f.at:f.seg.used] }

// read reads once, after making room. need is how many bytes are wanted for the frame that begins
// at f.at, as far as that is known.
func (f *frameReader) read(need int) error {
	if err := f.makeRoom(need); err != nil {
		return err
	}
	b := f.seg.mem[f.seg.used:]
	n, err := f.conn.Read(b)
	if n > 0 {
		f.seg.used += n
		if f.received += n; len(f.first) < firstBytes {
			f.first = append(f.first, b[:min(n, firstBytes)]...)
		}
		if n < firstBuffer {
			f.quiet++
		} else {
			f.quiet = 0
		}
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// makeRoom sees to it that there is somewhere to read to.
func (f *frameReader) makeRoom(need int) error {
	pending := f.seg.used - f.at
	own := f.seg.refs.Load() == 1
	switch {
	case pending == 0 && own && len(f.seg.mem) > segmentSize,
		pending == 0 && own && len(f.seg.mem) == segmentSize && f.quiet >= quietReads:
		f.replace(firstBuffer, 0) // large or idle: give it back
		return nil
	case pending == 0 && own:
		f.seg.used, f.at = 0, 0
		return nil
	}
	free := f.seg.room()
	if pending < need && need <= len(f.seg.mem)-f.at && free > 0 {
		return nil // the frame will fit where it is
	}
	if need <= segmentSize && free >= segmentSize/4 {
		return nil
	}
	if need > segmentSize && f.at == 0 && free > 0 {
		return nil // filled before it is doubled: it would be copied at each read otherwise
	}
	size := segmentSize
	if need > segmentSize {
		// Grow with what is there, by doubling, up to the frame.
		size = max(segmentSize, min(need, 2*pending))
		if size <= pending {
			size = pending + segmentSize
		}
	}
	return f.replace(size, pending)
}

// replace moves what is pending to a new buffer of size bytes.
func (f *frameReader) replace(size, pending int) error {
	large := max(size-segmentSize, 0)
	if grow := int64(large - f.large); grow > 0 && f.total.Add(grow) > f.limit {
		f.total.Add(-grow)
		return fmt.Errorf("%w: %d bytes are set aside for large messages of all peers together", ErrMemory, f.limit)
	} else if grow <= 0 {
		f.total.Add(grow)
	}
	f.large = large
	var seg *segment
	if size < segmentSize {
		seg = adopt(make([]byte, 0, size))
	} else {
		seg = newSegment(size)
	}
	seg.used = copy(seg.mem, f.pending()[:pending])
	f.seg.release()
	f.seg, f.at = seg, 0
	return nil
}

// next returns the body of the next frame, reading as often as it takes. It is valid until the next
// call. It serves the handshake; peers' frames are walked in place.
func (f *frameReader) next(limit int) ([]byte, error) {
	for {
		body, _, need, err := wire.NextFrame(f.pending(), limit)
		if err != nil {
			return nil, err
		}
		if body != nil {
			f.at += wire.FrameHeaderLen + len(body)
			return body, nil
		}
		if err := f.read(need); err != nil {
			return nil, err
		}
	}
}

// release gives back the memory.
func (f *frameReader) release() {
	f.total.Add(-int64(f.large))
	f.large = 0
	f.seg.release()
	f.seg = adopt(nil)
	f.at = 0
}
