package fuzz

import (
	"bufio"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/data/datatest"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// Three ids in their order.
var (
	smallID  = wire.EndpointID{0: 0x10, 15: 1}
	middleID = wire.EndpointID{0: 0x44, 15: 2}
	largeID  = wire.EndpointID{0: 0xf0, 15: 3}
)

// handshakes returns messages of every kind of the handshake.
func handshakes() []wire.Handshake {
	filter := []string{"/a/", "zeek/cluster/node/x/"}
	msgs := []wire.Handshake{
		wire.Probe{}, wire.OriginatorAck{},
		wire.OriginatorSyn{Filter: filter}, wire.ResponderSynAck{Filter: filter}, wire.OriginatorSyn{},
	}
	for _, id := range []wire.EndpointID{smallID, middleID, largeID, {}} {
		msgs = append(msgs,
			wire.Hello{Sender: id, Min: 1, Max: 1}, wire.Hello{Sender: id, Min: 2, Max: 3},
			wire.VersionSelect{Sender: id, Version: 1}, wire.VersionSelect{Sender: id, Version: 2},
			wire.DropConn{Sender: id, Code: wire.CodeRedundantConnection, Description: "redundant connection"})
	}
	return msgs
}

// values returns values of every kind, by hand for the odd ones and from the generator.
func values() []data.Value {
	vs := []data.Value{
		data.None(), data.Bool(true), data.Count(1 << 63), data.Int(-1), data.Real(-0.5), data.Real(0x1p-1022),
		data.String("a\x1b\xff\u202e\\é"), data.Enum("Conn::LOG"), data.Addr(netip.MustParseAddr("10.0.0.1")),
		data.Addr(netip.MustParseAddr("2001:db8::1")), data.Subnet(netip.MustParsePrefix("10.0.0.0/8")),
		data.Port(53, data.ProtoUDP), data.Timestamp(-1), data.Timestamp(math.MinInt64 + 1), data.Timestamp(math.MaxInt64 - 1), data.Timespan(90 * time.Second),
		data.Set(data.Int(2), data.Count(2), data.Vector()), data.Vector(data.String(strings.Repeat("x", 200))),
		data.Table(data.Entry{Key: data.Count(1), Value: data.Set(data.String("a"))}, data.Entry{Key: data.None()}),
	}
	for seed := range 20 {
		vs = append(vs, datatest.Value(3).Example(seed))
	}
	return vs
}

// messages returns messages of every kind that Zeek sends.
func messages() []zeek.Message {
	event := zeek.Event{Name: "ping", Args: []data.Value{data.Count(42), data.Vector(data.String("x"))}}
	stamped := event
	stamped.Metadata = []zeek.Metadata{{Key: zeek.NetworkTimestamp, Value: data.Timestamp(1)}, {Key: 200, Value: data.None()}}
	create := zeek.LogCreate{
		Stream: "Conn::LOG", Writer: "Log::WRITER_ASCII",
		Info:   zeek.WriterInfo{Path: "conn", RotationBase: -1, RotationInterval: 3600, Config: data.Table()},
		Fields: []zeek.Field{{Name: "ts", Type: 5}, {Name: "tags", Type: 14, Subtype: 7, Optional: true}},
	}
	write := zeek.LogWrite{Stream: "Conn::LOG", Writer: "Log::WRITER_ASCII", Path: "conn", Packed: []byte{0, 0, 0, 1, 1}}
	update := zeek.IdentifierUpdate{ID: "Site::local_nets", Value: data.Set(data.Subnet(netip.MustParsePrefix("10.0.0.0/8")))}
	return []zeek.Message{event, stamped, zeek.Event{Name: "e", Metadata: []zeek.Metadata{}}, create, write, update,
		zeek.Batch{write, zeek.Batch{event}, update}, zeek.Batch{}}
}

// recordedFrames returns frames that real nodes sent, with their lengths: some of each type, topic and
// command.
var recordedFrames = sync.OnceValues(func() (frames [][]byte, err error) {
	const fewOfAKind = 3
	seen := map[string]int{}
	err = eachRecording(func(r io.Reader) error {
		for lines := bufio.NewReader(r); ; {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				return nil
			}
			var row struct {
				Hex   string `json:"hex"`
				Frame string `json:"frame_hex"`
			}
			if err := json.Unmarshal(line, &row); err != nil {
				return err
			}
			b, err := hex.DecodeString(row.Hex + row.Frame)
			if err != nil {
				return err
			}
			for len(b) > 0 && len(b) < 4096 {
				body, rest, _, err := wire.NextFrame(b, len(b))
				if err != nil || len(body) == 0 {
					break
				}
				kind := string(body[0])
				if e, err := wire.ParseEnvelope(body); err == nil {
					kind = e.Type.String() + string(e.Topic)
					if h, err := wire.ParseCommandHeader(e.Payload); err == nil && e.Type == wire.TypeCommand {
						kind += h.Kind.String()
					}
				}
				if seen[kind]++; seen[kind] <= fewOfAKind {
					frames = append(frames, b[:len(b)-len(rest)])
				}
				b = rest
			}
		}
	})
	return frames, err
})

// eachRecording calls f for each recording in package interop.
func eachRecording(f func(io.Reader) error) error {
	return filepath.WalkDir("../interop/testdata", func(path string, _ fs.DirEntry, err error) error {
		name, zipped := strings.CutSuffix(path, ".gz")
		if err != nil || !strings.HasSuffix(name, ".jsonl") {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		if !zipped {
			return f(file)
		}
		unzipped, err := gzip.NewReader(file)
		if err != nil {
			return err
		}
		return f(unzipped)
	})
}

// addFrames adds the bodies of the recorded frames.
func addFrames(f *testing.F, add func(body []byte)) {
	f.Helper()
	frames, err := recordedFrames()
	if err != nil || len(frames) == 0 {
		f.Fatalf("%d frames in the recordings: %v", len(frames), err)
	}
	for _, frame := range frames {
		add(frame[wire.FrameHeaderLen:])
	}
}

// addPayloads adds the payloads of recorded data messages.
func addPayloads(f *testing.F, add func(payload []byte)) {
	f.Helper()
	addFrames(f, func(body []byte) {
		if e, err := wire.ParseEnvelope(body); err == nil && e.Type == wire.TypeData {
			add(e.Payload)
		}
	})
}

// bounded fails if work allocates more than a multiple of its input. The counter that it reads lags
// behind, and what is made up for may be charged to the wrong work; so only what repeats counts.
func bounded(t *testing.T, input int, work func()) {
	t.Helper()
	const factor, slack = 128, 256 << 10
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	allocated := func() uint64 {
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	var used uint64
	for range 4 {
		before := allocated()
		work()
		if used = allocated() - before; used <= factor*uint64(input)+slack {
			return
		}
	}
	t.Fatalf("%d bytes allocated for an input of %d", used, input)
}

// has tells whether a value, or one inside it, is such.
func has(v data.Value, such func(data.Value) bool) bool {
	if such(v) {
		return true
	}
	for _, e := range v.Elems() {
		if has(e, such) {
			return true
		}
	}
	for _, e := range v.Entries() {
		if has(e.Key, such) || has(e.Value, such) {
			return true
		}
	}
	return false
}
