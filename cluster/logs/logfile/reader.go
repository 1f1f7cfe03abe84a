package logfile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// Limits: a line, and how many lines are looked at to learn the types of columns.
const (
	maxLine      = 64 << 20
	maxLearnRows = 1000
	maxLearn     = 4 << 20
)

// A Log is what a file says of its rows. A file may hold several, one after the other.
type Log struct {
	Path   string    // "conn"; "" if the file does not say
	Opened time.Time // zero if the file does not say
	JSON   bool
	Fields []zeek.Field
}

// A Row is one row. Its memory is used again for the next.
type Row struct {
	Log    *Log
	Packed []byte
	ends   []int // of the values
}

// A LineError tells of a line that cannot be read. The others can.
type LineError struct {
	Line int // from 1
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

func (e *LineError) Unwrap() error { return e.Err }

// A Reader reads the rows of one file: TSV with Zeek's header, or with the names of the columns alone, or
// JSON, each also compressed with gzip.
type Reader struct {
	in      *bufio.Reader
	line    int
	buf     []byte
	broken  error // of the input: there is no more
	dialect dialect
	log     *Log
	names   []string // of #fields, while #types is not there
	guess   *guess   // nil if the file says of which types its columns are
	learn   bool
	learnt  bool
	ahead   []ahead // lines that were looked at before
	row     Row
}

type ahead struct {
	number int
	text   []byte
}

// NewReader returns a reader. If the types of columns have to be guessed, it can look at up to 1000 rows
// before it returns the first, so that they seldom change: lookAhead is for files, not for what grows.
func NewReader(r io.Reader, lookAhead bool) *Reader {
	in := bufio.NewReaderSize(r, 256<<10)
	reader := &Reader{in: in, dialect: defaultDialect(), log: new(Log), learn: lookAhead}
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			reader.broken = fmt.Errorf("gzip: %w", err)
			return reader
		}
		reader.in = bufio.NewReaderSize(z, 256<<10)
	}
	return reader
}

// Next returns the next row, which is valid until the one after. The error is io.EOF at the end, a
// [*LineError] for a line that cannot be read, after which there may be more, and another if no more can be
// read, as when a compressed file ends too early.
func (r *Reader) Next() (*Row, error) {
	for {
		text, err := r.next()
		if err != nil {
			return nil, err
		}
		if len(text) == 0 {
			continue
		}
		ok, err := r.take(text)
		if err != nil {
			return nil, &LineError{r.line, err}
		}
		if ok {
			r.row.Log = r.log
			return &r.row, nil
		}
	}
}

// Log returns what the file has said so far of the rows that come next.
func (r *Reader) Log() *Log { return r.log }

// next returns the next line, of those that were looked at first.
func (r *Reader) next() ([]byte, error) {
	if len(r.ahead) > 0 {
		next := r.ahead[0]
		r.ahead, r.line = r.ahead[1:], next.number
		return next.text, nil
	}
	return r.readLine()
}

// readLine reads a line, without its end.
func (r *Reader) readLine() ([]byte, error) {
	if err := r.broken; err != nil {
		if _, ok := err.(*LineError); ok {
			r.broken = io.EOF // it is told once
		}
		return nil, err
	}
	r.buf = r.buf[:0]
	r.line++
	for {
		part, err := r.in.ReadSlice('\n')
		if len(r.buf)+len(part) > maxLine {
			r.broken = io.EOF
			return nil, &LineError{r.line, fmt.Errorf("longer than %d bytes; the rest is not read", maxLine)}
		}
		r.buf = append(r.buf, part...)
		switch {
		case err == nil:
			return bytes.TrimSuffix(r.buf[:len(r.buf)-1], []byte("\r")), nil
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case !errors.Is(err, io.EOF):
			r.broken = fmt.Errorf("line %d: the file is damaged or ends too early: %w", r.line, err)
			return nil, r.broken
		case len(r.buf) == 0:
			r.broken = io.EOF
			return nil, io.EOF
		}
		r.broken = io.EOF
		if r.buf[0] == '{' || r.buf[0] == '#' {
			return r.buf, nil // JSON tells itself whether it is complete
		}
		return nil, &LineError{r.line, errors.New("cut short: it has no end")}
	}
}

