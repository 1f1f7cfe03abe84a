package roles

import (
	"errors"
	"net/netip"
	"time"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A logStream is a log that comes to be with its first row, as in Zeek: a logger that has not loaded the script
// of a log, or has nothing to put into it, never hears of it.
type logStream struct {
	node         *cluster.Node
	stream, path string
	fields       []zeek.Field
	limits       limits

	opened *cluster.LogStream
	rows   uint64
}

func (r *role) newLog(stream, path string, fields []zeek.Field) *logStream {
	l := &logStream{node: r.node, stream: stream, path: path, fields: fields}
	if r.layout.Version.Compare(layout.Version{Major: 8, Minor: 1}) >= 0 {
		l.limits = limits{text: 4096, allText: 256_000, elems: 100}
	}
	return l
}

// write sends a row.
func (l *logStream) write(p *packer) error {
	var err error
	if l.opened == nil {
		if l.opened, err = l.node.NewLogStream(l.stream, l.path, l.fields); l.opened == nil {
			return err
		}
	}
	l.rows++
	return errors.Join(err, l.opened.Write(p.row))
}

// field returns a column.
func field(name string, t zeek.LogType, optional bool) zeek.Field {
	return zeek.Field{Name: name, Type: uint64(t), Optional: optional}
}

// limits are the bounds that Zeek has for what a row may hold, from 8.1: Log::default_max_field_string_bytes and
// its kin. What is beyond is cut off. 0 is no bound.
type limits struct {
	text    int // bytes of one string
	allText int // of all strings of a row
	elems   int // of one set
}

// A packer packs the values of a row, in the order of the columns. A nil pointer is a value that is not set.
type packer struct {
	row    []byte
	limits limits
	left   int // of limits.allText
}

// pack begins a row.
func (l *logStream) pack() *packer {
	return &packer{row: zeek.AppendRecord(make([]byte, 0, 256), len(l.fields)), limits: l.limits, left: l.limits.allText}
}

// time packs a time, in the double that Zeek makes of it: it has 53 bits only, and Zeek rounds before it divides.
func (p *packer) time(t time.Time) {
	p.row = zeek.AppendLogFloat(p.row, zeek.LogTime, float64(t.UnixNano())/1e9)
}

func (p *packer) unset(t zeek.LogType) { p.row = zeek.AppendUnset(p.row, t) }

func (p *packer) addr(a netip.Addr) { p.row = zeek.AppendLogAddr(p.row, a) }

func (p *packer) enum(name string) { p.row = zeek.AppendLogText(p.row, zeek.LogEnum, name) }

func (p *packer) port(port *data.TransportPort) {
	if port == nil {
		p.unset(zeek.LogPort)
		return
	}
	p.row = zeek.AppendLogPort(p.row, port.Number, port.Proto)
}

func (p *packer) text(s *string) {
	if s == nil {
		p.unset(zeek.LogString)
		return
	}
	text := *s
	if p.limits.text > 0 {
		text = text[:min(len(text), p.limits.text, p.left)]
		p.left -= len(text)
	}
	p.row = zeek.AppendLogText(p.row, zeek.LogString, text)
}

func (p *packer) set(elems []string) {
	if n := p.limits.elems; n > 0 {
		elems = elems[:min(len(elems), n)]
	}
	p.row = zeek.AppendLogContainer(p.row, zeek.LogSet, len(elems))
	for i := range elems {
		p.text(&elems[i])
	}
}
