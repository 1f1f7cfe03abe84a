package logs_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/cluster/logs"
	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// conn is a row of conn.log.
type conn struct {
	logs.ConnHead
	RespBytes *uint64 `zeek:"resp_bytes"`
	State     *string `zeek:"conn_state"`
	LocalOrig *bool   `zeek:"local_orig"`
	LocalResp *bool   `zeek:"local_resp"`
	Missed    *uint64 `zeek:"missed_bytes"`
	History   []byte  `zeek:"history,optional"`
	connCounts
	Parents []string `zeek:"tunnel_parents,set,optional"`
	IPProto *uint64  `zeek:"ip_proto"`
	Cache   any      `zeek:"-"`
}

type connCounts struct {
	OrigPkts  *uint64 `zeek:"orig_pkts"`
	OrigBytes *uint64 `zeek:"orig_ip_bytes"`
	RespPkts  *uint64 `zeek:"resp_pkts"`
	RespBytes *uint64 `zeek:"resp_ip_bytes"`
}

// recordedLog returns the LogCreate of a log on a recorded link, and its packed rows.
func recordedLog(t *testing.T, stream string) (create zeek.LogCreate, rows [][]byte) {
	t.Helper()
	file, err := os.Open("../../interop/testdata/zeek/8.2.2-tsv/links/worker-1_to_logger-1-0.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var take func(m zeek.Message)
	take = func(m zeek.Message) {
		switch m := m.(type) {
		case zeek.Batch:
			for _, member := range m {
				take(member)
			}
		case zeek.LogCreate:
			if m.Stream == stream {
				create = m
			}
		case zeek.LogWrite:
			if m.Stream == stream {
				rows = append(rows, m.Packed)
			}
		}
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var line struct{ Dir, Hex string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		frame, err := hex.DecodeString(line.Hex)
		if err != nil || line.Dir != "dialer->listener" || len(frame) <= wire.FrameHeaderLen {
			continue
		}
		if e, err := wire.ParseEnvelope(frame[wire.FrameHeaderLen:]); err == nil && e.Type == wire.TypeData {
			if m, err := zeek.Parse(e.Payload); err == nil {
				take(m)
			}
		}
	}
	if lines.Err() != nil || create.Stream == "" || len(rows) == 0 {
		t.Fatalf("%s: %d rows, %v", stream, len(rows), lines.Err())
	}
	return create, rows
}

// A struct for conn.log has the columns that a real worker sent.
func TestFieldsOfConn(t *testing.T) {
	create, _ := recordedLog(t, "Conn::LOG")
	got, err := logs.FieldsOf[conn]()
	if err != nil {
		t.Fatal(err)
	}
	// Values are compared by what they are.
	if diff := cmp.Diff(create.Fields, got, cmp.Comparer(data.Value.Equal)); diff != "" {
		t.Errorf("recorded (-) and made (+):\n%s", diff)
	}
}

// connOf reads a packed row.
func connOf(t *testing.T, packed []byte) (c conn) {
	t.Helper()
	r := zeek.ReadRecord(packed)
	next := func() zeek.Cell {
		cell, ok := r.Next()
		if !ok {
			t.Fatalf("the row ends: %v", r.Err())
		}
		return cell
	}
	addr := func() netip.Addr { c := next(); return c.Addr() }
	port := func() data.TransportPort {
		c := next()
		number, proto := c.Port()
		return data.TransportPort{Number: uint16(number), Proto: proto}
	}
	text := func() *string {
		if c := next(); c.Set {
			s := string(c.Text())
			return &s
		}
		return nil
	}
	count := func() *uint64 {
		if c := next(); c.Set {
			n := c.Count()
			return &n
		}
		return nil
	}
	flag := func() *bool {
		if c := next(); c.Set {
			b := c.Bool()
			return &b
		}
		return nil
	}
	ts := next()
	seconds, fraction := math.Modf(ts.Float())
	c.TS, c.UID = time.Unix(int64(seconds), int64(math.Round(fraction*1e9))), *text()
	c.ID.OrigH, c.ID.OrigP, c.ID.RespH, c.ID.RespP = addr(), port(), addr(), port()
	c.Proto, c.Service = data.EnumName(*text()), text()
	if cell := next(); cell.Set {
		d := time.Duration(math.Round(cell.Float() * 1e9))
		c.Duration = &d
	}
	c.ConnHead.OrigBytes, c.RespBytes, c.State, c.LocalOrig, c.LocalResp, c.Missed = count(), count(), text(), flag(), flag(), count()
	if cell := next(); cell.Set {
		c.History = append([]byte{}, cell.Text()...)
	}
	c.OrigPkts, c.connCounts.OrigBytes, c.RespPkts, c.connCounts.RespBytes = count(), count(), count(), count()
	if cell := next(); cell.Set {
		c.Parents = []string{}
		elems := cell.Elems()
		for elem, ok := elems.Next(); ok; elem, ok = elems.Next() {
			c.Parents = append(c.Parents, string(elem.Text()))
		}
	}
	c.IPProto = count()
	if r.Len() != 0 || r.Err() != nil {
		t.Fatalf("%d values left: %v", r.Len(), r.Err())
	}
	return c
}

// A sink is a logger that takes rows and no more.
type sink struct {
	ep  *endpoint.Endpoint
	sub *endpoint.Subscription
	l   *layout.Layout // of a cluster with a worker, and this logger
}

func newSink(t *testing.T) *sink {
	t.Helper()
	ep, err := endpoint.New(endpoint.WithSecurity(endpoint.PlainTCP()))
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{ep: ep}
	t.Cleanup(func() { ep.Close(context.Background()) })
	if s.sub, err = ep.Subscribe([]string{"zeek/logs/", "zeek/cluster/node/logger/"}); err != nil {
		t.Fatal(err)
	}
	addr, err := ep.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := addr.(*net.TCPAddr).AddrPort()
	s.l = &layout.Layout{Options: layout.DefaultOptions(layout.Version{}), Nodes: []layout.Node{
		{Name: "logger", Type: layout.Logger, IP: at.Addr(), Port: layout.Port{Number: at.Port(), Proto: data.ProtoTCP}},
		{Name: "worker", Type: layout.Worker, IP: at.Addr()},
	}}
	return s
}

// next returns the messages that a logger has to do with, without batches around them.
func (s *sink) next(t *testing.T, n int) (all []zeek.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var take func(m zeek.Message)
	take = func(m zeek.Message) {
		switch m := m.(type) {
		case zeek.Batch:
			for _, member := range m {
				take(member)
			}
		case zeek.LogCreate:
			if m.Stream != "Cluster::LOG" {
				all = append(all, m)
			}
		case zeek.LogWrite:
			if m.Stream != "Cluster::LOG" {
				all = append(all, m)
			}
		}
	}
	for m := range s.sub.Messages(ctx) {
		message, err := zeek.Parse(m.Payload())
		if err != nil {
			t.Fatal(err)
		}
		if take(message); len(all) >= n {
			return all
		}
	}
	t.Fatalf("%d messages, want %d", len(all), n)
	return nil
}

func newWorker(t *testing.T, l *layout.Layout) *cluster.Node {
	t.Helper()
	n, err := cluster.New(l, "worker", cluster.WithEndpoint(endpoint.WithSecurity(endpoint.PlainTCP())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close(context.Background()) })
	return n
}

// What a stream sends is, byte for byte, what a real worker sent for the same rows. A time.Duration holds
// whole nanoseconds only: so much of the recorded durations is compared.
func TestStreamSendsConn(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("", func(t *testing.T) {
		create, rows := recordedLog(t, "Conn::LOG")
		s := newSink(t)
		n := newWorker(t, s.l)
		stream, err := logs.NewStream[conn](n, "Conn::LOG", "conn")
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			if err := stream.Write(connOf(t, row)); err != nil {
				t.Fatal(err)
			}
		}
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		var created bool
		var sent [][]byte
		for len(sent) < len(rows) {
			for _, m := range s.next(t, 1) {
				switch m := m.(type) {
				case zeek.LogCreate:
					created = true
					if m.Info.Path != create.Info.Path || m.Writer != create.Writer || !cmp.Equal(m.Fields, create.Fields, cmp.Comparer(data.Value.Equal)) {
						t.Errorf("got %+v\nwant %+v", m, create)
					}
				case zeek.LogWrite:
					if !created {
						t.Fatal("a row before its LogCreate")
					}
					if m.Stream != "Conn::LOG" || m.Path != "conn" || m.Writer != create.Writer {
						t.Fatalf("%+v", m)
					}
					sent = append(sent, m.Packed)
				}
			}
		}
		durations := 0
		for i, got := range sent {
			want := rows[i]
			if d := connOf(t, want).Duration; d != nil {
				durations++
				want = withFloat(t, want, 8, d.Seconds())
			}
			if string(got) != string(want) {
				t.Fatalf("row %d: got  %x\nwant %x", i, got, want)
			}
		}
		if durations == 0 || len(rows) < 400 {
			t.Errorf("%d rows, %d durations", len(rows), durations)
		}
	})
}

// withFloat replaces the double of column i of a packed row.
func withFloat(t *testing.T, row []byte, i int, f float64) []byte {
	t.Helper()
	out := zeek.AppendRecord(nil, 0)
	r := zeek.ReadRecord(row)
	for at := 0; ; at++ {
		before := r.Len()
		cell, ok := r.Next()
		if !ok {
			t.Fatalf("no column %d of %d", i, before)
		}
		if at < i {
			continue
		}
		old := zeek.AppendLogFloat(nil, cell.Type, cell.Float())
		parts := strings.SplitN(string(row), string(old), 2)
		if len(parts) != 2 {
			t.Fatalf("column %d is not %x", i, old)
		}
		return append(append(append(out[:0], parts[0]...), zeek.AppendLogFloat(nil, cell.Type, f)...), parts[1]...)
	}
}

// Every type that a column may have, set and unset.
func TestStreamTypes(t *testing.T) {
	type inner struct {
		A int8  `zeek:"a"`
		B *bool `zeek:"b"`
	}
	type row struct {
		Bool   bool
		I      int
		I8     int8
		I16    int16
		I32    int32
		I64    int64
		U      uint
		U8     uint8
		U16    uint16
		U32    uint32
		U64    uint64
		F32    float32
		F64    float64
		S      string
		B      []byte
		E      data.EnumName
		ES     string `zeek:",enum"`
		Addr   netip.Addr
		Net    netip.Prefix
		Port   data.TransportPort
		T      time.Time
		D      time.Duration
		V      []uint16
		VE     []string `zeek:"ve,enum"`
		VH     []*string
		Set    []string `zeek:",set"`
		SetP   *[]string
		M      map[netip.Addr]struct{}
		Opt    []int               `zeek:",optional"`
		OptM   map[string]struct{} `zeek:",optional"`
		Inner  inner               `zeek:"in"`
		PInner *inner              `zeek:"pin"`
	}
	fields, err := logs.FieldsOf[row]()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range fields {
		name := f.Name + ":" + f.TypeName()
		if f.Optional {
			name += "?"
		}
		got = append(got, name)
	}
	want := "Bool:bool I:int I8:int I16:int I32:int I64:int U:count U8:count U16:count U32:count U64:count F32:double F64:double " +
		"S:string B:string E:enum ES:enum Addr:addr Net:subnet Port:port T:time D:interval V:vector[count] ve:vector[enum] VH:vector[string] " +
		"Set:set[string] SetP:vector[string]? M:set[addr] Opt:vector[int]? OptM:set[string]? in.a:int in.b:bool? pin.a:int pin.b:bool?"
	if strings.Join(got, " ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, " "), want)
	}

	s := newSink(t)
	n := newWorker(t, s.l)
	stream, err := logs.NewStream[row](n, "Test::LOG", "test")
	if err != nil {
		t.Fatal(err)
	}
	yes, hole := true, "x"
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	for _, r := range []row{
		{
			Bool: true, I: -1, I8: -128, I16: -32768, I32: math.MinInt32, I64: math.MinInt64, U: 1, U8: 255, U16: 65535, U32: math.MaxUint32,
			U64: math.MaxUint64, F32: 0.5, F64: math.Pi, S: "s", B: []byte{0, 255}, E: "tcp", ES: "udp", Addr: v4, Net: netip.MustParsePrefix("10.0.0.0/8"),
			Port: data.TransportPort{Number: 53, Proto: data.ProtoUDP}, T: time.Unix(1, 5e8), D: -time.Second, V: []uint16{1, 2}, VE: []string{"a"},
			VH: []*string{&hole, nil}, Set: []string{"b", "a", "b"}, SetP: &[]string{""}, M: map[netip.Addr]struct{}{v6: {}, v4: {}}, Opt: []int{},
			OptM: map[string]struct{}{"k": {}}, Inner: inner{1, &yes}, PInner: &inner{2, nil},
		},
		{Addr: v6, Net: netip.MustParsePrefix("2001:db8::/32"), T: time.Unix(0, 0)},
	} {
		if err := stream.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for len(texts) < 2 {
		for _, m := range s.next(t, 1) {
			if w, ok := m.(zeek.LogWrite); ok {
				texts = append(texts, textOf(t, w.Packed))
			}
		}
	}
	for i, want := range []string{
		`T -1 -128 -32768 -2147483648 -9223372036854775808 1 255 65535 4294967295 18446744073709551615 0.5 3.141592653589793 "s" "\x00\xff" ` +
			`"tcp" "udp" 192.0.2.1 10.0.0.0/8 53/udp 1.5 -1 [1 2] ["a"] ["x" -] ["b" "a"] [""] [192.0.2.1 2001:db8::1] [] ["k"] 1 T 2 -`,
		`F 0 0 0 0 0 0 0 0 0 0 0 0 "" "" "" "" 2001:db8::1 2001:db8::/32 0/? 0 0 [] [] [] [] - [] - - 0 - - -`,
	} {
		if texts[i] != want {
			t.Errorf("row %d:\ngot  %s\nwant %s", i, texts[i], want)
		}
	}
}

// textOf writes a packed row for the eye.
func textOf(t *testing.T, packed []byte) string {
	t.Helper()
	r := zeek.ReadRecord(packed)
	text := textsOf(&r)
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	return strings.Join(text, " ")
}

// Not everything can be a column, and what is wrong is said with its name.
func TestStreamRefusesTypes(t *testing.T) {
	check := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	of := func(_ []zeek.Field, err error) error { return err }
	check(of(logs.FieldsOf[int]()), "rows of a log are structs, not int")
	check(of(logs.FieldsOf[time.Time]()), "rows of a log are structs, not time.Time")
	check(of(logs.FieldsOf[struct{ a int }]()), "has no columns")
	check(of(logs.FieldsOf[struct{ A any }]()), "column A: values of type interface {} cannot be logged")
	check(of(logs.FieldsOf[struct{ A map[string]int }]()), "column A: values of type map[string]int cannot be logged")
	check(of(logs.FieldsOf[struct{ A [][]string }]()), "column A: values of type [][]string cannot be logged: elements hold no others")
	check(of(logs.FieldsOf[struct{ A **int }]()), "column A: **int: what it points at is optional already")
	check(of(logs.FieldsOf[struct {
		A int `zeek:"x,set"`
	}]()), "column x: tag option that int cannot have")
	check(of(logs.FieldsOf[struct {
		A int `zeek:"x,omit"`
	}]()), `column x: tag option "omit": want set, enum or optional`)
	check(of(logs.FieldsOf[struct {
		A int `zeek:"x"`
		B int `zeek:"x"`
	}]()), "column x: there are two of that name")
	check(of(logs.FieldsOf[struct {
		a int `zeek:"x"`
	}]()), "column x: the field has a tag but is not exported")
	type list struct{ Next *list }
	check(of(logs.FieldsOf[list]()), "contains itself")
}

// A value that cannot stand in its column keeps its row out, and no other.
func TestStreamRefusesValues(t *testing.T) {
	s := newSink(t)
	n := newWorker(t, s.l)
	type row struct {
		T time.Time    `zeek:"ts"`
		A []netip.Addr `zeek:"addrs"`
	}
	stream, err := logs.NewStream[row](n, "Test::LOG", "test")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Write(row{}); err == nil || !strings.Contains(err.Error(), "column ts: the time 0001-01-01T00:00:00Z does not fit") {
		t.Errorf("got %v", err)
	}
	if err := stream.Write(row{T: time.Unix(0, 0), A: []netip.Addr{{}}}); err == nil || !strings.Contains(err.Error(), "column addrs: [0]: the address is not valid") {
		t.Errorf("got %v", err)
	}
	if n := n.Status().RowsWaiting; n != 0 {
		t.Errorf("%d rows wait", n)
	}
	if err := stream.Write(row{T: time.Unix(0, 0)}); err != nil {
		t.Error(err)
	}
	if n := n.Status().RowsWaiting; n != 1 {
		t.Errorf("%d rows wait", n)
	}
	if _, err := logs.NewStream[struct{ X int }](n, "Test::LOG", "test"); err == nil {
		t.Error("the log was made again with other columns")
	}
}

func textsOf(r *zeek.RecordReader) (texts []string) {
	for c, ok := r.Next(); ok; c, ok = r.Next() {
		texts = append(texts, cellText(&c))
	}
	return texts
}

func cellText(c *zeek.Cell) string {
	if !c.Set {
		return "-"
	}
	switch c.Type {
	case zeek.LogBool:
		return map[bool]string{true: "T", false: "F"}[c.Bool()]
	case zeek.LogInt:
		return fmt.Sprint(c.Int())
	case zeek.LogCount:
		return fmt.Sprint(c.Count())
	case zeek.LogDouble, zeek.LogTime, zeek.LogInterval:
		return fmt.Sprint(c.Float())
	case zeek.LogPort:
		number, proto := c.Port()
		return fmt.Sprintf("%d/%v", number, proto)
	case zeek.LogAddr:
		return c.Addr().String()
	case zeek.LogSubnet:
		return c.Subnet().String()
	case zeek.LogSet, zeek.LogVector:
		elems := c.Elems()
		return "[" + strings.Join(textsOf(&elems), " ") + "]"
	}
	return fmt.Sprintf("%q", c.Text())
}