// take takes a line. ok says that it is a row.
func (r *Reader) take(text []byte) (ok bool, err error) {
	switch {
	case text[0] == '#':
		return false, r.header(text)
	case text[0] == '{' && (r.log.Fields == nil || r.log.JSON):
		return r.json(text)
	case r.log.Fields == nil || r.log.JSON:
		return false, r.bare(text)
	}
	return r.tsv(text)
}

// header takes a line of a header of Zeek.
func (r *Reader) header(text []byte) error {
	if rest, ok := bytes.CutPrefix(text, []byte("#separator ")); ok {
		r.dialect = defaultDialect()
		r.dialect.separator = bytes.Clone(unescape(rest))
		if len(r.dialect.separator) == 0 {
			return errors.New("the separator is empty")
		}
		r.guess, r.log, r.names = nil, new(Log), nil
		return nil
	}
	key, rest, _ := bytes.Cut(text, r.dialect.separator)
	value := bytes.Clone(unescape(rest))
	switch string(key) {
	case "#set_separator":
		if len(value) == 0 {
			return errors.New("the separator of sets is empty")
		}
		r.dialect.setSeparator = value
	case "#empty_field":
		r.dialect.empty = value
	case "#unset_field":
		r.dialect.unset = value
	case "#path":
		r.log = &Log{Path: string(value), Opened: r.log.Opened}
	case "#open":
		opened, err := time.ParseInLocation("2006-01-02-15-04-05", string(value), time.Local)
		if err != nil {
			return nil // it is for people
		}
		r.log = &Log{Path: r.log.Path, Opened: opened, Fields: r.log.Fields}
	case "#fields":
		r.names = strings.Split(string(rest), string(r.dialect.separator))
	case "#types":
		return r.types(strings.Split(string(rest), string(r.dialect.separator)))
	}
	return nil
}

func (r *Reader) types(types []string) error {
	if len(types) != len(r.names) {
		return fmt.Errorf("%d types for %d columns", len(types), len(r.names))
	}
	fields := make([]zeek.Field, len(types))
	for i, name := range r.names {
		f, err := ParseType(types[i])
		if err != nil {
			f = zeek.Field{Type: uint64(zeek.LogString)} // such as pattern, of which logs have the text
		}
		f.Name, f.Optional = name, true
		fields[i] = f
	}
	r.guess = nil
	r.log = &Log{Path: r.log.Path, Opened: r.log.Opened, Fields: fields}
	return nil
}

// bare takes the first line of a file without header: the names of the columns.
func (r *Reader) bare(text []byte) error {
	names := strings.Split(string(text), string(r.dialect.separator))
	if slices.ContainsFunc(names, func(name string) bool {
		return name == "" || strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' })
	}) {
		return errors.New("neither a log of Zeek nor JSON: the first line of a log without header has the names of its columns")
	}
	g := new(guess)
	for i, name := range names {
		if _, again := g.index[name]; again {
			return fmt.Errorf("there are two columns %s", name)
		}
		g.see(name, zeek.LogVoid, 0, i-1)
	}
	r.guess = g
	r.lookAhead()
	r.log = &Log{Fields: r.guess.settled()}
	return nil
}

// tsv takes a row of a TSV file.
func (r *Reader) tsv(text []byte) (ok bool, err error) {
	values := bytes.Split(text, r.dialect.separator)
	if len(values) != len(r.log.Fields) {
		return false, fmt.Errorf("%d values, there are %d columns", len(values), len(r.log.Fields))
	}
	if r.guess != nil && r.guessRow(values) {
		r.log = &Log{Fields: r.guess.settled()}
	}
	r.begin(len(values))
	for i := range values {
		if r.row.Packed, err = r.dialect.pack(r.row.Packed, &r.log.Fields[i], values[i]); err != nil {
			return false, fmt.Errorf("column %s: %w", r.log.Fields[i].Name, err)
		}
		r.row.ends = append(r.row.ends, len(r.row.Packed))
	}
	return true, nil
}

