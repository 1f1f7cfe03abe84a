package store

import (
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// An effectKind says what an action does to a table.
type effectKind uint8

const (
	effectNone effectKind = iota
	effectSet
	effectErase
	effectClear
)

// An effect is what comes of an action at the master (STORE.md section 5.2).
type effect struct {
	kind    effectKind
	value   []byte // to set, encoded
	expiry  int64  // of what is set, nanoseconds since 1970 UTC; 0: never
	existed bool   // there was a value under the key
	old     string // which was this
	err     error  // why a failed action did nothing
}

// execute returns what an action does to a table, without doing it: the caller sets or erases c.Key.
// now is in nanoseconds since 1970 UTC. It brings key and value of c into canonical form.
//
// An action that failed has no effect at all; Broker's memory backend keeps the value that a failed add
// begins with (STORE.md section 8.2 o). To put a unique value where there is one, and to erase where
// there is none, has no effect and is no failure.
func execute(c *wire.Command, t *table, now int64) (e effect) {
	if c.Kind == wire.CommandClear {
		return effect{kind: effectClear}
	}
	if err := canonicalCommand(c); err != nil {
		return effect{err: err}
	}
	there, existed := t.get(c.Key)
	e = effect{existed: existed, old: there.value}
	switch c.Kind {
	case wire.CommandPut:
		e.kind, e.value = effectSet, c.Value
	case wire.CommandPutUnique:
		if !existed {
			e.kind, e.value = effectSet, c.Value
		}
	case wire.CommandErase:
		if existed {
			e.kind = effectErase
		}
		return e
	case wire.CommandAdd:
		old := there.value
		if !existed {
			old = initial[c.Init]
		}
		e.value, e.err = add(old, c.Value)
	case wire.CommandSubtract:
		if !existed {
			e.err = fmt.Errorf("%w: there is nothing to subtract from", ErrNoSuchKey)
			break
		}
		e.value, e.err = subtract(there.value, c.Value)
	default:
		e.err = fmt.Errorf("%w: %v is nothing to execute", ErrInvalidData, c.Kind)
	}
	if e.err != nil {
		e.err = fmt.Errorf("%v: %w", c.Kind, e.err)
		return e
	}
	if e.value != nil {
		e.kind = effectSet
	}
	if e.kind == effectSet && c.HasExpiry {
		e.expiry = expiryAfter(now, c.Expiry)
	}
	return e
}

// canonicalCommand brings key and value of an action into canonical form.
func canonicalCommand(c *wire.Command) (err error) {
	if c.Key, err = canonicalValue(c.Key); err != nil {
		return fmt.Errorf("%v: %w: key: %w", c.Kind, ErrInvalidData, err)
	}
	if data.HasNaN(c.Key) {
		return fmt.Errorf("%v: %w", c.Kind, ErrNaNKey)
	}
	if c.Kind == wire.CommandErase || c.Kind == wire.CommandExpire {
		return nil
	}
	if c.Value, err = canonicalValue(c.Value); err != nil {
		return fmt.Errorf("%v: %w: value: %w", c.Kind, ErrInvalidData, err)
	}
	return nil
}

// canonicalValue brings a value into canonical form, unless it has more values inside than may be
// decoded: whoever reads the store gets a tree of them, which is up to 32 times as large.
func canonicalValue(b []byte) ([]byte, error) {
	if len(b) > data.DefaultMaxValues { // each takes a byte at least
		if _, err := (data.Decoder{Lenient: true}).Decode(b); err != nil {
			return nil, err
		}
	}
	return data.Canonical(b)
}

// expiryAfter returns the time that is d after now: the nearest there is, and never 0, which would mean
// never.
func expiryAfter(now int64, d time.Duration) int64 {
	sum := now + int64(d)
	switch {
	case d > 0 && sum < now:
		return math.MaxInt64
	case d < 0 && sum > now:
		return math.MinInt64
	case sum == 0:
		return -1
	}
	return sum
}

// initial is what an add begins with if there is no value, by its init_type.
var initial = func() (values [data.KindVector + 1]string) {
	for kind, v := range [...]data.Value{
		data.None(), data.Bool(false), data.Count(0), data.Int(0), data.Real(0), data.String(""),
		data.Addr(netip.Addr{}), data.Subnet(netip.Prefix{}), data.Port(0, data.ProtoUnknown),
		data.Timestamp(0), data.Timespan(0), data.Enum(""), data.Set(), data.Table(), data.Vector(),
	} {
		values[kind] = string(data.AppendValue(nil, v))
	}
	return values
}()
