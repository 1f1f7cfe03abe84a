package logs

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// create returns a LogCreate with columns given as pairs of name and type, and settings.
func create(path string, config data.Value, fields ...zeek.Field) zeek.LogCreate {
	return zeek.LogCreate{
		Stream: "Test::LOG", Writer: "Log::WRITER_ASCII", Fields: fields,
		Info: zeek.WriterInfo{Path: path, Config: config},
	}
}

func column1(t zeek.LogType) zeek.Field { return zeek.Field{Name: "x", Type: uint64(t)} }

func settings(pairs ...string) data.Value {
	var entries []data.Entry
	for i := 0; i < len(pairs); i += 2 {
		entries = append(entries, data.Entry{Key: data.String(pairs[i]), Value: data.String(pairs[i+1])})
	}
	return data.Table(entries...)
}

func TestSchemaPaths(t *testing.T) {
	for path, ok := range map[string]bool{
		"conn": true, "my-log_2": true, "files.extra": true, "site/conn": true, "fußball": true, strings.Repeat("x", 200): true,
		"": false, ".": false, "..": false, "../conn": false, "a/../b": false, "a/..": false, "/dev/null": false, "/etc/passwd": false,
		"a//b": false, "a/": false, ".shadow.conn": false, "a/.b": false, "./a": false, strings.Repeat("x", 201): false,
		"a\x00b": false, "a\nb": false, "a\xffb": false, "a\u202eb": false, "a\tb": false,
	} {
		s, err := NewSchema(create(path, data.Table(), column1(zeek.LogCount)))
		if (err == nil) != ok || (s != nil) != ok || err != nil && !errors.Is(err, ErrSchema) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestSchemaColumns(t *testing.T) {
	many := make([]zeek.Field, maxColumns+1)
	for i := range many {
		many[i] = column1(zeek.LogCount)
	}
	for name, c := range map[string]struct {
		fields []zeek.Field
		want   string // in the error, nothing if there is none
	}{
		"one":                {[]zeek.Field{column1(zeek.LogAddr)}, ""},
		"set":                {[]zeek.Field{{Name: "s", Type: uint64(zeek.LogSet), Subtype: uint64(zeek.LogAddr)}}, ""},
		"remapped":           {[]zeek.Field{{Name: "@timestamp", Type: 5}, {Name: `a "b"`, Type: 7}}, ""},
		"as many as can be":  {many[1:], ""},
		"too many":           {many, "4097 columns"},
		"none":               {nil, "0 columns"},
		"no name":            {[]zeek.Field{{Type: 3}}, "column 0: name"},
		"newline in name":    {[]zeek.Field{column1(3), {Name: "a\nb", Type: 3}}, "column 1: name"},
		"long name":          {[]zeek.Field{{Name: strings.Repeat("x", 256), Type: 3}}, "column 0: name"},
		"void":               {[]zeek.Field{column1(zeek.LogVoid)}, `column "x": values of type void`},
		"record":             {[]zeek.Field{column1(zeek.LogRecord)}, "record"},
		"no such type":       {[]zeek.Field{{Name: "x", Type: 1 << 63}}, "type"},
		"low bits of a type": {[]zeek.Field{{Name: "x", Type: 1<<32 + 3}}, "type"},
		"set of sets":        {[]zeek.Field{{Name: "x", Type: 14, Subtype: 14}}, "set[set]"},
		"set of nothing":     {[]zeek.Field{{Name: "x", Type: 14}}, "set[void]"},
	} {
		_, err := NewSchema(create("x", data.Table(), c.fields...))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestSchemaSettings(t *testing.T) {
	config := settings(
		"use_json", "T", "tsv", "F", "separator", "|", "set_separator", ";", "empty_field", "", "unset_field", "NIL", "meta_prefix", "//",
		"json_timestamps", "JSON::TS_ISO8601", "json_include_unset_fields", "T", "enable_utf_8", "F", "gzip_level", "9")
	s, err := NewSchema(create("x", config, column1(zeek.LogCount)))
	if err != nil || len(s.Refused) > 0 {
		t.Fatalf("%v, refused %q", err, s.Refused)
	}
	want := Options{
		JSON: true, IncludeMeta: true, Separator: "|", SetSeparator: ";", UnsetField: "NIL", MetaPrefix: "//",
		JSONTimestamps: "JSON::TS_ISO8601", JSONIncludeUnset: true, GzipLevel: 9,
	}
	if d := cmp.Diff(want, DefaultOptions().For(s)); d != "" {
		t.Error(d)
	}

	config = data.Table(
		data.Entry{Key: data.Count(1), Value: data.String("x")}, data.Entry{Key: data.String("tsv"), Value: data.Bool(true)})
	for _, config := range append([]data.Value{config}, settings(
		"output_to_stdout", "T", "gzip_file_extension", "../x", "interv", "1 sec", "postprocessor", "sh"), settings(
		"tsv", "yes", "use_json", "", "gzip_level", "10", "separator", "", "set_separator", "\n", "unset_field", "a\nb",
		"empty_field", strings.Repeat("x", 65), "meta_prefix", "\x00", "json_timestamps", "JSON::TS_OTHER")) {
		s, err := NewSchema(create("x", config, column1(zeek.LogCount)))
		if err != nil || len(s.Config) > 0 || len(s.Refused) != config.Len() {
			t.Errorf("%v: %v, honoured %q, refused %q", config, err, s.Config, s.Refused)
		}
		if d := cmp.Diff(DefaultOptions(), DefaultOptions().For(s)); d != "" {
			t.Error(d)
		}
	}
}

func TestSchemaEqual(t *testing.T) {
	base := create("x", settings("tsv", "T"), column1(zeek.LogCount), column1(zeek.LogSet))
	base.Fields[1].Subtype = uint64(zeek.LogAddr)
	a, err := NewSchema(base)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(c *zeek.LogCreate){
		"":         func(c *zeek.LogCreate) { c.Info.NetworkTime, c.Fields[1].Optional = 1, true },
		"stream":   func(c *zeek.LogCreate) { c.Stream = "Other::LOG" },
		"writer":   func(c *zeek.LogCreate) { c.Writer = "Log::WRITER_NONE" },
		"path":     func(c *zeek.LogCreate) { c.Info.Path = "y" },
		"settings": func(c *zeek.LogCreate) { c.Info.Config = data.Table() },
		"columns":  func(c *zeek.LogCreate) { c.Fields = c.Fields[1:] },
		"name":     func(c *zeek.LogCreate) { c.Fields[0].Name = "y" },
		"type":     func(c *zeek.LogCreate) { c.Fields[0].Type = 2 },
		"subtype":  func(c *zeek.LogCreate) { c.Fields[1].Subtype = 3 },
	} {
		c := base
		c.Fields = append([]zeek.Field(nil), base.Fields...)
		change(&c)
		b, err := NewSchema(c)
		if err != nil {
			t.Fatal(err)
		}
		if a.Equal(b) != (name == "") || b.Equal(a) != (name == "") {
			t.Errorf("another %q: equal: %v", name, a.Equal(b))
		}
	}
}
