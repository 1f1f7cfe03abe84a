package dump

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/capture"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

var (
	idA, _ = wire.ParseEndpointID("64770b6b-fa08-4cca-99f7-992948add76d")
	idB, _ = wire.ParseEndpointID("76553d67-f5b8-4e93-966d-e4dcce586e33")
)

// parse parses a frame as if it came in the phase in which it fits.
func parse(frame []byte) *capture.Frame {
	var p capture.Phase
	f := p.Parse(frame[wire.FrameHeaderLen:])
	return &f
}

func envelope(e wire.Envelope) *capture.Frame {
	if e.Sender.IsZero() {
		e.Sender = idA
	}
	if e.TTL == 0 {
		e.TTL = wire.DefaultTTL
	}
	if e.Topic == nil {
		e.Topic = []byte("/t")
	}
	return parse(wire.AppendEnvelope(nil, e))
}

func payload(m zeek.Message) *capture.Frame {
	return envelope(wire.Envelope{Type: wire.TypeData, Payload: m.AppendMessage(nil)})
}

// TestFrames: each kind of frame as text and, but for what all have, as JSON.
func TestFrames(t *testing.T) {
	row := zeek.LogWrite{Stream: "Conn::LOG", Writer: "Log::WRITER_ASCII", Path: "conn", Packed: []byte("packed")}
	other := row
	other.Path = "conn_other"
	event := zeek.Event{Name: "ping", Args: []data.Value{data.String("a\x1b[2J"), data.Count(7)}}
	for _, c := range []struct {
		frame      *capture.Frame
		text, json string
	}{
		{parse(wire.Probe{}.AppendFrame(nil)), "probe", `"kind":"probe","bytes":9`},
		{parse(wire.Hello{Sender: idA, Min: 1, Max: 2}.AppendFrame(nil)), "hello " + idA.String() + ", versions 1 to 2",
			`"kind":"hello","bytes":27,"sender":"` + idA.String() + `","min":1,"max":2`},
		{parse(wire.VersionSelect{Sender: idA, Version: 1}.AppendFrame(nil)), "version_select " + idA.String() + ", version 1",
			`"kind":"version_select","bytes":26,"sender":"` + idA.String() + `","version":1`},
		{parse(wire.DropConn{Sender: idA, Code: wire.CodeRedundantConnection, Description: "no\n"}.AppendFrame(nil)),
			"drop_conn " + idA.String() + `, code 39 redundant_connection: no\x0a`,
			`"kind":"drop_conn","bytes":30,"sender":"` + idA.String() + `","code":39,"code_name":"redundant_connection","description":"no\n"`},
		{parse(wire.OriginatorSyn{Filter: []string{"/a", "/b\xff"}}.AppendFrame(nil)), `originator_syn [/a, /b\xff]`, `"kind":"originator_syn","bytes":13,"filter":["/a","/b\\xff"]`},
		{parse(wire.ResponderSynAck{}.AppendFrame(nil)), "responder_syn_ack []", `"kind":"responder_syn_ack","bytes":6,"filter":[]`},
		{parse(wire.OriginatorAck{}.AppendFrame(nil)), "originator_ack", `"kind":"originator_ack","bytes":5`},
		{parse([]byte{0, 0, 0, 0}), "empty", `"kind":"empty","bytes":4,"error":"no bytes"`},
		{parse([]byte{0, 0, 0, 2, 0x63, 1}), "malformed: unknown handshake message 99: invalid message type tag: no such message; 0x6301 [6 B]",
			`"kind":"malformed","bytes":6,"hex":"6301","error":"unknown handshake message 99: invalid message type tag: no such message"`},
		{payload(event), `data 64770b6b > all /t ping(a\x1b[2J, 7) [89 B]`, ""},
		{envelope(wire.Envelope{Receiver: idB, Type: wire.TypeData, TTL: 3, Topic: []byte("/\x1b"), Payload: data.AppendValue(nil, data.Count(42))}),
			`data 64770b6b > 76553d67 /\x1b ttl 3 42 [52 B]`,
			`"kind":"data","bytes":52,"sender":"` + idA.String() + `","receiver":"` + idB.String() + `","ttl":3,"topic":"/\u001b","value":{"@data-type":"count","data":42}`},
		{payload(zeek.LogCreate{Stream: "Conn::LOG", Writer: "Log::WRITER_ASCII", Info: zeek.WriterInfo{Path: "conn", Config: data.Table()},
			Fields: []zeek.Field{{Name: "ts"}, {Name: "uid"}}}), "data 64770b6b > all /t log_create Conn::LOG Log::WRITER_ASCII conn (ts, uid) [191 B]", ""},
		{payload(row), "data 64770b6b > all /t log_write Conn::LOG Log::WRITER_ASCII conn (6 bytes) [109 B]", ""},
		{payload(zeek.IdentifierUpdate{ID: "Site::x", Value: data.Bool(true)}), "data 64770b6b > all /t identifier_update Site::x = T [76 B]", ""},
		{payload(zeek.Batch{row, row, event, other}), "data 64770b6b > all /t batch of 4: log_write Conn::LOG Log::WRITER_ASCII conn 2 rows (12 bytes); " +
			`ping(a\x1b[2J, 7); log_write Conn::LOG Log::WRITER_ASCII conn_other (6 bytes) [315 B]`, ""},
		{payload(zeek.Batch{}), "data 64770b6b > all /t batch of 0 [65 B]", ""},
		{envelope(wire.Envelope{Type: wire.TypeData, Payload: []byte{5, 9, 'x'}}), "data 64770b6b > all /t invalid: at byte 0: value ends too early; 0x050978 [46 B]",
			`"kind":"data","bytes":46,"sender":"` + idA.String() + `","ttl":16,"topic":"/t","payload_hex":"050978","error":"at byte 0: value ends too early"`},
		{envelope(wire.Envelope{Type: wire.TypeCommand, Payload: bytes.Repeat([]byte{1}, 65)}), "command 64770b6b > all /t invalid: malformed store command: put_unique: expiry: message ends too early; 0x" + strings.Repeat("01", 64) + "... (65 bytes) [108 B]",
			`"kind":"command","bytes":108,"sender":"` + idA.String() + `","ttl":16,"topic":"/t","payload_hex":"` + strings.Repeat("01", 65) + `","error":"malformed store command: put_unique: expiry: message ends too early"`},
		{parse(wire.AppendRoutingUpdate(nil, idA, idB, []string{"/a"})), "routing_update 64770b6b > 76553d67 [/a] [48 B]",
			`"kind":"routing_update","bytes":48,"sender":"` + idA.String() + `","receiver":"` + idB.String() + `","ttl":16,"topic":"<$>","filter":["/a"]`},
		{envelope(wire.Envelope{Receiver: idB, Type: wire.TypeRoutingUpdate, Topic: []byte(wire.ControlTopic), Payload: []byte{9}}),
			"routing_update 64770b6b > 76553d67 invalid: message ends too early: 9 topics announced in 0 bytes; 0x09 [45 B]", ""},
		{parse(wire.AppendPing(nil, idA, idB, nil)), "ping 64770b6b > 76553d67 empty [44 B]", ""},
		{parse(wire.AppendPong(nil, idA, idB, wire.AppendBye(nil, [8]byte{1, 2}))), "pong 64770b6b > 76553d67 BYE 0102000000000000 [55 B]",
			`"kind":"pong","bytes":55,"sender":"` + idA.String() + `","receiver":"` + idB.String() + `","ttl":16,"topic":"<$>","bye":true,"payload_hex":"4259450102000000000000"`},
	} {
		it := capture.Item{Frame: c.frame}
		if diff := cmp.Diff(c.text, string(AppendText(nil, &it))); diff != "" {
			t.Errorf("%s: %s", c.text, diff)
		}
		line, err := AppendJSON(nil, &it)
		if err != nil || !json.Valid(line) {
			t.Errorf("%s: %s: %v", c.text, line, err)
		}
		if want := "{" + c.json + "}"; c.json != "" && want != string(line) {
			t.Errorf("%s:\n got %s\nwant %s", c.text, line, want)
		}
	}
}

