package wire

import (
	"bytes"
	"errors"
	"testing"
)

func TestNextFrame(t *testing.T) {
	const limit = 4
	for _, c := range []struct {
		name       string
		b          []byte
		body, rest []byte
		need       int
	}{
		{"nothing", nil, nil, nil, 4},
		{"part of a length", []byte{0, 0, 0}, nil, []byte{0, 0, 0}, 4},
		{"a length", []byte{0, 0, 0, 2}, nil, []byte{0, 0, 0, 2}, 6},
		{"part of a body", []byte{0, 0, 0, 2, 7}, nil, []byte{0, 0, 0, 2, 7}, 6},
		{"a frame", []byte{0, 0, 0, 2, 7, 8}, []byte{7, 8}, nil, 0},
		{"a frame and more", []byte{0, 0, 0, 2, 7, 8, 0}, []byte{7, 8}, []byte{0}, 0},
		{"an empty frame", []byte{0, 0, 0, 0, 9}, []byte{}, []byte{9}, 0},
		{"the largest frame", []byte{0, 0, 0, 4, 1, 2, 3, 4}, []byte{1, 2, 3, 4}, nil, 0},
	} {
		body, rest, need, err := NextFrame(c.b, limit)
		if err != nil || !bytes.Equal(body, c.body) || (body == nil) != (c.body == nil) || !bytes.Equal(rest, c.rest) || need != c.need {
			t.Errorf("%s: %x, %x, %d, %v", c.name, body, rest, need, err)
		}
	}
	for _, b := range [][]byte{{0, 0, 0, 5}, {0xff, 0xff, 0xff, 0xff}, {0x80, 0, 0, 0, 1, 2, 3}} {
		var tooLarge *FrameTooLargeError
		body, _, need, err := NextFrame(b, limit)
		if !errors.As(err, &tooLarge) || tooLarge.Limit != limit || tooLarge.Len <= limit || body != nil || need != 0 {
			t.Errorf("%x: %x, %d, %v", b, body, need, err)
		}
	}
	body, _, _, _ := NextFrame([]byte{0, 0, 0, 1, 7, 8}, limit)
	if cap(body) != 1 {
		t.Error("appending to a body overwrites what follows it")
	}
}

func TestEndpointID(t *testing.T) {
	const text = "123e4567-e89b-42d3-a456-426614174000"
	id, err := ParseEndpointID("123E4567-E89B-42d3-a456-426614174000")
	if err != nil || id.String() != text || id.IsZero() {
		t.Errorf("%v, %v", id, err)
	}
	var back EndpointID
	if b, err := id.MarshalText(); err != nil || back.UnmarshalText(b) != nil || back != id {
		t.Errorf("%v, %v", back, err)
	}
	for _, bad := range []string{"", text[1:], text + "0", "123e4567e89b-42d3-a456-4266141740000", "123e4567-e89b-42d3-a456-42661417400g", "----------0000-0000-0000-000000000000"} {
		if id, err := ParseEndpointID(bad); err == nil || !id.IsZero() {
			t.Errorf("%q: %v, %v", bad, id, err)
		}
	}
	if a, b := NewEndpointID(), NewEndpointID(); a == b || a.IsZero() || a[6]>>4 != 4 || a[8]>>6 != 2 {
		t.Errorf("%v, %v", a, b)
	}
	if low, high := (EndpointID{1}), (EndpointID{0x80}); low.Compare(high) != -1 || high.Compare(low) != 1 || low.Compare(low) != 0 {
		t.Error("ids are not ordered by unsigned bytes")
	}
}
