package logs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// blockSize is how many bytes of rows are handed to a shard at once, if there are so many: few enough to stay in
// the cache of a processor.
const blockSize = 128 << 10

func defaultShards() int { return min(runtime.GOMAXPROCS(0), 2) }

// A shard writes some of the logs, in the order in which their rows came.
type shard struct {
	receiver *Receiver
	filling  *block // what Take fills; guarded by Receiver.taking
	full     chan *block

	// Of its goroutine alone.
	outs []*output
	rows [][]byte
}

// A block holds rows of several logs, as they came.
type block struct {
	buf     []byte
	ends    []int // of the rows in buf
	runs    []run
	charged int64 // in Receiver.bytes
}

// A run is a number of rows of one source, or something to be done.
type run struct {
	src  *source
	op   op
	rows int
}

type op uint8

const (
	opRows op = iota
	opOpen
	opClose
)

// row hands a row to the shard of its log.
func (r *Receiver) row(src *source, packed []byte) {
	if len(packed) > maxRow {
		src.out.refused.Add(1)
		r.refuse(r.peer(src.peer), refusedRow, 1, src.out.schema.Stream, fmt.Errorf("a row of %d bytes, at most %d", len(packed), maxRow))
		return
	}
	b := r.blockFor(src.out.shard, len(packed))
	if b == nil {
		src.out.lost.Add(1)
		r.counts.lost.Add(1)
		return
	}
	b.buf = append(b.buf, packed...)
	b.ends = append(b.ends, len(b.buf))
	if n := len(b.runs); n > 0 && b.runs[n-1].src == src && b.runs[n-1].op == opRows {
		b.runs[n-1].rows++
	} else {
		b.runs = append(b.runs, run{src: src, rows: 1})
	}
}

// operate has a shard do something behind the rows that it was given. If what waits is given up, so is that.
func (r *Receiver) operate(s *shard, do run) {
	if b := r.blockFor(s, 0); b != nil {
		b.runs = append(b.runs, do)
	}
}

// blockFor returns a block with room for so many bytes. Where too much waits for the sinks, it waits for them; when
// they have given up, it returns nil.
func (r *Receiver) blockFor(s *shard, size int) *block {
	if b := s.filling; b != nil {
		if len(b.buf)+size <= cap(b.buf) && len(b.runs) < blockSize/16 {
			return b
		}
		s.hand()
	}
	charge := int64(max(size, blockSize))
	if r.bytes.Load()+charge > int64(r.opts.Buffer) && !r.waitForRoom(charge) {
		return nil
	}
	b := r.blocks.Get().(*block)
	if cap(b.buf) < int(charge) {
		b.buf = make([]byte, 0, charge)
	}
	b.charged = charge
	r.bytes.Add(charge)
	s.filling = b
	return b
}

// waitForRoom waits until so many bytes may wait besides those that do, or until none do.
func (r *Receiver) waitForRoom(charge int64) bool {
	for _, s := range r.shards {
		s.hand() // or the room that they take never becomes free
	}
	start := time.Now()
	r.counts.waits.Add(1)
	defer func() { r.counts.waited.Add(int64(time.Since(start))) }()
	for {
		if n := r.bytes.Load(); n == 0 || n+charge <= int64(r.opts.Buffer) {
			return true
		}
		select {
		case <-r.room:
		case <-r.ctx.Done():
			return false
		}
	}
}

// hand hands the block that is being filled to the goroutine of the shard, which never is in the way: there is
// room in the channel for as many as there may be.
func (s *shard) hand() {
	if s.filling != nil {
		s.full <- s.filling
		s.filling = nil
	}
}

// free makes room.
func (r *Receiver) free(b *block) {
	r.bytes.Add(-b.charged)
	clear(b.runs) // which know peers and schemas
	b.buf, b.ends, b.runs = b.buf[:0], b.ends[:0], b.runs[:0]
	if cap(b.buf) <= blockSize {
		r.blocks.Put(b)
	}
	select {
	case r.room <- struct{}{}:
	default:
	}
}

// run writes until the channel is closed.
func (s *shard) run() {
	ticker := time.NewTicker(max(s.receiver.opts.Interval/2, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case b, ok := <-s.full:
			if !ok {
				return
			}
			s.take(b)
			s.receiver.free(b)
		case <-ticker.C:
			for _, o := range s.outs {
				o.flush(s.receiver)
			}
		}
	}
}

