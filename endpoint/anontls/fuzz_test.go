package anontls

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
)

// mostMemory is what a peer that sends n bytes may make us allocate, in all: keys and buffers, a
// pooled one among them, and a few times what it sent.
func mostMemory(n int) uint64 { return 256<<10 + 16*uint64(n) }

// fuzzHandshake feeds one end, whose random bytes are known, what its peer might send. The seeds are
// whole connections, valid for that end. Nothing but the peer's Finished may complete the handshake,
// and nothing that it did not say may be read.
func fuzzHandshake(f *testing.F, toClient bool) {
	var valid []recording
	for i := range 4 {
		r := record(f, func(client, server *Config) {
			client.noEMS, client.noEtM = i&1 != 0, i&2 != 0
		})
		valid = append(valid, r)
		sent := r.sent(toClient)
		f.Add(uint8(i), sent)
		f.Add(uint8(i), sent[:len(sent)/2])
		list, rest := messages(f, sent)
		f.Add(uint8(i), stream(list, rest))
		var cut []byte
		for _, m := range list {
			for len(m) > 0 {
				n := min(len(m), 50)
				cut, m = appendPlain(cut, recordHandshake, m[:n]), m[n:]
			}
			cut = appendPlain(cut, recordAlert, []byte{levelWarning, 90})
		}
		f.Add(uint8(i), append(cut, rest...))
	}
	f.Add(uint8(0), hello(func(m *clientHello) { m.versions, m.sessionID = []uint16{0x0304, 0x0303}, make([]byte, 32) }))
	f.Add(uint8(0), []byte("\x00\x00\x00\x05\x07ZEEK"))
	f.Add(uint8(0), []byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(uint8(0), []byte{21, 3, 1, 0, 2, 2, 40})

	f.Fuzz(func(t *testing.T, variant uint8, sent []byte) {
		config := deterministic(2)
		if toClient {
			config = deterministic(1)
			config.noEMS, config.noEtM = variant&1 != 0, variant&2 != 0
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c, got, err := replay(toClient, config, sent)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > mostMemory(len(sent)) {
			t.Errorf("%d bytes were allocated for %d", n, len(sent))
		}
		answer := c.conn.(*script).sent.Bytes()
		for len(answer) > 0 {
			if len(answer) < 5 || len(answer) < 5+int(answer[3])<<8+int(answer[4]) || answer[1] != 3 || answer[2] != 3 {
				t.Fatalf("sent what is no record: %x", answer)
			}
			answer = answer[5+int(answer[3])<<8+int(answer[4]):]
		}
		if !c.established.Load() {
			var alert *AlertError
			var stranger *NotTLSError
			if !errors.As(err, &alert) && !errors.As(err, &stranger) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("an error of no kind: %v", err)
			}
			return
		}
		for _, r := range valid {
			all := records(r.sent(toClient))
			if !bytes.Contains(sent, all[len(all)-3][headerLen:]) {
				continue // it is not this one's Finished
			}
			if !strings.HasPrefix(wantText(toClient), string(got)) || err == nil && string(got) != wantText(toClient) {
				t.Errorf("read %q, %v", got, err)
			}
			if c.ConnectionState() != r.state {
				t.Errorf("state %+v, want %+v", c.ConnectionState(), r.state)
			}
			return
		}
		t.Error("a handshake was completed without the Finished")
	})
}

func FuzzClient(f *testing.F) { fuzzHandshake(f, true) }
func FuzzServer(f *testing.F) { fuzzHandshake(f, false) }

// FuzzOpen changes records. Those and only those are opened that are right by the reference.
func FuzzOpen(f *testing.F) {
	for _, etm := range []bool{true, false} {
		for i := range 8 {
			record := newSealer(testKeys, etm, fill).seal(nil, recordData, bytes.Repeat([]byte("text "), i*i))
			f.Add(etm, 40*i, record[headerLen:])
		}
	}
	f.Fuzz(func(t *testing.T, etm bool, room int, body []byte) {
		if len(body) > maxCiphertext {
			return // refused before
		}
		record := append(appendHeader(nil, recordData, len(body)), body...)
		want, wantErr := (&reference{etm: etm}).open(record)
		dst := make([]byte, max(0, min(room, 1<<15)))
		got, err := newOpener(testKeys, etm).open(dst, bytes.Clone(record))
		if (err == nil) != (wantErr == nil) || !bytes.Equal(got, want) {
			t.Errorf("got %q, %v; want %q, %v", got, err, want, wantErr)
		}
		if err != nil && err != errBadRecord {
			t.Errorf("says more than that it is bad: %v", err)
		}
	})
}

// FuzzLate has a peer that has made the handshake and now sends records as it likes: a type, a length
// and a body each.
func FuzzLate(f *testing.F) {
	f.Add(true, []byte("\x17\x04text\x15\x02\x01\x00"))
	f.Add(true, []byte("\x17\x00\x17\x00\x17\x00\x17\x01x\x16\x04\x00\x00\x00\x00\x17\x01y"))
	f.Add(false, []byte("\x16\x02\x01\x00\x16\x02\x00\x00\x17\x03abc\x15\x02\x02\x28"))
	f.Add(false, []byte("\x14\x01\x01"))
	f.Fuzz(func(t *testing.T, client bool, script []byte) {
		peer := newSealer(testKeys, true, fill)
		var sent, data []byte
		end := -1 // of the data, by close_notify
		for len(script) >= 2 {
			typ, n := recordType(script[0]), min(int(script[1]), len(script)-2)
			body := script[2 : 2+n]
			script = script[2+n:]
			sent = peer.seal(sent, typ, body)
			if typ == recordData {
				data = append(data, body...)
			}
			if typ == recordAlert && n == 2 && body[1] == 0 && end < 0 {
				end = len(data)
			}
		}
		below := newScript(sent)
		c := newConn(below, nil, client)
		c.in.opener, c.in.negotiated, c.out.sealer = newOpener(testKeys, true), true, newSealer(testKeys, true, fill)
		c.established.Store(true)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := io.ReadAll(c)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > mostMemory(len(sent)) {
			t.Errorf("%d bytes were allocated for %d", n, len(sent))
		}
		if !bytes.HasPrefix(data, got) {
			t.Errorf("read %q of %q", got, data)
		}
		if err == nil && len(got) != end {
			t.Errorf("the end came after %d bytes, want %d", len(got), end)
		}
		if errors.Is(err, io.ErrUnexpectedEOF) && (len(got) != len(data) || end >= 0) {
			t.Errorf("cut after %d bytes of %d", len(got), len(data))
		}
		// One record may hold several requests to renegotiate, each answered by a warning, and end in
		// something fatal.
		const alert = headerLen + blockLen + blockLen + macLen
		if n := below.sent.Len(); n > len(sent)+(maxUseless+1)*alert {
			t.Errorf("%d bytes were answered with %d", len(sent), n)
		}
	})
}
