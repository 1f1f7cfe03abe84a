package capture

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zeekpeer/zeekpeer/wire"
)

// lines reads a capture and returns each item as a line: its place, its ends, and its kind or note.
func lines(t testing.TB, r io.Reader) []string {
	t.Helper()
	var all []string
	if err := Read(r, func(it Item) error {
		all = append(all, line(&it))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func line(it *Item) string {
	text := it.Where + ":"
	if it.From.Name != "" {
		text += " " + it.From.Name + " > " + it.To.Name
	}
	if it.Frame != nil {
		return text + " " + it.Frame.Kind()
	}
	if it.Damage {
		return text + " DAMAGE " + it.Note
	}
	return text + " " + it.Note
}

// bodies reads a capture without damage and returns the bodies of all frames.
func bodies(t testing.TB, r io.Reader) [][]byte {
	t.Helper()
	var all [][]byte
	if err := Read(r, func(it Item) error {
		if it.Damage {
			t.Errorf("%s: %s", it.Where, it.Note)
		}
		if it.Frame != nil {
			all = append(all, bytes.Clone(it.Frame.Body))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func open(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// recordings are the recordings of real nodes.
func recordings(t testing.TB) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"*/*.jsonl", "*/*.jsonl.gz"} {
		files, err := filepath.Glob(filepath.Join("../../interop/testdata", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no recordings match %s: %v", pattern, err)
		}
		all = append(all, files...)
	}
	return all
}

// TestRecordings: every frame that was recorded from real nodes is found again, byte for byte, and as
// what it is.
func TestRecordings(t *testing.T) {
	count := 0
	for _, name := range recordings(t) {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		in := io.Reader(bytes.NewReader(file))
		if strings.HasSuffix(name, ".gz") {
			if in, err = gzip.NewReader(in); err != nil {
				t.Fatal(err)
			}
		}
		for scanner := bufio.NewReader(in); ; {
			text, err := scanner.ReadBytes('\n')
			var row struct{ Dir, Hex, Frame_hex string }
			if len(text) > 0 {
				if err := json.Unmarshal(text, &row); err != nil {
					t.Fatal(err)
				}
			}
			if row.Hex+row.Frame_hex != "" && !strings.HasSuffix(row.Dir, " error") {
				want = append(want, row.Hex+row.Frame_hex)
			}
			if err != nil {
				break
			}
		}
		i := 0
		err = Read(bytes.NewReader(file), func(it Item) error {
			if it.Damage {
				t.Errorf("%s, %s: %s", name, it.Where, it.Note)
			}
			if it.Frame == nil {
				return nil
			}
			b := it.Frame.Body
			got := hex.EncodeToString(append([]byte{byte(len(b) >> 24), byte(len(b) >> 16), byte(len(b) >> 8), byte(len(b))}, b...))
			if i >= len(want) || got != want[i] {
				t.Fatalf("%s, %s: frame %d is %s", name, it.Where, i, got)
			}
			if kind := it.Frame.Kind(); kind == "malformed" && !strings.Contains(name, "reject-") {
				t.Errorf("%s, %s: %s: %v", name, it.Where, kind, it.Frame.Err)
			}
			i++
			return nil
		})
		if err != nil || i != len(want) {
			t.Errorf("%s: %d of %d frames: %v", name, i, len(want), err)
		}
		count += i
	}
	if count < 500 {
		t.Errorf("%d frames in all recordings", count)
	}
}

// TestWriter: a recording that is read and written reads as before.
func TestWriter(t *testing.T) {
	in := `{"scenario":"x","wall_start":1795417832.195215}
{"t":0,"conn":1,"note":"peer","ends":[{"name":"dialer","addr":"10.0.0.1:5"},{"name":"listener","id":"76553d67-f5b8-5e93-966d-e4dcce586e33"}]}
{"t":0.25,"dir":"listener->dialer","conn":1,"hex":"00000005075a45454b"}
{"t":1.5,"dir":"dialer->listener","conn":1,"hex":"00000017065a45454b64770b6bfa085cca99f7992948add76d0101","dropped":true}
{"t":2,"dir":"dialer->listener","conn":2,"hex":"000000010c"}
{"t":3,"note":"the end"}
`
	read := func(r io.Reader) (all []Item) {
		if err := Read(r, func(it Item) error {
			if it.Frame != nil {
				f := *it.Frame
				f.Body = bytes.Clone(f.Body)
				it.Frame = &f
			}
			it.Where, it.Since = "", 0
			all = append(all, it)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return all
	}
	want := read(strings.NewReader(in))
	if got := want[2]; got.From != (End{Name: "listener", ID: mustID("76553d67-f5b8-5e93-966d-e4dcce586e33")}) || got.To.Addr != "10.0.0.1:5" || got.Frame.Kind() != "probe" {
		t.Errorf("read %+v", got)
	}
	start := time.UnixMicro(1795417832195215)
	if got := want[3]; !got.Time.Equal(start.Add(1500*time.Millisecond)) || !got.Lost {
		t.Errorf("read %+v", got)
	}
	var out bytes.Buffer
	w, err := NewWriter(&out, start, wire.EndpointID{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range want[1:] {
		if err := w.Write(&want[1+i]); err != nil {
			t.Fatal(err)
		}
	}
	// Of the second connection the ends are told first.
	told := Item{Time: start.Add(2 * time.Second), Conn: 2, From: End{Name: "dialer"}, To: End{Name: "listener"}, Note: "connection"}
	want = slices.Insert(want[1:], 3, told)
	if diff := cmp.Diff(want, read(&out), cmp.Comparer(func(a, b error) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func mustID(s string) wire.EndpointID {
	id, err := wire.ParseEndpointID(s)
	if err != nil {
		panic(err)
	}
	return id
}

// TestDamagedRecordings: what is wrong is said with its line, and the rest is read.
func TestDamagedRecordings(t *testing.T) {
	const probe = `{"t":1,"dir":"a->b","hex":"00000005075a45454b"}`
	for _, c := range []struct{ line, want string }{
		{`{"t":1,"dir":"a->b","hex":"0000000507`, "line 2: DAMAGE not a line of a recording: unexpected end of JSON input"},
		{`{"t":1,"dir":"a->b","hex":"00000005075a45454"}`, "line 2: DAMAGE the hex: encoding/hex: odd length hex string"},
		{`{"t":1,"dir":"a->b","hex":"0000000507zz"}`, "line 2: DAMAGE the hex: encoding/hex: invalid byte: U+007A 'z'"},
		{`{"t":1,"dir":"a->b","hex":"00000005075a45"}`, "line 2: DAMAGE the frame is cut short: 7 of 9 bytes"},
		{`{"t":1,"dir":"a->b","hex":"000000"}`, "line 2: DAMAGE the frame is cut short: 3 of 4 bytes"},
		{`{"t":1,"dir":"a->b","hex":"ffffffff00"}`, "line 2: DAMAGE frame of 4294967295 bytes announced, at most 67108864 accepted"},
		{`{"t":1,"dir":"a->b","hex":"000000010c00000000"}`, "line 2: a > b originator_ack|line 2: a > b empty"},
		{`{"t":1,"dir":"a->b error","hex":"626164"}`, "line 2: a > b bad"},
		{`[]`, "line 2: DAMAGE not a line of a recording: json: cannot unmarshal array into Go value of type capture.record"},
	} {
		got := lines(t, strings.NewReader(probe+"\n"+c.line+"\n\n"+probe))
		want := append([]string{"line 1: a > b probe"}, strings.Split(c.want, "|")...)
		want = append(want, "line 4: a > b probe")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s\n%s", c.line, diff)
		}
	}
}

// TestHexDumps: the same bytes in all layouts that tools write.
func TestHexDumps(t *testing.T) {
	want := bodies(t, bytes.NewReader(open(t, "handshake.hex")))
	if len(want) != 12 {
		t.Fatalf("%d frames", len(want))
	}
	raw := decodeHex(t, open(t, "handshake.hex"))
	upper := bytes.ToUpper(open(t, "handshake.hex"))
	var array bytes.Buffer
	for _, b := range raw {
		fmt.Fprintf(&array, "0x%02x, ", b)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(open(t, "handshake.xxd"))
	z.Close()
	for name, b := range map[string][]byte{
		"xxd": open(t, "handshake.xxd"), "hexdump -C": open(t, "handshake.hexdump"), "upper case": upper,
		"array": array.Bytes(), "raw": raw, "gzip": packed.Bytes(), "CRLF": bytes.ReplaceAll(open(t, "handshake.xxd"), []byte("\n"), []byte("\r\n")),
	} {
		if diff := cmp.Diff(want, bodies(t, bytes.NewReader(b))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff(want, bodies(t, iotest.OneByteReader(bytes.NewReader(b)))); diff != "" {
			t.Errorf("%s, byte by byte: %s", name, diff)
		}
	}
}

func decodeHex(t testing.TB, text []byte) []byte {
	t.Helper()
	raw, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestDamagedHexDumps: what is missing or no hex is said with its place; reading goes on at the next
// frame.
func TestDamagedHexDumps(t *testing.T) {
	const known = "000000010c 000000010c\n"
	for _, c := range []struct{ name, in, want string }{
		{"a letter", "00000005075a45454b 0000q0010c\n00000005075a45454b", "byte 0x0: probe|line 1, column 24: DAMAGE 'q' is no hex digit|byte 0xe: DAMAGE 5 bytes passed over that belong to no frame|byte 0xe: probe"},
		{"two letters", "00000005075a45454b 00qqz0010c\n00000005075a45454b", "byte 0x0: probe|line 1, column 22: DAMAGE 'q' is no hex digit|line 1, column 23: DAMAGE 'q' is no hex digit|line 1, column 24: DAMAGE 'z' is no hex digit|byte 0xe: DAMAGE 5 bytes passed over that belong to no frame|byte 0xe: probe"},
		{"half a byte", "000000010c0", "byte 0x0: originator_ack|line 1: DAMAGE ends with half a byte"},
		{"the end", "00000005075a", "byte 0x6: DAMAGE ends in the middle of a frame: 6 of 9 bytes"},
		{"repeated lines", "0000000: 0000 0000 0000 0000 0000 0000 0000 0000  ....\n*\n00000020: 0000 0001 0c  .....\n",
			strings.Join([]string{"byte 0x0: empty", "byte 0x4: empty", "byte 0x8: empty", "byte 0xc: empty", "byte 0x10: empty", "byte 0x14: empty", "byte 0x18: empty", "byte 0x1c: empty", "byte 0x20: originator_ack"}, "|")},
		{"no offset", "00000000: 0000 0001 0c  .....\nhello\n00000005: 0000 0005 075a 4545 4b  ...\n", `byte 0x0: originator_ack|line 2: DAMAGE "hello": want an offset in hex, then bytes|byte 0x5: probe`},
		{"two dumps", "00000000: 0000 0001 0c  .....\n00000000: 0000 0005 075a 4545 4b  .....\n", "byte 0x0: originator_ack|byte 0x0: probe"},
	} {
		if diff := cmp.Diff(strings.Split(c.want, "|"), lines(t, strings.NewReader(c.in))); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
	if got := lines(t, strings.NewReader(known)); len(got) != 2 {
		t.Errorf("%q", got)
	}
}

// TestUnknown: what is nothing that is known is refused, and errors are passed on.
func TestUnknown(t *testing.T) {
	for _, in := range []string{"hello, world\n", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01", "\x89PNG\r\n\x1a\n"} {
		if err := Read(strings.NewReader(in), func(Item) error { return nil }); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q: %v", in, err)
		}
	}
	if err := Read(strings.NewReader(""), func(Item) error { return nil }); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("nothing: %v", err)
	}
	bad := errors.New("bad")
	for _, in := range [][]byte{open(t, "handshake.xxd"), open(t, "handshake.hex"), open(t, "pub.pcapng"), open(t, "pub-ethernet.pcap"), []byte(`{"t":1,"note":"x"}`)} {
		if err := Read(bytes.NewReader(in), func(Item) error { return bad }); err != bad {
			t.Errorf("%.10q: %v, want the error of each", in, err)
		}
		r := io.MultiReader(bytes.NewReader(in), iotest.ErrReader(bad))
		if err := Read(r, func(Item) error { return nil }); err != bad {
			t.Errorf("%.10q: %v, want the error of the reader", in, err)
		}
	}
	half := open(t, "pub.pcap.gz")
	got := lines(t, bytes.NewReader(half[:len(half)/2]))
	if last := got[len(got)-1]; !strings.Contains(last, "DAMAGE") {
		t.Errorf("half a file of gzip ends with %q", last)
	}
}

// FuzzRead: nothing that a file holds makes reading panic or take memory out of proportion.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"handshake.xxd", "handshake.hexdump", "handshake.hex", "pub.wireshark", "pub-ethernet.pcap", "pub-sll2.pcap", "pub.pcapng"} {
		f.Add(open(f, name))
	}
	f.Add(decodeHex(f, open(f, "handshake.hex")))
	f.Add([]byte(`{"t":1,"dir":"a->b","conn":1,"hex":"00000005075a45454b"}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
			return // what unpacks to a thousand times its size takes as long
		}
		Read(bytes.NewReader(b), func(it Item) error {
			if it.Frame == nil && it.Note == "" && it.Damage {
				t.Errorf("damage without a word at %s", it.Where)
			}
			if it.Frame != nil && len(it.Frame.Body) > MaxFrame {
				t.Errorf("a frame of %d bytes", len(it.Frame.Body))
			}
			return nil
		})
	})
}
