package capture

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// A hexLayout says how a hex dump is laid out.
type hexLayout uint8

const (
	plainHex   hexLayout = iota // digits and whitespace, as of xxd -p
	xxdHex                      // 00000010: 0000 0005 075a  .....Z
	columnsHex                  // 00000010  00 00 00 05 07 5a  |.....Z|, as of hexdump -C and Wireshark
)

// maxRepeat bounds how many bytes all lines of "*" together stand for, so that a small file does not
// become a large one.
const maxRepeat = 1 << 20

// isHexText tells whether b, the beginning of a file, is text and begins with a hex digit or "0x".
func isHexText(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' || c >= 0x7f {
			return false
		}
	}
	b = bytes.TrimLeft(b, " \t\r\n")
	return len(b) > 1 && isHexDigit(b[0]) && (isHexDigit(b[1]) || b[1] == 'x' || b[1] == ' ')
}

func isHexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// hexStyle sees the layout from the first line.
func hexStyle(b []byte) hexLayout {
	line, _, _ := bytes.Cut(bytes.TrimLeft(b, " \t\r\n"), []byte("\n"))
	digits := 0
	for digits < len(line) && isHexDigit(line[digits]) {
		digits++
	}
	switch rest := line[digits:]; {
	case bytes.HasPrefix(rest, []byte(": ")):
		return xxdHex
	case digits >= 7 && digits <= 8 && bytes.HasPrefix(rest, []byte("  ")):
		return columnsHex
	}
	return plainHex
}

func readHex(in *bufio.Reader, s *sink, layout hexLayout) error {
	if layout == plainHex {
		return readPlainHex(in, s)
	}
	// Wireshark indents the lines of the side that listened, and counts the bytes of each side.
	one, other := newDump(s), newDump(s)
	d := one
	defer func() {
		one.end()
		other.end()
	}()
	scanner := bufio.NewScanner(in) // lines of up to 64 KiB
	var last []byte
	repeat, repeatable := false, int64(maxRepeat)
	for number := 1; scanner.Scan() && s.err == nil; number++ {
		line := bytes.TrimSpace(scanner.Bytes())
		if len(line) == 0 {
			continue
		}
		if d = one; layout == columnsHex && line[0] != scanner.Bytes()[0] {
			d = other
			one.from, one.to, other.from, other.to = Dialer, Listener, Listener, Dialer
		}
		if string(line) == "*" {
			repeat = true
			continue
		}
		where := fmt.Sprintf("line %d", number)
		offset, rest, ok := cutOffset(line)
		if !ok {
			s.damage(where, "%.40q: want an offset in hex, then bytes", line)
			d.stream.Lose()
			continue
		}
		if repeat && len(last) > 0 && offset > d.at && offset-d.at <= repeatable {
			repeatable -= offset - d.at
			for d.at < offset && s.err == nil {
				d.feed(last[:min(int64(len(last)), offset-d.at)])
			}
		}
		repeat = false
		if offset != d.at {
			if offset != 0 {
				s.damage(where, "the bytes from %#x to %#x are missing", d.at, offset)
			}
			d.end()
			d.stream.Lose()
			d.at = offset
		}
		var bad error
		if last, bad = lineBytes(last[:0], rest, layout); bad != nil {
			s.damage(where, "%v", bad)
		}
		d.feed(last)
		if bad != nil {
			d.stream.Lose()
		}
	}
	if err := scanner.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return errors.New("a line of the hex dump is longer than 64 KiB")
		}
		return err
	}
	return s.err
}

// cutOffset splits the offset off a line.
func cutOffset(line []byte) (offset int64, rest []byte, ok bool) {
	end := bytes.IndexAny(line, ": ")
	if end < 0 {
		end = len(line)
	}
	offset, err := strconv.ParseInt(string(line[:end]), 16, 63)
	return offset, bytes.TrimPrefix(line[end:], []byte(":")), err == nil && offset < 1<<40
}

// lineBytes appends the bytes of a line, up to where its text begins: two spaces in xxd; in columns
// a bar, three spaces, or behind the sixteenth byte.
func lineBytes(dst, line []byte, layout hexLayout) ([]byte, error) {
	const columns = 16
	stop := 3
	if layout == xxdHex {
		stop = 2
	}
	line = bytes.TrimLeft(line, " ")
	for len(line) > 0 && line[0] != '|' {
		if len(line) < 2 || !isHexDigit(line[0]) || !isHexDigit(line[1]) {
			return dst, fmt.Errorf("%.10q where two hex digits should be", line)
		}
		dst = append(dst, nibble(line[0])<<4|nibble(line[1]))
		line = line[2:]
		spaces := len(line) - len(bytes.TrimLeft(line, " "))
		if spaces >= stop || layout == columnsHex && len(dst) == columns {
			break
		}
		line = line[spaces:]
	}
	return dst, nil
}

func nibble(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}

// readPlainHex reads digits with whitespace, commas, colons and 0x between them.
func readPlainHex(in *bufio.Reader, s *sink) error {
	d := newDump(s)
	line, column := 1, 0
	high := byte(0) // the first digit of a byte, if there was one
	var out []byte
	flush := func() {
		d.feed(out)
		out = out[:0]
	}
	for s.err == nil {
		c, err := in.ReadByte()
		if err != nil {
			flush()
			if high != 0 {
				s.damage(fmt.Sprintf("line %d", line), "ends with half a byte")
			}
			d.end()
			if errors.Is(err, io.EOF) {
				return s.err
			}
			return err
		}
		column++
		switch {
		case c == '\n':
			line, column = line+1, 0
		case (c == 'x' || c == 'X') && high == '0':
			high = 0
		case high == 0 && (c == ' ' || c == '\t' || c == '\r' || c == ',' || c == ':'):
		case !isHexDigit(c):
			flush()
			s.damage(fmt.Sprintf("line %d, column %d", line, column), "%q is no hex digit", c)
			d.stream.Lose()
			if high == 0 { // it stands for a digit
				high = '0'
			} else {
				high = 0
				d.feed([]byte{0})
			}
		case high == 0:
			high = c
		default:
			if out, high = append(out, nibble(high)<<4|nibble(c)), 0; len(out) == 4096 {
				flush()
			}
		}
	}
	return s.err
}
