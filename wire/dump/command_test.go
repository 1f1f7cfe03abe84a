package dump

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/capture"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// The parts of the stores of the test: a clone, a master, and who waits at the clone.
var (
	clone  = wire.EntityID{Endpoint: idA, Object: 7}
	master = wire.EntityID{Endpoint: idB, Object: 9}
	waiter = wire.EntityID{Endpoint: idA, Object: 8}
)

// command returns a command from the clone to the master in a frame, or from the master to all.
func command(c wire.Command) *capture.Frame {
	return envelope(wire.Envelope{Type: wire.TypeCommand, Payload: wire.AppendCommand(nil, &c)})
}

func toMaster(seq uint64, kind wire.CommandKind) wire.CommandHeader {
	return wire.CommandHeader{Seq: seq, Sender: clone, Receiver: master, Kind: kind}
}

func toAll(seq uint64, kind wire.CommandKind) wire.CommandHeader {
	return wire.CommandHeader{Seq: seq, Sender: master, Kind: kind}
}

// TestCommands: each command of a store as text and as JSON.
func TestCommands(t *testing.T) {
	str := func(s string) []byte { return data.AppendString(nil, s) }
	count := func(n uint64) []byte { return data.AppendCount(nil, n) }
	seqs := func(from, to uint64) (all wire.SeqList) {
		for n := from; n <= to; n++ {
			all = wire.AppendSeq(all, n)
		}
		return all
	}
	snapshot := func(n int) (s wire.Snapshot) {
		for s.Len = range n + 1 {
			if s.Len < n {
				s.Bytes = slices.Concat(s.Bytes, count(uint64(s.Len)), str("v"))
			}
		}
		return s
	}
	const (
		a, b = `64770b6b-fa08-4cca-99f7-992948add76d/`, `76553d67-f5b8-4e93-966d-e4dcce586e33/`
		k    = `"key":{"@data-type":"string","data":"k"}`
		five = `"value":{"@data-type":"count","data":5}`
	)
	for _, c := range []struct {
		command    wire.Command
		text, json string // behind what all have
	}{
		{wire.Command{CommandHeader: toMaster(2, wire.CommandPut), Key: str("k"), Value: count(5), Publisher: clone},
			"64770b6b/7 > 76553d67/9 seq 2 put k = 5",
			`"command":"put","seq":2,"sender":"` + a + `7","receiver":"` + b + `9",` + k + `,` + five + `,"publisher":"` + a + `7"`},
		{wire.Command{CommandHeader: toAll(3, wire.CommandPut), Key: str("k"), Value: count(5), HasExpiry: true, Expiry: 500 * time.Millisecond, Publisher: clone},
			"76553d67/9 > all seq 3 put k = 5, expires in 500ms, by 64770b6b/7",
			`"command":"put","seq":3,"sender":"` + b + `9",` + k + `,` + five + `,"expiry":"500ms","publisher":"` + a + `7"`},
		{wire.Command{CommandHeader: toMaster(2, wire.CommandPutUnique), Key: str("k"), Value: count(5), HasExpiry: true, Who: waiter, RequestID: 1, Publisher: clone},
			"64770b6b/7 > 76553d67/9 seq 2 put_unique k = 5, expires in 0s, request 1 of 64770b6b/8",
			`"command":"put_unique","seq":2,"sender":"` + a + `7","receiver":"` + b + `9",` + k + `,` + five + `,"expiry":"0s","who":"` + a + `8","req_id":1,"publisher":"` + a + `7"`},
		{wire.Command{CommandHeader: toAll(3, wire.CommandPutUniqueResult), Inserted: true, Who: waiter, RequestID: 1, Publisher: master},
			"76553d67/9 > all seq 3 put_unique_result inserted, request 1 of 64770b6b/8",
			`"command":"put_unique_result","seq":3,"sender":"` + b + `9","inserted":true,"who":"` + a + `8","req_id":1,"publisher":"` + b + `9"`},
		{wire.Command{CommandHeader: toAll(3, wire.CommandPutUniqueResult)},
			"76553d67/9 > all seq 3 put_unique_result not inserted, request 0 of nobody, by nobody",
			`"command":"put_unique_result","seq":3,"sender":"` + b + `9","inserted":false,"req_id":0`},
		{wire.Command{CommandHeader: toMaster(2, wire.CommandErase), Key: str("a\x1b\xff"), Publisher: clone},
			`64770b6b/7 > 76553d67/9 seq 2 erase a\x1b\xff`,
			`"command":"erase","seq":2,"sender":"` + a + `7","receiver":"` + b + `9","key":{"@data-type":"string","data":"a\u001b\\xff"},"publisher":"` + a + `7"`},
		{wire.Command{CommandHeader: toAll(3, wire.CommandExpire), Key: str("k"), Publisher: master},
			"76553d67/9 > all seq 3 expire k",
			`"command":"expire","seq":3,"sender":"` + b + `9",` + k + `,"publisher":"` + b + `9"`},
		{wire.Command{CommandHeader: toMaster(2, wire.CommandAdd), Key: str("k"), Value: count(5), Init: data.KindTable, Publisher: clone},
			"64770b6b/7 > 76553d67/9 seq 2 add k + 5, initially table",
			`"command":"add","seq":2,"sender":"` + a + `7","receiver":"` + b + `9",` + k + `,` + five + `,"init_type":"table","publisher":"` + a + `7"`},
		{wire.Command{CommandHeader: toMaster(2, wire.CommandSubtract), Key: str("k"), Value: count(5), Publisher: clone},
			"64770b6b/7 > 76553d67/9 seq 2 subtract k - 5",
			`"command":"subtract","seq":2,"sender":"` + a + `7","receiver":"` + b + `9",` + k + `,` + five + `,"publisher":"` + a + `7"`},
		{wire.Command{CommandHeader: toMaster(2, wire.CommandClear), Publisher: clone},
			"64770b6b/7 > 76553d67/9 seq 2 clear",
			`"command":"clear","seq":2,"sender":"` + a + `7","receiver":"` + b + `9","publisher":"` + a + `7"`},
		{wire.Command{CommandHeader: toMaster(0, wire.CommandAttachWriter), Num: 1, Heartbeat: 5},
			"64770b6b/7 > 76553d67/9 attach_writer offset 1, heartbeat 5 ticks",
			`"command":"attach_writer","sender":"` + a + `7","receiver":"` + b + `9","offset":1,"heartbeat":5`},
		{wire.Command{CommandHeader: toAll(0, wire.CommandKeepalive), Num: 2},
			"76553d67/9 > all keepalive 2", `"command":"keepalive","sender":"` + b + `9","number":2`},
		{wire.Command{CommandHeader: toMaster(0, wire.CommandCumulativeAck), Num: 1 << 63},
			"64770b6b/7 > 76553d67/9 cumulative_ack 9223372036854775808",
			`"command":"cumulative_ack","sender":"` + a + `7","receiver":"` + b + `9","number":9223372036854775808`},
		{wire.Command{CommandHeader: toMaster(0, wire.CommandRetransmitFailed)},
			"64770b6b/7 > 76553d67/9 retransmit_failed 0",
			`"command":"retransmit_failed","sender":"` + a + `7","receiver":"` + b + `9","number":0`},
		{wire.Command{CommandHeader: toMaster(0, wire.CommandNack)},
			"64770b6b/7 > 76553d67/9 nack []", `"command":"nack","sender":"` + a + `7","receiver":"` + b + `9","missing":[]`},
		{wire.Command{CommandHeader: toMaster(0, wire.CommandNack), Missing: seqs(3, 10)},
			"64770b6b/7 > 76553d67/9 nack [3, 4, 5, 6, 7, 8, 9, 10]",
			`"command":"nack","sender":"` + a + `7","receiver":"` + b + `9","missing":[3,4,5,6,7,8,9,10]`},
		{wire.Command{CommandHeader: toMaster(0, wire.CommandNack), Missing: seqs(3, 1002)},
			"64770b6b/7 > 76553d67/9 nack [3, 4, 5, 6, 7, 8, 9, 10, ... 1002] (1000 numbers)", ""},
		{wire.Command{CommandHeader: toAll(1, wire.CommandAckClone), Num: 1, Heartbeat: 5, Snapshot: snapshot(0)},
			"76553d67/9 > all ack_clone offset 1, heartbeat 5 ticks, 0 entries {}",
			`"command":"ack_clone","seq":1,"sender":"` + b + `9","offset":1,"heartbeat":5,"snapshot":[]`},
		{wire.Command{CommandHeader: toAll(1, wire.CommandAckClone), Num: 1, Heartbeat: 5, Snapshot: snapshot(1)},
			"76553d67/9 > all ack_clone offset 1, heartbeat 5 ticks, 1 entries {0 -> v}",
			`"command":"ack_clone","seq":1,"sender":"` + b + `9","offset":1,"heartbeat":5,"snapshot":[{"key":{"@data-type":"count","data":0},"value":{"@data-type":"string","data":"v"}}]`},
		{wire.Command{CommandHeader: toAll(1, wire.CommandAckClone), Num: 1, Heartbeat: 5, Snapshot: snapshot(1000)},
			"76553d67/9 > all ack_clone offset 1, heartbeat 5 ticks, 1000 entries {0 -> v, 1 -> v, 2 -> v, ...}", ""},
	} {
		it := capture.Item{Frame: command(c.command)}
		text := strings.TrimPrefix(string(AppendText(nil, &it)), "command 64770b6b > all /t ")
		if text, _, _ = strings.Cut(text, " ["+size(it.Frame)); text != c.text {
			t.Errorf("got  %s\nwant %s", text, c.text)
		}
		line, err := AppendJSON(nil, &it)
		if err != nil || !json.Valid(line) {
			t.Errorf("%s: %s: %v", c.text, line, err)
		}
		if _, got, _ := strings.Cut(string(line), `"topic":"/t",`); c.json != "" && got != `"command":{`+c.json+"}}" {
			t.Errorf("%s:\n got %s\nwant %s", c.text, got, c.json)
		}
	}
}

