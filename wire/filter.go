package wire

import (
	"errors"
	"fmt"
)

// What one peer may subscribe to. A Zeek node has about ten entries; one that subscribes to a topic
// for each of 10,000 objects still fits, and no peer can make a node keep more than this.
const (
	MaxFilterEntries = 65536
	MaxFilterBytes   = 1 << 20
)

// ErrFilterTooLarge says that a filter is above [MaxFilterEntries] or [MaxFilterBytes].
var ErrFilterTooLarge = errors.New("filter too large")

// AppendFilter appends a filter: how many topics, then each (PROTOCOL.md section 3).
func AppendFilter(dst []byte, filter []string) []byte {
	dst = appendVarbyte(dst, uint32(len(filter)))
	for _, prefix := range filter {
		dst = appendString(dst, prefix)
	}
	return dst
}

// ParseFilter parses a filter that must use up b. The topics are copied out of b, all of them into
// one string.
func ParseFilter(b []byte) ([]string, error) {
	count, b, err := takeVarbyte(b)
	if err != nil {
		return nil, err
	}
	if count > MaxFilterEntries || len(b) > MaxFilterBytes+MaxFilterEntries*maxVarbyte {
		return nil, fmt.Errorf("%w: %d topics in %d bytes, at most %d in %d", ErrFilterTooLarge, count, len(b), MaxFilterEntries, MaxFilterBytes)
	}
	if int(count) > len(b) { // each topic takes a byte at least
		return nil, fmt.Errorf("%w: %d topics announced in %d bytes", errTruncated, count, len(b))
	}
	filter := make([]string, 0, count)
	text := string(b)
	size := 0
	for range count {
		topic, rest, err := takeString(b)
		if err != nil {
			return nil, err
		}
		if size += len(topic); size > MaxFilterBytes {
			return nil, fmt.Errorf("%w: more than %d bytes of topics", ErrFilterTooLarge, MaxFilterBytes)
		}
		end := len(text) - len(rest)
		filter = append(filter, text[end-len(topic):end])
		b = rest
	}
	return filter, takeEnd(b)
}
