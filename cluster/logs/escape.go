package logs

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

// each returns a word that has b in each byte.
func each(b byte) uint64 { return 0x0101010101010101 * uint64(b) }

const (
	eachOne   = 0x0101010101010101
	eachBlank = 0x2020202020202020
	eachTop   = 0x8080808080808080
	eachBack  = 0x5c5c5c5c5c5c5c5c // '\\'
)

// special returns a word of which a bit of eachTop is set if a byte of w is no printable ASCII, a backslash,
// or the one that other has in each byte. It may set more of these bits, but then one of them rightly.
func special(w, other uint64) uint64 {
	return w | (w - eachBlank) | (w + eachOne) | ((w ^ eachBack) - eachOne) | ((w ^ other) - eachOne)
}

// putText copies the first size bytes of from, which has them. ok is false if special finds anything in
// them; then what it wrote is of no use. There have to be 8 bytes of room behind them.
func putText(out []byte, n int, from []byte, size int, other uint64) (_ int, ok bool) {
	var found uint64
	to := out[n : n+size+8]
	i := 0
	for ; i <= size-8; i += 8 {
		w := binary.LittleEndian.Uint64(from[i:])
		binary.LittleEndian.PutUint64(to[i:], w)
		found |= special(w, other)
	}
	if left := size - i; left > 0 {
		var w uint64
		if i <= len(from)-8 {
			w = binary.LittleEndian.Uint64(from[i:])
		} else {
			for j, b := range from[i:size] {
				w |= uint64(b) << (8 * j)
			}
		}
		binary.LittleEndian.PutUint64(to[i:], w)
		// What is not text any more becomes blanks, or what comes nearest to them and is not special.
		mask := uint64(1)<<(8*left) - 1
		found |= special(w&mask|each('a')&^mask, other)
	}
	return n + size, found&eachTop == 0
}

// An escaper writes texts into TSV files as Zeek does (CLUSTER.md section 6.7).
type escaper struct {
	seps []string // what is escaped beside backslashes, in the order of the bytes
	utf8 bool     // whether what is no ASCII may stand as it is
}

const hexDigits = "0123456789abcdef"

func appendHex(dst []byte, b byte) []byte {
	return append(dst, '\\', 'x', hexDigits[b>>4], hexDigits[b&15])
}

// append appends a text.
func (e *escaper) append(dst, text []byte) []byte {
	for len(text) > 0 {
		at, size := e.first(text)
		if !e.utf8 || refusedUTF8(text[:at], isPrintable) < 0 {
			dst = append(dst, text[:at]...)
		} else {
			for _, b := range text[:at] {
				if isPrintable(b) {
					dst = append(dst, b)
				} else {
					dst = appendHex(dst, b)
				}
			}
		}
		for _, b := range text[at : at+size] {
			if b == '\\' {
				dst = append(dst, `\\`...)
			} else {
				dst = appendHex(dst, b)
			}
		}
		text = text[at+size:]
	}
	return dst
}

// first finds the first place of a text that is escaped in any case, and how long it is.
func (e *escaper) first(text []byte) (at, size int) {
	for at, b := range text {
		if b == '\\' || !e.utf8 && !isPrintable(b) {
			return at, 1
		}
		for _, sep := range e.seps {
			if b == sep[0] && strings.HasPrefix(string(text[at:min(len(text), at+len(sep))]), sep) {
				return at, len(sep)
			}
		}
	}
	return len(text), 0
}

func isPrintable(b byte) bool { return ' ' <= b && b <= '~' }

// isPrintableJSON also takes the controls that JSON has a letter for.
func isPrintableJSON(b byte) bool {
	return isPrintable(b) || b == '\b' || b == '\f' || b == '\n' || b == '\r' || b == '\t'
}

// refusedUTF8 finds the first place in a text that makes Zeek not take it for UTF-8, or -1: there is an
// invalid sequence, a control, a code for private use or one of the last of a plane that are special. What
// is plain is never refused.
func refusedUTF8(text []byte, plain func(byte) bool) int {
	for at := 0; at < len(text); {
		if plain(text[at]) {
			at++
			continue
		}
		r, size := utf8.DecodeRune(text[at:])
		if r < 0xa0 || r >= 0xe000 && r <= 0xf8ff || r >= 0xfff0 && r <= 0xffff { // U+FFFD too, which says invalid
			return at
		}
		at += size
	}
	return -1
}

// appendJSON appends a text without quotes around it. If it is not UTF-8 that Zeek takes, then what is no
// ASCII is there as four characters of the text, such as \x80, whose backslash is escaped.
func appendJSON(dst, text []byte) []byte {
	raw := refusedUTF8(text, isPrintableJSON) < 0
	for _, b := range text {
		switch {
		case b == '"' || b == '\\':
			dst = append(dst, '\\', b)
		case b >= ' ' && (raw || isPrintable(b)):
			dst = append(dst, b)
		case isPrintableJSON(b):
			dst = append(dst, '\\', "btn_fr"[b-'\b'])
		default:
			dst = appendHex(append(dst, '\\'), b)
		}
	}
	return dst
}
