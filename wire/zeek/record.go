package zeek

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// A packed record is one row of a log as [LogWrite] carries it (CLUSTER.md sections 6.3 and 6.4): how
// many values, and then each value with its type. All integers are big-endian and of fixed width; this
// has nothing to do with the encoding of the values of Broker.

// ErrRecord says that bytes are no packed record. Loggers before Zeek 8.0.10 end their process when
// they see such a thing.
var ErrRecord = errors.New("malformed log record")

// maxElements bounds the elements of one set or vector of a record.
const maxElements = 1 << 24

// valueHead is the length of what every packed value begins with: type, subtype, and whether it is set.
const valueHead = 9

// A RecordReader walks over a packed record without building anything. Its first error sticks.
type RecordReader struct {
	b    []byte
	at   int
	left int // values that are to come
	err  error
}

// A Cell is one value of a record. It shares the memory of the record.
type Cell struct {
	Type LogType
	Set  bool // whether there is a value; everything below is zero if not

	body  []byte
	count int // of elements
}

// ReadRecord begins to read a packed record.
func ReadRecord(packed []byte) RecordReader {
	r := RecordReader{b: packed}
	if len(packed) < 4 {
		r.fail("%d bytes", len(packed))
		return r
	}
	n := int32(binary.BigEndian.Uint32(packed))
	if r.at = 4; n < 0 || int64(n)*valueHead > int64(len(packed)-4) {
		r.fail("%d values announced in %d bytes", n, len(packed))
		return r
	}
	r.left = int(n)
	return r
}

// Len returns how many values are to come.
func (r *RecordReader) Len() int { return r.left }

// Err returns the first error, or one if all values were read and bytes are left.
func (r *RecordReader) Err() error {
	if r.err == nil && r.left == 0 && r.at != len(r.b) {
		r.fail("%d bytes behind the last value", len(r.b)-r.at)
	}
	return r.err
}

func (r *RecordReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: at byte %d: %s", ErrRecord, r.at, fmt.Sprintf(format, args...))
	}
	r.left = 0
}

// Next returns the next value. ok is false at the end and after an error.
func (r *RecordReader) Next() (c Cell, ok bool) {
	if r.left == 0 || r.err != nil {
		return Cell{}, false
	}
	c = r.cell(true)
	if r.err != nil {
		return Cell{}, false
	}
	r.left--
	return c, true
}

// cell reads a value, which may be a container if it does not stand in one.
func (r *RecordReader) cell(container bool) (c Cell) {
	if len(r.b)-r.at < valueHead {
		r.fail("%d bytes left for a value", len(r.b)-r.at)
		return c
	}
	head := r.b[r.at : r.at+valueHead]
	c.Type, c.Set = LogType(binary.BigEndian.Uint32(head)), head[8] != 0
	if !c.Type.Atomic() && !(container && c.Type.Container()) {
		r.fail("a value of type %v", c.Type)
		return c
	}
	r.at += valueHead
	if !c.Set {
		return c
	}
	start := r.at
	switch c.Type {
	case LogBool, LogInt, LogCount, LogDouble, LogTime, LogInterval:
		r.skip(8)
	case LogString, LogEnum, LogFunc, LogFile:
		n := int32(r.uint32())
		if n < 0 {
			r.fail("text of %d bytes", n)
		}
		start = r.at
		r.skip(int(n))
	case LogPort:
		r.skip(12)
	case LogAddr:
		r.address()
	case LogSubnet:
		r.skip(1)
		r.address()
	default:
		n := r.uint64()
		if n > maxElements || n*valueHead > uint64(len(r.b)-r.at) {
			r.fail("%d elements announced in %d bytes", n, len(r.b)-r.at)
			return c
		}
		c.count = int(n)
		start = r.at
		for range c.count {
			if r.cell(false); r.err != nil {
				return c
			}
		}
	}
	if r.err == nil {
		c.body = r.b[start:r.at:r.at]
	}
	return c
}

func (r *RecordReader) skip(n int) {
	if r.err != nil || n > len(r.b)-r.at {
		r.fail("%d bytes left where %d are wanted", len(r.b)-r.at, n)
		return
	}
	r.at += n
}

func (r *RecordReader) uint32() uint32 {
	r.skip(4)
	if r.err != nil {
		return 0
	}
	return binary.BigEndian.Uint32(r.b[r.at-4:])
}

func (r *RecordReader) uint64() uint64 {
	r.skip(8)
	if r.err != nil {
		return 0
	}
	return binary.BigEndian.Uint64(r.b[r.at-8:])
}

// address reads a family and as many bytes as an address of it has.
func (r *RecordReader) address() {
	r.skip(1)
	if r.err != nil {
		return
	}
	switch family := r.b[r.at-1]; family {
	case 4:
		r.skip(4)
	case 6:
		r.skip(16)
	default:
		r.fail("address family %d", family)
	}
}

// Bool returns the value of a bool. Anything but 0 is true: Zeek itself sends 255 now and then, and
// writes T for it.
func (c *Cell) Bool() bool { return c.number(LogBool) != 0 }

// Int returns the value of an int.
func (c *Cell) Int() int64 { return int64(c.number(LogInt)) }

// Count returns the value of a count.
func (c *Cell) Count() uint64 { return c.number(LogCount) }

// Float returns the value of a double, the seconds since 1970 of a time, or those of an interval.
func (c *Cell) Float() float64 {
	if c.Set && (c.Type == LogDouble || c.Type == LogTime || c.Type == LogInterval) {
		return math.Float64frombits(binary.BigEndian.Uint64(c.body))
	}
	return 0
}