// size is how a line ends.
func size(f *capture.Frame) string {
	return strings.TrimPrefix(string(appendSize(nil, f)), " [")
}

// TestMalformedCommands: what is no command shows why, and its bytes.
func TestMalformedCommands(t *testing.T) {
	header := wire.AppendCommandHeader(nil, 3, clone, master)
	one, twice := data.AppendCount(nil, 1), []byte{12, 2, 1, 1, 1, 1}
	publisher := make([]byte, wire.EntityIDLen)
	ackClone := func(parts ...[]byte) []byte {
		return slices.Concat([]byte{byte(wire.CommandAckClone), 0, 0, 0, 0, 0, 0, 0, 1, 0, 5, 1}, slices.Concat(parts...))
	}
	for _, c := range []struct {
		body []byte
		says string
	}{
		{[]byte{14}, "malformed store command: unknown command 14: kind: no such command"},
		{slices.Concat([]byte{byte(wire.CommandErase)}, twice, publisher), "at byte 0: duplicate member of a set or key of a table"},
		{slices.Concat([]byte{byte(wire.CommandPut)}, one, twice, []byte{0}, publisher), "at byte 0: duplicate member of a set or key of a table"},
		{ackClone(one, []byte{2, 0}), "malformed store command: ack_clone: value of entry 1 of 1: at byte 0: value ends too early"},
		{ackClone(twice, one), "at byte 0: duplicate member of a set or key of a table"},
		{ackClone(one, twice), "at byte 0: duplicate member of a set or key of a table"},
	} {
		payload := slices.Concat(header, c.body)
		it := capture.Item{Frame: envelope(wire.Envelope{Type: wire.TypeCommand, Payload: payload})}
		want := "command 64770b6b > all /t invalid: " + c.says + "; " + string(appendHex(nil, payload)) + " [" + size(it.Frame)
		if diff := cmp.Diff(want, string(AppendText(nil, &it))); diff != "" {
			t.Error(diff)
		}
		line, err := AppendJSON(nil, &it)
		var j struct {
			Command    any
			PayloadHex string `json:"payload_hex"`
			Error      string
		}
		if err != nil || json.Unmarshal(line, &j) != nil || j.Command != nil || j.Error != c.says || len(j.PayloadHex) != 2*len(payload) {
			t.Errorf("%s: %s: %v", c.says, line, err)
		}
	}
}

