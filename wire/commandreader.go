package wire

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

var errCommandKind = errors.New("no such command")

// A commandReader consumes the fields of a command. Its first error sticks.
type commandReader struct {
	b     []byte
	field string // that is being read
	err   error
}

// body reads the fields that a command of its kind has, in their order.
func (r *commandReader) body(c *Command) {
	switch c.Kind {
	case CommandPut:
		c.Key, c.Value = r.value("key"), r.value("value")
		c.HasExpiry, c.Expiry = r.expiry()
	case CommandPutUnique:
		c.Key, c.Value = r.value("key"), r.value("value")
		c.HasExpiry, c.Expiry = r.expiry()
		c.Who, c.RequestID = r.entity("who"), r.uint64("req_id")
	case CommandPutUniqueResult:
		c.Inserted = r.flag("inserted")
		c.Who, c.RequestID = r.entity("who"), r.uint64("req_id")
	case CommandErase, CommandExpire:
		c.Key = r.value("key")
	case CommandAdd:
		c.Key, c.Value, c.Init = r.value("key"), r.value("value"), r.kind("init_type")
		c.HasExpiry, c.Expiry = r.expiry()
	case CommandSubtract:
		c.Key, c.Value = r.value("key"), r.value("value")
		c.HasExpiry, c.Expiry = r.expiry()
	case CommandClear:
	case CommandAttachWriter:
		c.Num, c.Heartbeat = r.uint64("offset"), r.uint16("heartbeat_interval")
		return
	case CommandKeepalive, CommandCumulativeAck, CommandRetransmitFailed:
		c.Num = r.uint64("seq")
		return
	case CommandNack:
		c.Missing = r.seqs("seqs")
		return
	case CommandAckClone:
		c.Num, c.Heartbeat = r.uint64("offset"), r.uint16("heartbeat_interval")
		c.Snapshot = r.snapshot("state")
		return
	default:
		r.field, r.err = "kind", errCommandKind
		return
	}
	c.Publisher = r.entity("publisher")
}

// take consumes n bytes.
func (r *commandReader) take(field string, n int) []byte {
	if r.err != nil {
		return nil
	}
	if n > len(r.b) {
		r.fail(field, errTruncated)
		return nil
	}
	taken := r.b[:n:n]
	r.b = r.b[n:]
	return taken
}

func (r *commandReader) fail(field string, err error) {
	if r.err == nil {
		r.field, r.err = field, err
	}
}

func (r *commandReader) uint64(field string) uint64 {
	if b := r.take(field, 8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *commandReader) uint16(field string) uint16 {
	if b := r.take(field, 2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *commandReader) flag(field string) bool {
	b := r.take(field, 1)
	return b != nil && b[0] != 0
}

// kind reads the tag of a kind of values. What is none reads as the kind none, as in Broker 2.8.
func (r *commandReader) kind(field string) data.Kind {
	if b := r.take(field, 1); b != nil && data.Kind(b[0]) <= data.KindVector {
		return data.Kind(b[0])
	}
	return data.KindNone
}

func (r *commandReader) entity(field string) EntityID {
	if b := r.take(field, EntityIDLen); b != nil {
		return entityAt(b)
	}
	return EntityID{}
}

func (r *commandReader) expiry() (has bool, d time.Duration) {
	if !r.flag("expiry") {
		return false, 0
	}
	return true, time.Duration(r.uint64("expiry"))
}

func (r *commandReader) value(field string) []byte {
	if r.err != nil {
		return nil
	}
	value, rest, err := takeValue(r.b)
	if err != nil {
		r.fail(field, err)
		return nil
	}
	r.b = rest
	return value
}

// count reads the length of a list whose elements take size bytes each at least.
func (r *commandReader) count(field string, size int) int {
	if r.err != nil {
		return 0
	}
	n, rest, err := takeVarbyte(r.b)
	if err == nil && int64(n)*int64(size) > int64(len(rest)) {
		err = errTruncated
	}
	if err != nil {
		r.fail(field, err)
		return 0
	}
	r.b = rest
	return int(n)
}

func (r *commandReader) seqs(field string) SeqList {
	n := r.count(field, 8)
	return SeqList(r.take(field, 8*n))
}

func (r *commandReader) snapshot(field string) Snapshot {
	n := r.count(field, 2)
	return Snapshot{Len: n, Bytes: r.b}
}