func (c *Cell) number(t LogType) uint64 {
	if !c.Set || c.Type != t {
		return 0
	}
	return binary.BigEndian.Uint64(c.body)
}

// Text returns the bytes of a string, the name of an enum value or a file, the description of a function.
func (c *Cell) Text() []byte {
	if c.Type.Text() {
		return c.body
	}
	return nil
}

// Port returns the value of a port.
func (c *Cell) Port() (number uint64, proto data.Proto) {
	if !c.Set || c.Type != LogPort {
		return 0, 0
	}
	proto = data.Proto(min(binary.BigEndian.Uint32(c.body[8:]), math.MaxUint8))
	if proto > data.ProtoICMP {
		proto = data.ProtoUnknown
	}
	return binary.BigEndian.Uint64(c.body), proto
}

// Addr returns the value of an address.
func (c *Cell) Addr() netip.Addr {
	if !c.Set || c.Type != LogAddr {
		return netip.Addr{}
	}
	return addrOf(c.body)
}

func addrOf(b []byte) netip.Addr {
	addr, _ := netip.AddrFromSlice(b[1:])
	return addr
}

// Subnet returns the value of a subnet. It is invalid if its length does not suit its address.
func (c *Cell) Subnet() netip.Prefix {
	if !c.Set || c.Type != LogSubnet {
		return netip.Prefix{}
	}
	addr, bits := addrOf(c.body[1:]), int(c.body[0])
	if addr.Is4() {
		bits -= 96 // packed lengths are those of the 128-bit form
	}
	return netip.PrefixFrom(addr, bits)
}

// Len returns the number of elements of a set or vector.
func (c *Cell) Len() int { return c.count }

// Elems returns a reader of the elements of a set or vector.
func (c *Cell) Elems() RecordReader {
	return RecordReader{b: c.body, left: c.count}
}

// The following append packed values. A record is [AppendRecord] and then as many values as it says, in
// the order and of the types of the fields that the log was created with, also where a value is unset:
// one of another type makes a logger of Zeek give up the file.

// AppendRecord appends the beginning of a record of n values.
func AppendRecord(dst []byte, n int) []byte { return binary.BigEndian.AppendUint32(dst, uint32(n)) }

// AppendUnset appends a value of type t that is not set.
func AppendUnset(dst []byte, t LogType) []byte { return appendCell(dst, t, 0) }

func appendCell(dst []byte, t LogType, set byte) []byte {
	return append(dst, byte(t>>24), byte(t>>16), byte(t>>8), byte(t), 0, 0, 0, 0, set)
}

func appendNumber(dst []byte, t LogType, n uint64) []byte {
	return binary.BigEndian.AppendUint64(appendCell(dst, t, 1), n)
}

// AppendLogBool appends a bool.
func AppendLogBool(dst []byte, b bool) []byte {
	if b {
		return appendNumber(dst, LogBool, 1)
	}
	return appendNumber(dst, LogBool, 0)
}

// AppendLogInt appends an int.
func AppendLogInt(dst []byte, n int64) []byte { return appendNumber(dst, LogInt, uint64(n)) }

// AppendLogCount appends a count.
func AppendLogCount(dst []byte, n uint64) []byte { return appendNumber(dst, LogCount, n) }

// AppendLogFloat appends a double, the seconds since 1970 of a time, or those of an interval.
func AppendLogFloat(dst []byte, t LogType, f float64) []byte {
	return appendNumber(dst, t, math.Float64bits(f))
}

// AppendLogTime appends a time.
func AppendLogTime(dst []byte, t time.Time) []byte { return AppendLogFloat(dst, LogTime, Seconds(t)) }

// Seconds returns a time as logs have it, in seconds since 1970: the same number that reading it as decimal gives.
func Seconds(t time.Time) float64 { return float64(t.Unix()) + float64(t.Nanosecond())/1e9 }

// AppendLogInterval appends an interval.
func AppendLogInterval(dst []byte, d time.Duration) []byte {
	return AppendLogFloat(dst, LogInterval, d.Seconds())
}

// AppendLogText appends a string, or the name of an enum value or a file, or the description of a function.
func AppendLogText[S ~string | ~[]byte](dst []byte, t LogType, s S) []byte {
	return append(binary.BigEndian.AppendUint32(appendCell(dst, t, 1), uint32(len(s))), s...)
}

// AppendLogPort appends a port.
func AppendLogPort(dst []byte, number uint16, proto data.Proto) []byte {
	return binary.BigEndian.AppendUint32(appendNumber(dst, LogPort, uint64(number)), uint32(proto))
}

// AppendLogAddr appends an address. An IPv4 address in its long form stands for the short one, as in Zeek.
func AppendLogAddr(dst []byte, a netip.Addr) []byte {
	return appendAddr(appendCell(dst, LogAddr, 1), a.Unmap())
}

// AppendLogSubnet appends a subnet.
func AppendLogSubnet(dst []byte, p netip.Prefix) []byte {
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	return appendAddr(append(appendCell(dst, LogSubnet, 1), byte(bits)), p.Addr())
}

func appendAddr(dst []byte, a netip.Addr) []byte {
	if a.Is4() {
		b := a.As4()
		return append(append(dst, 4), b[:]...)
	}
	b := a.As16()
	return append(append(dst, 6), b[:]...)
}

// AppendLogContainer appends the beginning of a set or vector of n elements, which are appended next.
func AppendLogContainer(dst []byte, t LogType, n int) []byte { return appendNumber(dst, t, uint64(n)) }
