package data

// Validate checks that b is one encoded value: its structure, kinds, lengths and depth, the protocols
// of its ports, and that nothing follows it. It does not look for duplicates in sets and tables,
// which a receiver refuses and which hurt nobody. It does not allocate.
func Validate(b []byte) error {
	var s scanner
	end, err := s.elems(b, 0, 1, 0)
	if err != nil {
		return err
	}
	if end != len(b) {
		return &SyntaxError{Offset: end, Err: ErrTrailing}
	}
	return nil
}

// Skip checks the value at the beginning of b like [Validate] and returns what follows it.
func Skip(b []byte) (rest []byte, err error) { return Decoder{}.Skip(b) }

// Skip checks the value at the beginning of b, in the way of the Decoder, and returns what follows it.
// It does not allocate.
func (d Decoder) Skip(b []byte) (rest []byte, err error) {
	s := scanner{lenient: d.Lenient}
	end, err := s.elems(b, 0, 1, 0)
	if err != nil {
		return nil, err
	}
	return b[end:], nil
}

// A scanner walks over encoded values.
type scanner struct {
	lenient bool
	values  int // seen inside containers
	text    int // strings seen
}

// fixed is the length of each kind of value, tag included; 0 for those that say it themselves.
var fixed = [256]uint8{
	KindNone: 1, KindBool: 2, KindCount: 9, KindInt: 9, KindReal: 9, KindAddr: 17,
	KindTime: 9, KindTimespan: 9,
}

// elems walks over n values from at on and returns where they end.
func (s *scanner) elems(b []byte, at, n, depth int) (int, error) {
	for ; n > 0; n-- {
		if at >= len(b) {
			return at, &SyntaxError{Offset: at, Err: ErrTruncated}
		}
		start := at
		kind := Kind(b[at])
		if size := int(fixed[kind]); size > 0 {
			at += size
		} else if kind == KindString || kind == KindEnum {
			s.text++
			if at+1 < len(b) && b[at+1] < 0x80 { // as in varbyteAt, which is not inlined
				at += 2 + int(b[at+1])
			} else {
				length, next, err := longVarbyteAt(b, at+1)
				if err != nil {
					return at, err
				}
				at = next + length
			}
		} else if kind.container() {
			count, next, err := varbyteAt(b, at+1)
			if err != nil {
				return at, err
			}
			if depth >= MaxDepth {
				return at, &SyntaxError{Offset: at, Err: ErrDepth}
			}
			if kind == KindTable {
				count *= 2
			}
			// Each element takes a byte at least: a count from nowhere ends here.
			if count > len(b)-next {
				return at, &SyntaxError{Offset: at, Err: ErrTruncated}
			}
			s.values += count
			if at, err = s.elems(b, next, count, depth+1); err != nil {
				return at, err
			}
		} else if err := s.odd(b, at, kind); err != nil {
			return at, err
		} else if kind == KindPort {
			at += 4
		} else {
			at += 18
		}
		if at > len(b) {
			return at, &SyntaxError{Offset: start, Err: ErrTruncated}
		}
	}
	return at, nil
}

// odd checks the kinds whose content can be wrong.
func (s *scanner) odd(b []byte, at int, kind Kind) error {
	switch kind {
	case KindPort:
		if at+4 <= len(b) && b[at+3] > byte(ProtoICMP) && !s.lenient {
			return &SyntaxError{Offset: at, Err: ErrProtocol}
		}
	case KindSubnet:
		if at+18 <= len(b) && b[at+17] > 128 {
			return &SyntaxError{Offset: at, Err: ErrSubnet}
		}
	default:
		return &SyntaxError{Offset: at, Err: ErrKind}
	}
	return nil
}

// varbyteAt reads a length and returns where it ends. The length is at most len(b).
func varbyteAt(b []byte, at int) (n, next int, err error) {
	if at < len(b) && b[at] < 0x80 {
		return int(b[at]), at + 1, nil
	}
	return longVarbyteAt(b, at)
}

func longVarbyteAt(b []byte, at int) (n, next int, err error) {
	var x uint64
	for i := range 5 {
		if at+i >= len(b) {
			return 0, at, &SyntaxError{Offset: at, Err: ErrTruncated}
		}
		c := b[at+i]
		x |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			if x > 1<<32-1 {
				break
			}
			if x > uint64(len(b)) {
				return 0, at, &SyntaxError{Offset: at, Err: ErrTruncated}
			}
			return int(x), at + i + 1, nil
		}
	}
	return 0, at, &SyntaxError{Offset: at, Err: ErrVarbyte}
}