// take does what a block says.
func (s *shard) take(b *block) {
	r := s.receiver
	at, ends := 0, b.ends
	for _, run := range b.runs {
		out := run.src.out
		switch run.op {
		case opOpen:
			s.outs = append(s.outs, out)
			out.open(r, run.src)
		case opClose:
			out.close(r)
			for i, o := range s.outs {
				if o == out {
					s.outs = append(s.outs[:i], s.outs[i+1:]...)
					break
				}
			}
		default:
			rows := s.rows[:0]
			for _, end := range ends[:run.rows] {
				rows = append(rows, b.buf[at:end:end])
				at = end
			}
			ends = ends[run.rows:]
			out.write(r, run.src, rows)
			s.rows = rows
		}
	}
}

// An output writes the rows of one schema to all sinks.
type output struct {
	schema *Schema
	shard  *shard
	key    string // of stream, writer and path
	prefix string // what the encoding of a LogWrite begins with, up to the row

	// Guarded by Receiver.taking.
	refs    int // sources
	size    int // bytes of its LogCreate
	creator *peerLogs

	// Of the goroutine of the shard.
	writers []Writer // nil where a sink did not want the log
	failed  bool     // told of

	rows, bytes, refused, lost atomic.Uint64
	lastTime                   atomic.Uint64 // of the last row, in the bits of a float64; 0 if none
}

func (o *output) open(r *Receiver, src *source) {
	for _, sink := range r.sinks {
		w, err := sink.Open(r.ctx, o.schema)
		if err != nil {
			w = nil
			r.opts.Log.Error("log cannot be opened: its rows are lost, and counted", "log", o.schema.Stream, "path", o.schema.Path, "peer", src.peer, "err", err)
		}
		o.writers = append(o.writers, w)
	}
}

// write has rows written by all sinks. What the first of them refuses or loses is what is counted.
func (o *output) write(r *Receiver, src *source, rows [][]byte) {
	bad := 0
	for i, w := range o.writers {
		refused := 0
		if w == nil {
			if refused = len(rows); i == 0 {
				o.lost.Add(uint64(len(rows)))
				r.counts.lost.Add(uint64(len(rows)))
			}
		} else if err := w.Write(rows); err != nil {
			if e, ok := errors.AsType[*RefusedRows](err); ok {
				if refused = e.Rows; i == 0 {
					o.refused.Add(uint64(e.Rows))
					r.counts.refused[refusedRow].Add(uint64(e.Rows))
				}
				if !src.told {
					src.told = true
					r.opts.Log.Warn("row refused; more of this peer and log are only counted", "peer", src.peer, "node", r.nameOf(src.peer), "log", o.schema.Stream, "path", o.schema.Path, "err", e.First)
				}
			}
			o.fail(r, err, i == 0)
		}
		if i == 0 {
			bad = refused
		}
	}
	o.rows.Add(uint64(len(rows) - bad))
	r.counts.rows.Add(uint64(len(rows) - bad))
	size := 0
	for _, row := range rows {
		size += len(row)
	}
	o.bytes.Add(uint64(size))
	r.counts.bytes.Add(uint64(size))
	if t := timeOf(o.schema, rows[len(rows)-1]); t != 0 {
		o.lastTime.Store(math.Float64bits(t))
	}
}

// fail counts what a writer has lost, and tells of the first failure.
func (o *output) fail(r *Receiver, err error, first bool) {
	if err == nil {
		return
	}
	lost, ok := errors.AsType[*LostRows](err)
	if ok && first {
		o.lost.Add(uint64(lost.Rows))
		o.rows.Add(-uint64(lost.Rows))
		r.counts.rows.Add(-uint64(lost.Rows))
		r.counts.lost.Add(uint64(lost.Rows))
	}
	if _, refused := errors.AsType[*RefusedRows](err); (ok || !refused) && !o.failed {
		o.failed = true
		r.opts.Log.Error("log not written", "log", o.schema.Stream, "path", o.schema.Path, "err", err)
	}
}

func (o *output) flush(r *Receiver) {
	for i, w := range o.writers {
		if w != nil {
			o.fail(r, w.Flush(), i == 0)
		}
	}
}

func (o *output) close(r *Receiver) {
	for i, w := range o.writers {
		if w != nil {
			o.fail(r, w.Close(), i == 0)
		}
	}
	o.writers = nil
}

// timeOf returns the first column of a row in seconds since 1970, if it is a time, otherwise 0.
func timeOf(s *Schema, packed []byte) float64 {
	if zeek.LogType(s.Fields[0].Type) != zeek.LogTime || len(packed) < 21 || packed[12] == 0 {
		return 0
	}
	if t := math.Float64frombits(binary.BigEndian.Uint64(packed[13:])); t > 0 && t < 1<<40 {
		return t
	}
	return 0 // no time at all, such as the time of a node that has read no packet
}
