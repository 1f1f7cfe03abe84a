package wire

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestVarbyte(t *testing.T) {
	for n, want := range map[uint32][]byte{
		0: {0}, 0x7f: {0x7f}, 0x80: {0x80, 1}, 0x3fff: {0xff, 0x7f}, 0x4000: {0x80, 0x80, 1}, math.MaxUint32: {0xff, 0xff, 0xff, 0xff, 0x0f},
	} {
		b := appendVarbyte(nil, n)
		if !bytes.Equal(b, want) {
			t.Errorf("%d: %x, want %x", n, b, want)
		}
		if got, rest, err := takeVarbyte(append(b, 9)); err != nil || got != n || !bytes.Equal(rest, []byte{9}) {
			t.Errorf("%x: %d, %x, %v", b, got, rest, err)
		}
		for end := range b {
			if _, _, err := takeVarbyte(b[:end]); !errors.Is(err, errTruncated) {
				t.Errorf("%x: %v", b[:end], err)
			}
		}
	}
	for name, b := range map[string][]byte{
		"33 bits":  {0xff, 0xff, 0xff, 0xff, 0x1f},
		"35 bits":  {0xff, 0xff, 0xff, 0xff, 0x7f},
		"6 bytes":  {0x80, 0x80, 0x80, 0x80, 0x80, 0},
		"11 bytes": {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0},
		"no end":   bytes.Repeat([]byte{0x80}, 20),
	} {
		if _, _, err := takeVarbyte(b); !errors.Is(err, errVarbyte) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n, rest, err := takeVarbyte([]byte{0x85, 0}); n != 5 || len(rest) != 0 || err != nil {
		t.Errorf("5 in two bytes: %d, %v", n, err)
	}
}

func TestFilterBounds(t *testing.T) {
	entries := func(n, size int) []byte {
		return AppendFilter(nil, slices.Repeat([]string{strings.Repeat("x", size)}, n))
	}
	count := func(n uint32, rest ...byte) []byte { return append(appendVarbyte(nil, n), rest...) }
	for _, c := range []struct {
		name string
		b    []byte
		want error
	}{
		{"empty", []byte{0}, nil},
		{"the empty topic", []byte{1, 0}, nil},
		{"65536 topics of 16 bytes, a MiB in all", entries(MaxFilterEntries, MaxFilterBytes/MaxFilterEntries), nil},
		{"65537 topics", entries(MaxFilterEntries+1, 0), ErrFilterTooLarge},
		{"one topic of a MiB", entries(1, MaxFilterBytes), nil},
		{"one topic of more", entries(1, MaxFilterBytes+1), ErrFilterTooLarge},
		{"topics of a MiB and one byte", append(count(2), append(entries(1, MaxFilterBytes)[1:], 1, 'x')...), ErrFilterTooLarge},
		{"2^32-1 topics", count(math.MaxUint32, 0), ErrFilterTooLarge},
		{"65536 topics in 3 bytes", count(MaxFilterEntries, 0, 0, 0), errTruncated},
		{"a topic of 2^32-1 bytes", count(1, 0xff, 0xff, 0xff, 0xff, 0x0f, 'x'), errTruncated},
		{"a topic of 33 bits", count(1, 0xff, 0xff, 0xff, 0xff, 0x1f, 'x'), errVarbyte},
		{"a length of 11 bytes", count(1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0), errVarbyte},
		{"a topic cut short", count(1, 2, 'x'), errTruncated},
		{"a topic too few", count(2, 1, 'x'), errTruncated},
		{"a byte left over", count(1, 1, 'x', 0), errTrailing},
		{"nothing", nil, errTruncated},
	} {
		filter, err := ParseFilter(c.b)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err == nil && !bytes.Equal(AppendFilter(nil, filter), c.b) {
			t.Errorf("%s: %d topics, written differently", c.name, len(filter))
		}
	}
}

// A filter outlives the frame that it came in.
func TestFilterIsCopied(t *testing.T) {
	b := AppendFilter(nil, []string{"/a", "/b"})
	filter, err := ParseFilter(b)
	clear(b)
	if err != nil || !slices.Equal(filter, []string{"/a", "/b"}) {
		t.Errorf("%q, %v", filter, err)
	}
}
