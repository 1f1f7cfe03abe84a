package data

import (
	"errors"
	"fmt"
	"unsafe"
)

// AppendJSONPayload appends the data message of an encoded value. It is what [AppendJSONMessage] does
// with the decoded one, but without the tree: what Zeek sends are vectors, and those are rendered in
// place. The error is that of decoding, or that the message would be longer than limit: JSON can be
// thirty times as long as the encoding.
func AppendJSONPayload(dst []byte, topic string, payload []byte, limit int) ([]byte, error) {
	if err := Validate(payload); err != nil {
		return dst, err
	}
	start := len(dst)
	out := appendJSONHead(dst, topic)
	r := NewReader(payload)
	if r.Kind() == KindVector {
		out = appendJSONVector(out, &r, start+limit)
	} else if v := r.Value(); r.Err() == nil && jsonAtLeast(v) <= limit {
		out = appendJSONFields(out, v)
	} else if r.Err() == nil {
		r.Fail(errJSONLong)
	}
	out = append(out, '}')
	switch {
	case len(out)-start > limit, r.Err() == errJSONLong:
		return out[:start], fmt.Errorf("more than %d bytes as JSON", limit)
	case r.Err() != nil:
		return out[:start], r.Err()
	}
	return out, nil
}

var errJSONLong = errors.New("too long as JSON")

// longText is from which length on it is worth to look how much of a text needs escapes.
const longText = 4 << 10

// jsonAtLeast returns a number of bytes that v takes as JSON at least, so that what is surely too long
// is not rendered before that is seen.
func jsonAtLeast(v Value) (n int) {
	const fields = len(`{"@data-type":"set","data":[]},`)
	if v.kind == KindString || v.kind == KindEnum {
		n = fields + int(v.num)
		if v.num > longText {
			for _, c := range []byte(v.str()) {
				if c < ' ' {
					n++ // \n and the like; all others are longer
				}
			}
		}
		return n
	}
	for _, e := range v.Elems() {
		n += jsonAtLeast(e)
	}
	for _, e := range v.Entries() {
		n += jsonAtLeast(e.Key) + jsonAtLeast(e.Value)
	}
	return n + fields
}

// appendJSONVector appends the type and the data of a vector, which has been validated. It gives up
// where dst grows beyond limit.
func appendJSONVector(dst []byte, r *Reader, limit int) []byte {
	dst = append(dst, `"@data-type":"vector","data":[`...)
	for i := range r.Vector() {
		if len(dst) > limit || r.Err() != nil {
			return dst
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		if r.Kind() == KindVector {
			dst = append(appendJSONVector(append(dst, '{'), r, limit), '}')
			continue
		}
		v := sharedElement(r)
		if len(dst)+jsonAtLeast(v) > limit {
			r.Fail(errJSONLong)
			return dst
		}
		dst = AppendJSON(dst, v)
	}
	return append(dst, ']')
}

// sharedElement consumes a value that is no vector. Text shares the memory that is read. Sets and
// tables are decoded, since JSON has them in order and the wire need not.
func sharedElement(r *Reader) Value {
	switch r.Kind() {
	case KindBool:
		return Bool(r.Bool())
	case KindCount:
		return Count(r.Count())
	case KindInt:
		return Int(r.Int())
	case KindReal:
		return Real(r.Real())
	case KindString:
		return String(shared(r.Bytes()))
	case KindEnum:
		return Enum(shared(r.Enum()))
	case KindAddr:
		return Addr(r.Addr())
	case KindPort:
		return Port(r.Port())
	case KindTime:
		return Timestamp(r.Timestamp())
	case KindTimespan:
		return Timespan(r.Timespan())
	}
	return r.Value()
}

// shared returns b as a string for as long as b does not change.
func shared(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
