package wire

import (
	"strings"
	"testing"
)

func TestDescribeForeign(t *testing.T) {
	basp := func(op, flags byte, size, version byte) string {
		return string([]byte{op, 0, 0, flags, 0, 0, 0, size, 0, 0, 0, 0, 0, 0, 0, version}) + "payload"
	}
	for _, c := range []struct{ first, want string }{
		{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS"},
		{"\x16\x03", "TLS"},
		{"\x15\x03\x03\x00\x02\x02\x28", "a TLS alert"},
		{"GET / HTTP/1.1\r\n", "HTTP"}, {"POST /x", "HTTP"}, {"HEAD /", "HTTP"}, {"PUT /x", "HTTP"}, {"OPTIONS *", "HTTP"},
		{"CONNECT a:1", "HTTP"}, {"DELETE /", "HTTP"}, {"PATCH /", "HTTP"}, {"TRACE /", "HTTP"}, {"HTTP/1.1 400", "HTTP"},
		{"PRI * HTTP/2.0", "HTTP"}, {"GET ", "HTTP"},
		{"SSH-2.0-OpenSSH_9.6\r\n", "SSH"},
		{basp(0, 0, 110, 3), "the protocol of Broker before 2.3"}, {basp(1, 0, 20, 1), "the protocol of Broker before 2.3"},
		// Too few to tell.
		{"", ""}, {"\x16", ""}, {"\x15", ""}, {"GE", ""}, {"GET", ""}, {"SSH", ""}, {basp(0, 0, 110, 3)[:15], ""},
		// Like BASP, but not its first message.
		{basp(2, 0, 110, 3), ""}, {basp(0, 1, 110, 3), ""}, {basp(0, 0, 0, 3), ""}, {basp(0, 0, 110, 0), ""},
	} {
		got := DescribeForeign([]byte(c.first))
		if !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%q: %q, want %q", c.first, got, c.want)
		}
	}
}

// What nodes say is never taken for foreign, from the first byte on, nor are the frames of peers.
func TestDescribeForeignLeavesNodesAlone(t *testing.T) {
	id := NewEndpointID()
	for _, frame := range [][]byte{
		Probe{}.AppendFrame(nil), OriginatorAck{}.AppendFrame(nil),
		Hello{Sender: id, Min: 1, Max: 1}.AppendFrame(nil),
		Hello{Max: 255}.AppendFrame(nil),
		VersionSelect{Sender: id, Version: 1}.AppendFrame(nil),
		DropConn{Sender: id, Code: CodeShuttingDown, Description: strings.Repeat("GET ", 1000)}.AppendFrame(nil),
		OriginatorSyn{Filter: make([]string, 300)}.AppendFrame(nil),
		ResponderSynAck{Filter: []string{"GET /"}}.AppendFrame(nil),
		AppendPing(nil, EndpointID{}, EndpointID{}, nil),
		AppendEnvelope(nil, Envelope{Type: TypeData, Payload: make([]byte, 1<<24-EnvelopeHeaderLen)})[:100], // a length of 01 00 00 00
	} {
		for n := range min(len(frame), 64) {
			if got := DescribeForeign(frame[:n+1]); got != "" {
				t.Errorf("%x is taken for %s", frame[:n+1], got)
			}
		}
	}
}
