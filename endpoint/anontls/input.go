package anontls

import (
	"encoding/binary"
	"io"
	"net"
)

// smallLen is the buffer of an idle connection. It takes a ClientHello, and a small message.
const smallLen = 2 << 10

// An input reads records. It waits for them with a small buffer, and goes over to a pooled one when
// the small one is full; once it is empty it gives that back. So a peer has to send something to make
// us hold something, and under load there is one short read in each batch.
type input struct {
	conn       net.Conn
	batch      *batch // nil while the small buffer is in use
	start, end int    // of what was read and not yet taken
	small      [smallLen]byte
}

func (in *input) buffer() []byte {
	if in.batch != nil {
		return in.batch[:]
	}
	return in.small[:]
}

// pending returns what was read and not yet taken.
func (in *input) pending() []byte { return in.buffer()[in.start:in.end] }

// whole tells whether the next record, whatever it is, is there with its last byte.
func (in *input) whole() bool {
	p := in.pending()
	return len(p) >= headerLen && len(p) >= headerLen+int(binary.BigEndian.Uint16(p[3:]))
}

// take returns the next n bytes, which are pending. They are valid until the next fill.
func (in *input) take(n int) []byte {
	b := in.pending()[:n:n]
	in.start += n
	return b
}

// fill reads once. What was taken before is no longer valid.
func (in *input) fill() error {
	p := in.pending()
	switch {
	case len(p) == 0:
		in.release()
	case in.batch == nil && in.end == smallLen:
		in.batch = batches.Get().(*batch)
		in.start, in.end = 0, copy(in.batch[:], p)
	case in.batch != nil && batchLen-in.end < headerLen+maxCiphertext:
		in.start, in.end = 0, copy(in.batch[:], p)
	}
	n, err := in.conn.Read(in.buffer()[in.end:])
	in.end += n
	switch {
	case n > 0:
		return nil // an error comes again
	case err == nil:
		return io.ErrNoProgress
	}
	return err
}

// release gives back the pooled buffer with what is in it.
func (in *input) release() {
	if in.batch != nil {
		batches.Put(in.batch)
		in.batch = nil
	}
	in.start, in.end = 0, 0
}
