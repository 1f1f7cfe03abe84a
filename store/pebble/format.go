package pebble

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/zeekpeer/zeekpeer/store"
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

// recordFormat is the number of the format of one record, which stands in it, so that later formats can
// be mixed in one database.
const recordFormat = 1

// record encodes the value and expiry of r. The bytes are good until the next call. Writing to memory
// does not fail.
func (e *encoder) record(r store.Record) []byte {
	e.buf.Reset()
	_ = e.enc.EncodeArrayLen(3)
	_ = e.enc.EncodeUint(recordFormat)
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
	if n != 3 {
		return nil, 0, fmt.Errorf("an array of %d: want format, expiry and value", n)
	}
	switch format, err := d.dec.DecodeUint(); {
	case err != nil:
		return nil, 0, err
	case format != recordFormat:
		return nil, 0, fmt.Errorf("a record in format %d, this program knows %d: use a newer one", format, recordFormat)
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