// TestItems: what stands around a frame.
func TestItems(t *testing.T) {
	at := time.Date(2026, 1, 31, 10, 15, 2, 123456789, time.FixedZone("", 3600))
	from, to := capture.End{Name: "dialer", Addr: "10.0.0.1:5"}, capture.End{Name: "listener", ID: idB}
	probe := parse(wire.Probe{}.AppendFrame(nil))
	for _, c := range []struct {
		item       capture.Item
		text, json string
	}{
		{capture.Item{Where: "packet 3", Time: at, Conn: 2, From: from, To: to, Frame: probe}, "2026-01-31T09:15:02.123456Z #2 10.0.0.1:5 > 76553d67 probe",
			`{"where":"packet 3","time":"2026-01-31T09:15:02.123456789Z","conn":2,"from":{"name":"dialer","addr":"10.0.0.1:5"},"to":{"name":"listener","id":"` + idB.String() + `"},"kind":"probe","bytes":9}`},
		{capture.Item{Where: "packet 3", Time: at, Note: "what\n", Damage: true}, `2026-01-31T09:15:02.123456Z -- what\x0a (packet 3)`,
			`{"where":"packet 3","time":"2026-01-31T09:15:02.123456789Z","note":"what\n","damage":true}`},
		{capture.Item{Where: "line 3", Since: 1500 * time.Millisecond, From: capture.End{Name: "a"}, To: capture.End{Name: "b"}, Frame: probe, Lost: true}, "1.500000 a > b probe [never arrived]",
			`{"where":"line 3","t":1.5,"from":{"name":"a"},"to":{"name":"b"},"dropped":true,"kind":"probe","bytes":9}`},
		{capture.Item{Where: "line 3", Note: "bad", Damage: true}, "line 3: -- bad", `{"where":"line 3","note":"bad","damage":true}`},
	} {
		line, err := AppendJSON(nil, &c.item)
		if text := string(AppendText(nil, &c.item)); text != c.text || string(line) != c.json || err != nil {
			t.Errorf("got  %s\nwant %s\ngot  %s\nwant %s", text, c.text, line, c.json)
		}
	}
}

