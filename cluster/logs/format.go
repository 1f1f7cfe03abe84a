package logs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A Format turns the rows of one schema into text. It may be used by several goroutines at once.
type Format interface {
	// Header appends what a file begins with.
	Header(dst []byte, opened time.Time) []byte
	// Row appends one line, with its end, for a packed record (CLUSTER.md section 6.4). A record that has
	// not just the columns of the schema, or is malformed, is an error, and dst comes back as it was.
	Row(dst, packed []byte) ([]byte, error)
	// Footer appends what a file ends with.
	Footer(dst []byte, closed time.Time) []byte
}

// ErrRow says that a record does not suit the schema of its log.
var ErrRow = errors.New("row refused")

// Options are the settings of Zeek's writer of text files (CLUSTER.md section 6.7), whose names are
// those behind LogAscii::. The zero value is not useful: begin with [DefaultOptions].
type Options struct {
	JSON             bool   // use_json
	IncludeMeta      bool   // include_meta: whether TSV files have a header
	Bare             bool   // tsv: the header is the names of the columns alone
	UTF8             bool   // enable_utf_8
	Separator        string // separator, of columns
	SetSeparator     string // set_separator, of elements of sets and vectors
	EmptyField       string // empty_field
	UnsetField       string // unset_field
	MetaPrefix       string // meta_prefix, of lines that are no rows
	JSONTimestamps   string // json_timestamps: "JSON::TS_EPOCH" and so on
	JSONIncludeUnset bool   // json_include_unset_fields
	GzipLevel        int    // gzip_level, 0 for none to 9. For who writes the file: formats do not compress.

	Location *time.Location // of the times in header and footer; nil for local time
}

// DefaultOptions returns what Zeek begins with: TSV with a header.
func DefaultOptions() Options {
	return Options{
		IncludeMeta: true, UTF8: true, Separator: "\t", SetSeparator: ",", EmptyField: "(empty)", UnsetField: "-",
		MetaPrefix: "#", JSONTimestamps: "JSON::TS_EPOCH",
	}
}

// For returns the options of one log: what its schema sets, and o otherwise.
func (o Options) For(s *Schema) Options {
	for key, value := range s.Config {
		switch key {
		case "tsv":
			o.Bare = value == "T"
		case "use_json":
			o.JSON = value == "T"
		case "enable_utf_8":
			o.UTF8 = value == "T"
		case "json_include_unset_fields":
			o.JSONIncludeUnset = value == "T"
		case "separator":
			o.Separator = value
		case "set_separator":
			o.SetSeparator = value
		case "empty_field":
			o.EmptyField = value
		case "unset_field":
			o.UnsetField = value
		case "meta_prefix":
			o.MetaPrefix = value
		case "json_timestamps":
			o.JSONTimestamps = value
		case "gzip_level":
			o.GzipLevel = int(value[0] - '0')
		}
	}
	return o
}

// check tells what is wrong with options.
func (o Options) check() error {
	for name, value := range map[string]string{
		"separator": o.Separator, "set_separator": o.SetSeparator, "meta_prefix": o.MetaPrefix,
	} {
		if !isSeparator(value) {
			return fmt.Errorf("%s is %q: want one byte at least, and no end of a line", name, value)
		}
	}
	if !isPlaceholder(o.EmptyField) || !isPlaceholder(o.UnsetField) {
		return fmt.Errorf("empty_field is %q and unset_field %q: want no end of a line in them", o.EmptyField, o.UnsetField)
	}
	if !isTimestamps(o.JSONTimestamps) {
		return fmt.Errorf("json_timestamps is %q: want JSON::TS_EPOCH or another that Zeek has", o.JSONTimestamps)
	}
	return nil
}

// NewFormat returns the format of a log that o asks for, overridden by the settings of the schema.
func NewFormat(s *Schema, o Options) (Format, error) {
	o = o.For(s)
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.JSON {
		return newJSON(s, o), nil
	}
	return newTSV(s, o), nil
}

// A field is a column, or what the elements of one have in common, as formats use it.
type field struct {
	typ  zeek.LogType
	elem []field // of a set or vector: the one of its elements
	key  []byte  // of JSON: what stands in front of a value, with its comma
	null []byte  // of JSON: what stands instead of it if it is unset
}

// fieldsFor makes the fields of the columns.
func fieldsFor(s *Schema) []field {
	fields := make([]field, len(s.Fields))
	for i, f := range s.Fields {
		fields[i] = field{typ: zeek.LogType(f.Type)}
		if fields[i].typ.Container() {
			fields[i].elem = []field{{typ: zeek.LogType(f.Subtype)}}
		}
	}
	return fields
}

// Of packed values (CLUSTER.md section 6.4). The checks against these constants stand where they are used, in both
// formats: a table of sizes would be shorter, and a tenth slower.
const (
	headSize   = 4 + 4 + 1 // type, subtype, whether it is set
	numberSize = headSize + 8
	textSize   = headSize + 4 // without the text
	portSize   = headSize + 8 + 4
)

// begins tells whether in begins with a packed value of the field.
func (c *field) begins(in []byte) bool {
	return len(in) >= headSize && binary.BigEndian.Uint32(in) == uint32(c.typ)
}

// textLen returns the length of the text that in begins with, packed; it is below 0 if the text is not all there.
func textLen(in []byte) int {
	if len(in) < textSize {
		return -1
	}
	n := int(int32(binary.BigEndian.Uint32(in[headSize:])))
	if n > len(in)-textSize {
		return -1
	}
	return n
}

// elemCount returns the number of elements in the set or vector that in begins with, packed; it is below 0 if they
// cannot all be there.
func elemCount(in []byte) int {
	if len(in) < numberSize {
		return -1
	}
	n := binary.BigEndian.Uint64(in[headSize:])
	if n > uint64(len(in))/headSize {
		return -1
	}
	return int(n)
}

// refusal says why a record does not suit a schema. A format calls it after it found that out.
func (s *Schema) refusal(packed []byte) error {
	r := zeek.ReadRecord(packed)
	if r.Err() == nil && r.Len() != len(s.Fields) {
		return fmt.Errorf("%w: %d values for %d columns", ErrRow, r.Len(), len(s.Fields))
	}
	for _, f := range s.Fields {
		c, ok := r.Next()
		if !ok {
			return fmt.Errorf("%w: column %q: %w", ErrRow, f.Name, r.Err())
		}
		if uint64(c.Type) != f.Type {
			return fmt.Errorf("%w: column %q: %v, want %s", ErrRow, f.Name, c.Type, f.TypeName())
		}
		for elems := c.Elems(); c.Type.Container(); {
			e, ok := elems.Next()
			if !ok {
				break
			}
			if uint64(e.Type) != f.Subtype {
				return fmt.Errorf("%w: column %q: element of type %v, want %s", ErrRow, f.Name, e.Type, f.TypeName())
			}
		}
	}
	if err := r.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrRow, err)
	}
	return fmt.Errorf("%w: a subnet is longer than its address", ErrRow)
}

// room returns dst with all its capacity, which is size more than its length at least.
func room(dst []byte, size int) []byte {
	if cap(dst)-len(dst) < size {
		dst = slices.Grow(dst, size)
	}
	return dst[:cap(dst)]
}