// TestRecordedCommands: what real nodes said about their stores shows as what it is, but for what a
// scripted peer got wrong on purpose.
func TestRecordedCommands(t *testing.T) {
	var files []string
	for _, pattern := range []string{"store*/*.jsonl.gz", "zeek/*/links/*.jsonl.gz"} {
		some, err := filepath.Glob(filepath.Join("../../interop/testdata", pattern))
		if err != nil || len(some) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		files = append(files, some...)
	}
	commands, wrong := 0, 0
	for _, name := range files {
		file, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := capture.Read(bytes.NewReader(file), func(it capture.Item) error {
			if it.Frame == nil || it.Frame.Kind() != "command" {
				return nil
			}
			commands++
			text := string(AppendText(nil, &it))
			line, err := AppendJSON(nil, &it)
			var j struct {
				Command map[string]any
				Error   string
			}
			if err != nil || json.Unmarshal(line, &j) != nil {
				t.Errorf("%s: %s: %v", name, line, err)
			}
			switch invalid := strings.Contains(text, " invalid: "); {
			case invalid != (j.Error != "") || invalid == (j.Command != nil):
				t.Errorf("%s\n%s", text, line)
			case invalid && filepath.Base(name) == "store-channel-vs-real-master.jsonl.gz":
				wrong++
			case invalid:
				t.Errorf("%s: %s", name, text)
			}
			return nil
		}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if commands != 2074+377+377+380+4512 || wrong != 4 {
		t.Errorf("%d commands, %d wrong", commands, wrong)
	}
}
