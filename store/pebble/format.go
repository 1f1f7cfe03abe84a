package pebble

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire"
)

// format is the number of what doc.go describes. A database with a larger one is left alone.
const format = 1

// The first bytes of the keys, and the keys that have no more than that.
const (
	formatKey    = 'f'
	recordPrefix = 'r'
	stateKey     = 's'
	writerPrefix = 'w'
)

// A formatRecord says how to read all others. It is a map, so that later formats can add to it.
type formatRecord struct {
	Format uint `msgpack:"format"`
}

// A stateRecord is a [store.State] without its writers.
type stateRecord struct {
	_msgpack struct{} `msgpack:",as_array"` //lint:ignore U1000 tells msgpack
	Master   []byte
	Mark     uint64
}

var errLeftOver = errors.New("bytes left over behind the record")

// unmarshal decodes b, which holds v and nothing else.
func unmarshal(b []byte, v any) error {
	r := bytes.NewReader(b)
	if err := msgpack.NewDecoder(r).Decode(v); err != nil {
		return err
	}
	if r.Len() > 0 {
		return errLeftOver
	}
	return nil
}

func appendEntity(dst []byte, id wire.EntityID) []byte {
	return binary.BigEndian.AppendUint64(append(dst, id.Endpoint[:]...), id.Object)
}

func entityOf(b []byte) (wire.EntityID, error) {
	if len(b) != wire.EntityIDLen {
		return wire.EntityID{}, fmt.Errorf("%d bytes for an entity: want %d", len(b), wire.EntityIDLen)
	}
	return wire.EntityID{
		Endpoint: wire.EndpointID(b[:wire.IDLen]),
		Object:   binary.BigEndian.Uint64(b[wire.IDLen:]),
	}, nil
}

// An encoder encodes records one after the other into the same memory.
type encoder struct {
	buf bytes.Buffer
	enc *msgpack.Encoder
}

func newEncoder() *encoder {
	e := &encoder{}
	e.enc = msgpack.NewEncoder(&e.buf)
	e.enc.UseCompactInts(true)
	return e
}

// record encodes the value and expiry of r. The bytes are good until the next call. Writing to memory
// does not fail.
func (e *encoder) record(r store.Record) []byte {
	e.buf.Reset()
	_ = e.enc.EncodeArrayLen(2)
	_ = e.enc.EncodeInt(r.Expiry)
	_ = e.enc.EncodeBytes(r.Value)
	return e.buf.Bytes()
}

func (e *encoder) number(n uint64) []byte {
	e.buf.Reset()
	_ = e.enc.EncodeUint(n)
	return e.buf.Bytes()
}

func (e *encoder) any(v any) []byte {
	e.buf.Reset()
	_ = e.enc.Encode(v)
	return e.buf.Bytes()
}

// A decoder decodes records one after the other, without copying their values.
type decoder struct {
	r   bytes.Reader
	dec *msgpack.Decoder
}

func newDecoder() *decoder {
	d := &decoder{}
	d.dec = msgpack.NewDecoder(&d.r)
	return d
}

// record decodes what [encoder.record] wrote. The value is a part of b.
func (d *decoder) record(b []byte) (value []byte, expiry int64, err error) {
	d.r.Reset(b)
	n, err := d.dec.DecodeArrayLen()
	if err != nil {
		return nil, 0, err
	}
	if n != 2 {
		return nil, 0, fmt.Errorf("an array of %d: want expiry and value", n)
	}
	if expiry, err = d.dec.DecodeInt64(); err != nil {
		return nil, 0, err
	}
	length, err := d.dec.DecodeBytesLen()
	if err != nil {
		return nil, 0, err
	}
	if length != d.r.Len() {
		return nil, 0, fmt.Errorf("a value of %d bytes, and %d there are", length, d.r.Len())
	}
	return b[len(b)-length:], expiry, nil
}