// guessRow learns from a row of a TSV file without types.
func (r *Reader) guessRow(values [][]byte) (changed bool) {
	for i, value := range values {
		if bytes.Equal(value, r.dialect.unset) {
			continue
		}
		_, c := r.guess.see(r.guess.fields[i].Name, typeOfWord(r.guess.fields[i].Name, string(value)), 0, i)
		changed = changed || c
	}
	return changed
}

// json takes a row of a JSON file.
func (r *Reader) json(text []byte) (ok bool, err error) {
	if r.guess == nil {
		r.guess = new(guess)
		r.log = &Log{JSON: true}
	}
	members, err := parseObject(text)
	if err != nil || len(members) == 0 {
		return false, err
	}
	if r.guess.object(members) {
		r.log = nil
	}
	if !r.learnt && r.learn {
		r.lookAhead()
		r.log = nil
	}
	if r.log == nil {
		r.log = &Log{JSON: true, Fields: r.guess.settled()}
	}
	values := make([]json.RawMessage, len(r.log.Fields))
	for _, m := range members {
		values[r.guess.index[m.name]] = m.value
	}
	r.begin(len(values))
	for i, value := range values {
		f := &r.log.Fields[i]
		if value == nil {
			r.row.Packed = zeek.AppendUnset(r.row.Packed, zeek.LogType(f.Type))
		} else if r.row.Packed, err = packGuessed(r.row.Packed, f, value); err != nil {
			return false, fmt.Errorf("column %s: %w", f.Name, err)
		}
		r.row.ends = append(r.row.ends, len(r.row.Packed))
	}
	return true, nil
}

// lookAhead learns from the lines that come next. What is being taken must not be used any more.
func (r *Reader) lookAhead() {
	r.learnt = true
	if !r.learn {
		return
	}
	was := r.line
	defer func() { r.line = was }()
	for size := 0; len(r.ahead) < maxLearnRows && size < maxLearn; {
		text, err := r.readLine()
		if err != nil {
			r.broken = err // to be told in its turn
			return
		}
		r.ahead = append(r.ahead, ahead{r.line, bytes.Clone(text)})
		size += len(text)
		switch {
		case len(text) == 0:
		case text[0] == '#':
			return
		case text[0] == '{':
			if members, err := parseObject(text); err == nil {
				r.guess.object(members)
			}
		default:
			if values := bytes.Split(text, r.dialect.separator); len(values) == len(r.guess.fields) {
				r.guessRow(values)
			}
		}
	}
}

// begin begins a packed row.
func (r *Reader) begin(n int) {
	r.row.Packed = zeek.AppendRecord(r.row.Packed[:0], n)
	r.row.ends = append(r.row.ends[:0], len(r.row.Packed))
}

// Value returns one value of the row, packed.
func (row *Row) Value(i int) []byte { return row.Packed[row.ends[i]:row.ends[i+1]] }

// AppendColumns appends a packed row of some of the columns, by their numbers; -1 leaves a text unset.
func (row *Row) AppendColumns(dst []byte, columns []int) []byte {
	dst = zeek.AppendRecord(dst, len(columns))
	for _, i := range columns {
		if i < 0 {
			dst = zeek.AppendUnset(dst, zeek.LogString)
		} else {
			dst = append(dst, row.Value(i)...)
		}
	}
	return dst
}

// Index returns the number of the column of that name, or -1.
func (l *Log) Index(name string) int {
	return slices.IndexFunc(l.Fields, func(f zeek.Field) bool { return f.Name == name })
}

// ReadColumns returns the columns of a log in TSV with Zeek's header, rows or none.
func ReadColumns(in io.Reader) ([]zeek.Field, error) {
	r := NewReader(in, false)
	for {
		text, err := r.readLine()
		if errors.Is(err, io.EOF) || err == nil && len(text) > 0 && text[0] != '#' {
			return nil, errors.New("no header that says of which types the columns are")
		}
		if err != nil {
			return nil, err
		}
		if len(text) == 0 {
			continue
		}
		if err := r.header(text); err != nil {
			return nil, &LineError{r.line, err}
		}
		if len(r.log.Fields) > 0 {
			return r.log.Fields, nil
		}
	}
}
