package wire

import "errors"

// maxVarbyte is how many bytes a length takes at the most.
const maxVarbyte = 5

var errVarbyte = errors.New("length does not fit 32 bits")

// appendVarbyte appends n in LEB128: 7 bits a byte, the low group first.
func appendVarbyte(dst []byte, n uint32) []byte {
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}

func takeVarbyte(b []byte) (uint32, []byte, error) {
	var n uint64
	for i := range min(len(b), maxVarbyte) {
		n |= uint64(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			if n > 1<<32-1 {
				return 0, nil, errVarbyte
			}
			return uint32(n), b[i+1:], nil
		}
	}
	if len(b) >= maxVarbyte {
		return 0, nil, errVarbyte
	}
	return 0, nil, errTruncated
}

func appendString(dst []byte, s string) []byte {
	return append(appendVarbyte(dst, uint32(len(s))), s...)
}

// takeString consumes a length and that many bytes, which alias b.
func takeString(b []byte) (s, rest []byte, err error) {
	n, b, err := takeVarbyte(b)
	if err != nil {
		return nil, nil, err
	}
	if uint64(n) > uint64(len(b)) {
		return nil, nil, errTruncated
	}
	return b[:n], b[n:], nil
}