// TestFilter: what is shown.
func TestFilter(t *testing.T) {
	from, to := capture.End{Name: "dialer", Addr: "10.0.0.1:5"}, capture.End{Name: "listener", ID: idB}
	event := capture.Item{From: from, To: to, Frame: envelope(wire.Envelope{Type: wire.TypeData, Topic: []byte("/a/b"), Payload: []byte{0}})}
	hello := capture.Item{From: from, To: to, Frame: parse(wire.Hello{Sender: idA}.AppendFrame(nil))}
	update := capture.Item{From: from, To: to, Frame: parse(wire.AppendRoutingUpdate(nil, idA, idB, nil))}
	note := capture.Item{Note: "x"}
	for _, c := range []struct {
		filter                     Filter
		event, hello, update, note bool
	}{
		{Filter{}, true, true, true, true},
		{Filter{Topics: []string{"/a"}}, true, false, false, true},
		{Filter{Topics: []string{"/c", "/a/b"}}, true, false, false, true},
		{Filter{Topics: []string{""}}, true, false, false, true},
		{Filter{Topics: []string{"<$>"}}, false, false, false, true},
		{Filter{Kinds: []string{"data", "ping"}}, true, false, false, true},
		{Filter{Kinds: []string{"handshake"}}, false, true, false, true},
		{Filter{Kinds: []string{"hello", "routing_update"}}, false, true, true, true},
		{Filter{Peers: []string{"10.0.0.1:5"}}, true, true, true, true},
		{Filter{Peers: []string{"10.0.0.1"}}, false, false, false, true},
		{Filter{Peers: []string{"76553D67"}}, true, true, true, true},
		{Filter{Peers: []string{"64770b6b-fa08"}}, true, false, true, true},
		{Filter{Peers: []string{""}}, false, false, false, true},
		{Filter{Peers: []string{"64770b6b"}, Topics: []string{"/x"}}, false, false, false, true},
	} {
		if err := c.filter.Check(); err != nil {
			t.Error(err)
		}
		got := []bool{c.filter.Match(&event), c.filter.Match(&hello), c.filter.Match(&update), c.filter.Match(&note)}
		if diff := cmp.Diff([]bool{c.event, c.hello, c.update, c.note}, got); diff != "" {
			t.Errorf("%+v: %s", c.filter, diff)
		}
	}
	if err := (&Filter{Kinds: []string{"date"}}).Check(); err == nil {
		t.Error("a type that does not exist is taken")
	}
}

// TestRealRecordings: every line that real nodes said can be shown in every format; as a recording it
// reads as before.
func TestRealRecordings(t *testing.T) {
	files, err := filepath.Glob("../../interop/testdata/*/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	show := func(in io.Reader, format Format) (out bytes.Buffer, frames uint64) {
		p := NewPrinter(&out, format, Filter{})
		if err := capture.Read(in, func(it capture.Item) error { return p.Print(&it) }); err != nil {
			t.Fatal(err)
		}
		if p.Flush(); p.Damaged() > 0 {
			t.Errorf("%d places are damaged", p.Damaged())
		}
		return out, p.Frames()
	}
	for _, name := range files {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		jsonLines, n := show(bytes.NewReader(file), JSON)
		for line := range bytes.Lines(jsonLines.Bytes()) {
			if !json.Valid(line) {
				t.Errorf("%s: %s", name, line)
			}
		}
		recording, m := show(bytes.NewReader(file), Recording)
		if n == 0 || n != m {
			t.Errorf("%s: %d frames, %d in the recording", name, n, m)
		}
		// Only the header of the file is lost, and the numbers of lines with it.
		text := func(in io.Reader) []string {
			var all []string
			capture.Read(in, func(it capture.Item) error {
				if it.Frame != nil {
					it.Where = ""
					all = append(all, string(AppendText(nil, &it)))
				}
				return nil
			})
			return all
		}
		if strings.Contains(name, "values") {
			continue // their lines have no times, and no directions
		}
		if diff := cmp.Diff(text(bytes.NewReader(file)), text(&recording)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestPrinterFails: the writer's error is the printer's.
func TestPrinterFails(t *testing.T) {
	bad := errors.New("bad")
	for _, format := range Formats {
		p := NewPrinter(failing{bad}, format, Filter{})
		it := capture.Item{Note: strings.Repeat("x", 100)}
		var err error
		for i := 0; i < 10000 && err == nil; i++ {
			err = p.Print(&it)
		}
		if err != bad || p.Flush() != bad {
			t.Errorf("%s: %v, then %v", format, err, p.Flush())
		}
	}
	if _, err := ParseFormat("xml"); err == nil || !strings.Contains(err.Error(), "text, json, recording") {
		t.Error(fmt.Sprint(err))
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
