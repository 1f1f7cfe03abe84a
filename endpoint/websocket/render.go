package websocket

import (
	"fmt"
	"unsafe"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// A renderer turns encoded values into data messages. It remembers how a message of the last topic
// begins.
type renderer struct {
	topic string
	head  []byte // {"type":"data-message","topic":"...",
	limit int    // bytes of JSON
}

// noneFields is what data.AppendJSONMessage puts behind the topic of a message that holds none.
const noneFields = `"@data-type":"none","data":{}}`

// append appends the data message of a payload. It is what data.AppendJSONMessage does with the
// decoded value, but without the tree: what Zeek sends are vectors, and those are rendered in place.
func (r *renderer) append(dst []byte, topic string, payload []byte) ([]byte, error) {
	if err := data.Validate(payload); err != nil {
		return dst, err
	}
	if topic != r.topic || r.head == nil {
		r.topic, r.head = topic, data.AppendJSONMessage(r.head[:0], topic, data.None())
		r.head = r.head[:len(r.head)-len(noneFields)]
	}
	start := len(dst)
	v := data.NewReader(payload)
	if v.Kind() != data.KindVector {
		tree := v.Value()
		if v.Err() != nil {
			return dst, v.Err()
		}
		dst = data.AppendJSONMessage(dst, topic, tree)
	} else {
		dst = appendVector(append(dst, r.head...), &v, start+r.limit)
		dst = append(dst, '}')
	}
	if v.Err() != nil {
		return dst[:start], v.Err()
	}
	if len(dst)-start > r.limit {
		return dst[:start], fmt.Errorf("more than %d bytes as JSON", r.limit)
	}
	return dst, nil
}

// appendVector appends the type and the data of a vector, which has been validated. It gives up where
// dst grows beyond limit.
func appendVector(dst []byte, r *data.Reader, limit int) []byte {
	dst = append(dst, `"@data-type":"vector","data":[`...)
	for i := range r.Vector() {
		if len(dst) > limit || r.Err() != nil {
			return dst
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		if r.Kind() == data.KindVector {
			dst = append(appendVector(append(dst, '{'), r, limit), '}')
			continue
		}
		dst = data.AppendJSON(dst, element(r))
	}
	return append(dst, ']')
}

// element consumes a value that is no vector. Text shares the memory that is read. Sets and tables are
// decoded, since JSON has them in order and the wire need not.
func element(r *data.Reader) data.Value {
	switch r.Kind() {
	case data.KindBool:
		return data.Bool(r.Bool())
	case data.KindCount:
		return data.Count(r.Count())
	case data.KindInt:
		return data.Int(r.Int())
	case data.KindReal:
		return data.Real(r.Real())
	case data.KindString:
		return data.String(shared(r.Bytes()))
	case data.KindEnum:
		return data.Enum(shared(r.Enum()))
	case data.KindAddr:
		return data.Addr(r.Addr())
	case data.KindPort:
		return data.Port(r.Port())
	case data.KindTime:
		return data.Timestamp(r.Timestamp())
	case data.KindTimespan:
		return data.Timespan(r.Timespan())
	}
	return r.Value()
}

// shared returns b as a string for as long as b does not change.
func shared(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
