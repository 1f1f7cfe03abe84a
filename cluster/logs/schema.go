package logs

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// ErrSchema says that a log cannot be written as its LogCreate asks.
var ErrSchema = errors.New("log refused")

// Limits of what a LogCreate may ask for. The largest log of Zeek itself has some 50 columns, and names
// of files end at 255 bytes, of which a rotated one needs a part for its times.
const (
	maxPath    = 200
	maxName    = 255
	maxColumns = 4096
	maxSetting = 64
)

// A Schema is one writer of a log, as a LogCreate made it known (CLUSTER.md section 6.2). It is not
// changed once it is made.
type Schema struct {
	Stream string // enum value of the stream, such as "Conn::LOG"
	Writer string // enum value of the writer, such as "Log::WRITER_ASCII"
	// Path is the name of the file without its extension: one or more parts with '/' between them, none
	// of which is empty or begins with '.', of printable UTF-8 alone.
	Path   string
	Fields []zeek.Field // one a column, of types that may stand in a log

	// Config holds the settings that the sender's filter gives the writer and that are honoured: nothing
	// that says where to write, or what to run. See [Options] for what they mean.
	Config map[string]string
	// Refused names the settings that are not honoured, with what is wrong, in order.
	Refused []string
}

// NewSchema checks a LogCreate. The error is [ErrSchema] and says what cannot be written.
func NewSchema(c zeek.LogCreate) (*Schema, error) {
	s := &Schema{Stream: c.Stream, Writer: c.Writer, Path: c.Info.Path, Fields: c.Fields}
	refuse := func(format string, args ...any) (*Schema, error) {
		return nil, fmt.Errorf("%w: %.100q: %s", ErrSchema, c.Stream, fmt.Sprintf(format, args...))
	}
	if !validPath(s.Path) {
		return refuse("path %.300q: want a name within the directory of the logs, of %d bytes at most", s.Path, maxPath)
	}
	if len(s.Fields) == 0 || len(s.Fields) > maxColumns {
		return refuse("%d columns, want 1 to %d", len(s.Fields), maxColumns)
	}
	for i, f := range s.Fields {
		if f.Name == "" || len(f.Name) > maxName || !printable(f.Name) {
			return refuse("column %d: name %.300q: want 1 to %d bytes, all printable", i, f.Name, maxName)
		}
		t, sub := zeek.LogType(min(f.Type, 1<<31)), zeek.LogType(min(f.Subtype, 1<<31))
		if !t.Atomic() && !(t.Container() && sub.Atomic()) {
			return refuse("column %q: values of type %s", f.Name, f.TypeName())
		}
	}
	s.settings(c.Info.Config)
	return s, nil
}

func validPath(path string) bool {
	if len(path) > maxPath || !printable(path) || !fs.ValidPath(path) {
		return false
	}
	for part := range strings.SplitSeq(path, "/") {
		if part[0] == '.' {
			return false
		}
	}
	return true
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// settings sorts the settings of a LogCreate into those that are honoured and those that are not.
func (s *Schema) settings(config data.Value) {
	refuse := func(key, format string, args ...any) {
		s.Refused = append(s.Refused, fmt.Sprintf("%.*q: %s", maxSetting, key, fmt.Sprintf(format, args...)))
	}
	for _, e := range config.Entries() {
		key, isText := e.Key.AsString()
		value, valueIsText := e.Value.AsString()
		valid, known := honoured[key]
		switch {
		case !isText || !valueIsText:
			refuse(key, "no text")
		case !known:
			refuse(key, "this one is not for a sender to set")
		case len(value) > maxSetting || !valid(value):
			refuse(key, "value %.*q", maxSetting, value)
		default:
			if s.Config == nil {
				s.Config = map[string]string{}
			}
			s.Config[key] = value
		}
	}
}

// honoured are the settings of a sender's filter that are honoured, with what their values have to be.
// The others say where files go, what they are called, and what is run.
var honoured = map[string]func(string) bool{
	"tsv": isBool, "use_json": isBool, "enable_utf_8": isBool, "json_include_unset_fields": isBool,
	"separator": isSeparator, "set_separator": isSeparator, "meta_prefix": isSeparator,
	"empty_field": isPlaceholder, "unset_field": isPlaceholder,
	"json_timestamps": isTimestamps,
	"gzip_level":      func(v string) bool { return len(v) == 1 && '0' <= v[0] && v[0] <= '9' },
}

func isBool(v string) bool { return v == "T" || v == "F" }

// isPlaceholder tells whether a text can stand for a value without breaking its line.
func isPlaceholder(v string) bool { return !strings.ContainsAny(v, "\n\r\x00") }

// isSeparator also wants one byte at least: with an empty separator Zeek escapes nothing, and with an
// empty prefix the first byte of every row.
func isSeparator(v string) bool { return v != "" && isPlaceholder(v) }

func isTimestamps(v string) bool {
	_, ok := timestampFormats[v]
	return ok
}

// Equal tells whether both describe the same file with the same columns and settings.
func (s *Schema) Equal(o *Schema) bool {
	return s.Stream == o.Stream && s.Writer == o.Writer && s.Path == o.Path && maps.Equal(s.Config, o.Config) && SameColumns(s.Fields, o.Fields)
}

// SameColumns tells whether files with these columns are alike. Which of them are optional makes no difference: a row
// says itself what is unset, and a file does not say what may be.
func SameColumns(a, b []zeek.Field) bool {
	return slices.EqualFunc(a, b, func(a, b zeek.Field) bool {
		return a.Name == b.Name && a.Type == b.Type && a.Subtype == b.Subtype
	})
}
