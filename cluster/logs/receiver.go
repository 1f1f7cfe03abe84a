package logs

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// Limits of what peers may ask of a receiver.
const (
	maxRow       = 4 << 20  // bytes; Zeek's own rows are below 64 KiB
	maxCreate    = 1 << 20  // bytes of a LogCreate; that of a log with 100 columns has 6 KiB
	maxNesting   = 8        // batches in batches; Zeek does not nest them
	maxPeers     = 4096     // whose logs are remembered
	maxSchemas   = 16 << 20 // bytes of the LogCreates of all logs
	maxHeldRows  = 10_000   // rows that wait for their LogCreate
	maxToldOfOne = 32       // refusals of one peer that are told of; the others are only counted
)

// ReceiverOptions are what a receiver is made with. Zero values stand for what is said behind them.
type ReceiverOptions struct {
	Log       *slog.Logger                 // nowhere
	Shards    int                          // goroutines that write: 2, or 1 with a single processor
	Buffer    int                          // bytes of rows that may wait for the sinks: 32 MiB
	MaxLogs   int                          // logs that are written at once, of all streams, writers and paths: 1024
	Hold      time.Duration                // how long rows wait for their LogCreate: 5 s
	HoldBytes int                          // how many bytes of them: 4 MiB
	Interval  time.Duration                // rows are with the sinks, and flushed, after this time at the latest: 1 s
	Now       func() time.Time             // time.Now
	PeerName  func(wire.EndpointID) string // a name to call a peer by besides its id, "" for none: nobody has one
}

func (o *ReceiverOptions) defaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	for _, d := range []struct {
		value *int
		is    int
	}{{&o.Shards, defaultShards()}, {&o.Buffer, 32 << 20}, {&o.MaxLogs, 1024}, {&o.HoldBytes, 4 << 20}} {
		if *d.value <= 0 {
			*d.value = d.is
		}
	}
	if o.Hold <= 0 {
		o.Hold = 5 * time.Second
	}
	if o.Interval <= 0 {
		o.Interval = time.Second
	}
}

// A Receiver takes the LogCreates and LogWrites of peers, and has sinks write the rows.
//
// The columns of a log are those that the peer itself has announced. Two peers that announce different columns
// for one log each have a Writer of their own; the rows of neither are lost. A peer that announces other columns
// than before goes on with a new Writer, and the old one is closed unless others still use it.
//
// Rows that a peer sends before its LogCreate are written by what others have announced, if that is one thing;
// otherwise they wait for a few seconds.
type Receiver struct {
	opts   ReceiverOptions
	sinks  []Sink
	shards []*shard
	seed   maphash.Seed    // of the shard of a path
	ctx    context.Context // ends when what is not written is to be given up
	giveUp context.CancelFunc

	taking  sync.Mutex // guards the following
	closed  bool
	peers   map[wire.EndpointID]*peerLogs
	last    *peerLogs // who sent the last message
	clock   uint64    // counts messages, to know who was silent for long
	key     []byte    // room for a key
	held    int       // rows that wait for their LogCreate
	heldB   int       // their bytes
	schemas int       // bytes of the LogCreates of all logs

	mu   sync.Mutex           // guards the following; taken within taking
	logs map[string][]*output // by stream, writer and path: one for each set of columns
	outs int

	blocks sync.Pool
	bytes  atomic.Int64 // of blocks that are in use
	room   chan struct{}
	counts counts
	work   sync.WaitGroup
	stop   chan struct{}
}

// peerLogs is what is known of a peer.
type peerLogs struct {
	id      wire.EndpointID
	sources map[string]*source
	last    *source // of the row before
	created int     // logs that it was the first to announce
	seen    uint64
	held    map[string]*heldRows
	told    map[string]bool
}

// heldRows wait for the LogCreate of a log.
type heldRows struct {
	stream string
	rows   [][]byte
	since  time.Time
}

// A source is what one peer writes to a log.
type source struct {
	out  *output
	peer wire.EndpointID
	told bool // of a row that was refused; the shard's
}

// NewReceiver makes a receiver that writes to all of the sinks.
func NewReceiver(o ReceiverOptions, sinks ...Sink) *Receiver {
	o.defaults()
	r := &Receiver{
		opts: o, sinks: sinks, peers: make(map[wire.EndpointID]*peerLogs), logs: make(map[string][]*output),
		seed: maphash.MakeSeed(), room: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	r.blocks.New = func() any { return new(block) }
	r.ctx, r.giveUp = context.WithCancel(context.Background())
	for range o.Shards {
		s := &shard{receiver: r, full: make(chan *block, o.Buffer/blockSize+2)}
		r.shards = append(r.shards, s)
		r.work.Go(s.run)
	}
	r.work.Go(r.maintain)
	return r
}

// Take takes a message of a peer: a LogCreate, a LogWrite or a batch. Others are ignored. The payload is not used
// after the call. While the sinks have no room, it waits.
func (r *Receiver) Take(from wire.EndpointID, payload []byte) {
	r.taking.Lock()
	defer r.taking.Unlock()
	if r.closed {
		r.counts.late.Add(1)
		return
	}
	r.counts.messages.Add(1)
	p := r.last
	if p == nil || p.id != from {
		p = r.peer(from)
	}
	r.clock++
	p.seen = r.clock
	reader := data.NewReader(payload)
	r.message(p, &reader, 0)
	if err := reader.Finish(); err != nil {
		r.refuse(p, refusedMessage, 1, "", err)
	}
}

// peer returns what is known of a peer, and makes it the last one.
func (r *Receiver) peer(id wire.EndpointID) *peerLogs {
	p := r.peers[id]
	if p == nil {
		if len(r.peers) >= maxPeers {
			var oldest *peerLogs
			for _, other := range r.peers {
				if oldest == nil || other.seen < oldest.seen {
					oldest = other
				}
			}
			r.forget(oldest)
		}
		p = &peerLogs{id: id, sources: make(map[string]*source), held: make(map[string]*heldRows), told: make(map[string]bool)}
		r.peers[id] = p
		r.counts.peers.Store(int64(len(r.peers)))
	}
	r.last = p
	return p
}

// Forget tells that a peer is gone. What it had announced is forgotten, and what it sent is written.
func (r *Receiver) Forget(id wire.EndpointID) {
	r.taking.Lock()
	defer r.taking.Unlock()
	if p := r.peers[id]; p != nil {
		r.forget(p)
	}
}

func (r *Receiver) forget(p *peerLogs) {
	for key := range p.held {
		r.release(p, key, nil)
	}
	for _, src := range p.sources {
		r.leave(src)
	}
	delete(r.peers, p.id)
	r.counts.peers.Store(int64(len(r.peers)))
	if r.last == p {
		r.last = nil
	}
}

// leave ends what a peer writes to a log. A log that is left stays open, for the peer may come back; but not if others
// write it with other columns, who then get its name.
func (r *Receiver) leave(src *source) {
	if src.out.refs--; src.out.refs == 0 && len(r.logs[src.out.key]) > 1 {
		r.retire(src.out)
	}
}

var (
	errNoMessage = errors.New("not a message of Zeek")
	errNested    = fmt.Errorf("batches nest deeper than %d levels", maxNesting)
)

// message takes a message, which may stand in a batch. A row that begins as the last one did, with the same
// stream, writer and path, costs one comparison.
func (r *Receiver) message(p *peerLogs, rd *data.Reader, nesting int) {
	if src := p.last; src != nil && rd.Literal(src.out.prefix) {
		if packed := rd.Bytes(); rd.Err() == nil {
			r.row(src, packed)
		}
		return
	}
	start := *rd
	n := rd.Vector()
	version, t := rd.Count(), rd.Count()
	if rd.Err() == nil && (n < 3 || version != zeek.Version) {
		rd.Fail(fmt.Errorf("%w: %d elements, version %d", errNoMessage, n, version))
	}
	if rd.Err() != nil {
		return
	}
	switch zeek.Type(min(t, 255)) {
	case zeek.TypeLogWrite:
		r.write(p, rd)
	case zeek.TypeBatch:
		if nesting >= maxNesting {
			rd.Fail(errNested)
		}
		for range rd.Vector() {
			if r.message(p, rd, nesting+1); rd.Err() != nil {
				return
			}
		}
	case zeek.TypeLogCreate:
		raw := start.Raw()
		if *rd = start; rd.Err() == nil {
			r.create(p, raw)
		}
		return
	default:
		rd.Skip()
	}
	skipValues(rd, n-3)
}

// skipValues consumes elements that nobody knows.
func skipValues(rd *data.Reader, n int) {
	for range n {
		if rd.Skip(); rd.Err() != nil {
			return
		}
	}
}

// write takes the content of a LogWrite.
func (r *Receiver) write(p *peerLogs, rd *data.Reader) {
	slots := rd.Vector()
	if rd.Err() == nil && slots < 4 {
		rd.Fail(fmt.Errorf("LogWrite of %d elements, want 4 at least", slots))
	}
	stream, writer, path, packed := rd.Enum(), rd.Enum(), rd.Bytes(), rd.Bytes()
	if skipValues(rd, slots-4); rd.Err() != nil {
		return
	}
	r.key = appendKey(r.key[:0], stream, writer, path)
	src := p.sources[string(r.key)]
	if src == nil {
		if src = r.borrow(p); src == nil {
			r.hold(p, string(stream), packed)
			return
		}
	}
	p.last = src
	r.row(src, packed)
}

// appendKey appends what tells a stream, writer and path from all others.
func appendKey[S ~string | ~[]byte](dst []byte, stream, writer, path S) []byte {
	for _, part := range []S{stream, writer, path} {
		dst = append(dst, byte(len(part)>>24), byte(len(part)>>16), byte(len(part)>>8), byte(len(part)))
		dst = append(dst, part...)
	}
	return dst
}

// borrow lets a peer write the log of r.key by the columns that others have announced, if they agree.
func (r *Receiver) borrow(p *peerLogs) *source {
	outs := r.logs[string(r.key)]
	if len(outs) != 1 {
		return nil
	}
	r.counts.borrowed.Add(1)
	return connect(p, outs[0])
}

// connect makes a peer a source of a log.
func connect(p *peerLogs, out *output) *source {
	src := &source{out: out, peer: p.id}
	out.refs++
	p.sources[out.key] = src
	return src
}

// hold keeps a row for a LogCreate that is late.
func (r *Receiver) hold(p *peerLogs, stream string, packed []byte) {
	h := p.held[string(r.key)]
	if r.held >= maxHeldRows || r.heldB+len(packed)+len(r.key) > r.opts.HoldBytes {
		r.refuse(p, refusedUnknown, 1, stream, errors.New("no LogCreate came before, and too many rows wait for theirs"))
		return
	}
	if h == nil {
		h = &heldRows{stream: stream, since: r.opts.Now()}
		p.held[string(r.key)] = h
		r.heldB += len(r.key)
	}
	r.counts.held.Add(1)
	h.rows = append(h.rows, slices.Clone(packed))
	r.held++
	r.heldB += len(packed)
	r.counts.heldNow.Store(int64(r.held))
}

// release has the rows that wait written by src; without, they are lost.
func (r *Receiver) release(p *peerLogs, key string, src *source) {
	h := p.held[key]
	if h == nil {
		return
	}
	delete(p.held, key)
	r.heldB -= len(key)
	for _, packed := range h.rows {
		r.held--
		if r.heldB -= len(packed); src != nil {
			r.row(src, packed)
		}
	}
	r.counts.heldNow.Store(int64(r.held))
	if src == nil {
		r.refuse(p, refusedUnknown, len(h.rows), h.stream, errors.New("its LogCreate never came"))
	}
}

// create takes a LogCreate.
func (r *Receiver) create(p *peerLogs, raw []byte) {
	r.counts.creates.Add(1)
	if len(raw) > maxCreate {
		r.refuse(p, refusedCreate, 1, "", fmt.Errorf("a LogCreate of %d bytes, at most %d", len(raw), maxCreate))
		return
	}
	m, err := zeek.Parse(raw)
	if err != nil {
		r.refuse(p, refusedCreate, 1, "", err)
		return
	}
	c := m.(zeek.LogCreate)
	schema, err := NewSchema(c)
	if err != nil {
		r.refuse(p, refusedCreate, 1, c.Stream, err)
		return
	}
	key := string(appendKey(nil, schema.Stream, schema.Writer, schema.Path))
	old := p.sources[key]
	if old != nil && old.out.schema.Equal(schema) {
		return
	}
	if old != nil {
		delete(p.sources, key)
		p.last = nil
		r.leave(old)
	}
	out, err := r.output(p, key, schema, len(raw))
	if err != nil {
		r.refuse(p, refusedCreate, 1, c.Stream, err)
		return
	}
	r.release(p, key, connect(p, out))
}

// output returns what writes a schema, of which the LogCreate has so many bytes.
func (r *Receiver) output(p *peerLogs, key string, schema *Schema, size int) (*output, error) {
	outs := r.logs[key]
	if i := slices.IndexFunc(outs, func(o *output) bool { return o.schema.Equal(schema) }); i >= 0 {
		return outs[i], nil
	}
	for _, o := range slices.Clone(outs) {
		if o.refs == 0 {
			r.retire(o) // nobody has these columns any more; its name becomes free
		}
	}
	for r.outs >= r.opts.MaxLogs || r.schemas+size > maxSchemas {
		if !r.retireAny() {
			return nil, fmt.Errorf("more than %d logs at once, or than %d bytes of columns", r.opts.MaxLogs, maxSchemas)
		}
	}
	if p.created >= max(r.opts.MaxLogs/2, 1) {
		return nil, fmt.Errorf("more than %d logs of one peer: the others are left for other peers", p.created)
	}
	if outs = r.logs[key]; len(outs) > 0 {
		r.counts.conflicts.Add(1)
		r.tell(p, "columns of "+schema.Stream, "other columns of a log than those of other peers: its rows go to a file of their own", schema.Stream, fmt.Errorf("path %s: %w", schema.Path, difference(outs[0].schema, schema)))
	}
	// All that gets a name for the same path is done in one order.
	s := r.shards[maphash.String(r.seed, schema.Path)%uint64(len(r.shards))]
	empty := zeek.AppendLogWrite(nil, schema.Stream, schema.Writer, schema.Path, nil)
	o := &output{
		schema: schema, shard: s, key: key, size: size, creator: p,
		prefix: string(empty[:len(empty)-2]), // without the tag and the length of the row
	}
	p.created++
	r.schemas += size
	r.mu.Lock()
	r.logs[key] = append(r.logs[key], o)
	r.outs++
	r.mu.Unlock()
	if len(schema.Refused) > 0 {
		r.tell(p, "settings of "+schema.Stream, "settings of a log that are not honoured", schema.Stream, fmt.Errorf("path %s: %q", schema.Path, schema.Refused))
	}
	r.operate(s, run{src: &source{out: o, peer: p.id}, op: opOpen})
	return o, nil
}

// difference says how the columns of two schemas differ.
func difference(a, b *Schema) error {
	for i := range b.Fields {
		switch {
		case i >= len(a.Fields):
			return fmt.Errorf("column %d is %s and was not there", i, b.Fields[i].Name)
		case a.Fields[i].Name != b.Fields[i].Name || a.Fields[i].TypeName() != b.Fields[i].TypeName():
			return fmt.Errorf("column %d is %s of type %s and was %s of type %s", i, b.Fields[i].Name, b.Fields[i].TypeName(), a.Fields[i].Name, a.Fields[i].TypeName())
		}
	}
	if n := len(b.Fields); n < len(a.Fields) {
		return fmt.Errorf("column %d was %s and is not there", n, a.Fields[n].Name)
	}
	return errors.New("same columns, other settings")
}

// retire closes what writes a schema, behind all of its rows.
func (r *Receiver) retire(o *output) {
	o.creator.created--
	r.schemas -= o.size
	r.mu.Lock()
	rest := slices.DeleteFunc(slices.Clone(r.logs[o.key]), func(other *output) bool { return other == o })
	if r.outs--; len(rest) > 0 {
		r.logs[o.key] = rest
	} else {
		delete(r.logs, o.key)
	}
	r.counts.retire(o)
	r.mu.Unlock()
	r.operate(o.shard, run{src: &source{out: o}, op: opClose})
}

// retireAny makes room for another log: one to which no peer writes is closed.
func (r *Receiver) retireAny() bool {
	for _, outs := range r.logs {
		for _, o := range outs {
			if o.refs == 0 {
				r.retire(o)
				return true
			}
		}
	}
	return false
}

// refuse counts what is not written, and tells of the first for each peer, reason and stream.
func (r *Receiver) refuse(p *peerLogs, why refusal, n int, stream string, err error) {
	r.counts.refused[why].Add(uint64(n))
	r.tell(p, why.String()+stream, why.String()+" refused; more of this peer and log are only counted", stream, err)
}

// tell tells of something once for each peer.
func (r *Receiver) tell(p *peerLogs, about, text, stream string, err error) {
	if p.told[about] || len(p.told) >= maxToldOfOne || len(about) > 512 {
		return
	}
	p.told[about] = true
	r.opts.Log.Warn(text, "peer", p.id, "node", r.nameOf(p.id), "log", stream, "err", err)
}

func (r *Receiver) nameOf(id wire.EndpointID) string {
	if r.opts.PeerName == nil {
		return ""
	}
	return r.opts.PeerName(id)
}

// maintain hands on what waits in blocks that are not full, and gives up LogCreates that do not come.
func (r *Receiver) maintain() {
	ticker := time.NewTicker(max(r.opts.Interval/4, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			r.step()
		case <-r.stop:
			return
		}
	}
}

func (r *Receiver) step() {
	r.taking.Lock()
	defer r.taking.Unlock()
	if r.closed {
		return
	}
	for _, s := range r.shards {
		if len(s.full) == 0 {
			s.hand()
		}
	}
	if r.held == 0 {
		return
	}
	now := r.opts.Now()
	for _, p := range r.peers {
		for key, h := range p.held {
			if now.Sub(h.since) >= r.opts.Hold {
				r.release(p, key, nil)
			}
		}
	}
}

// Close has everything written that was taken, and closes the sinks. When ctx ends before, it gives up what they
// have no room for.
func (r *Receiver) Close(ctx context.Context) error {
	defer context.AfterFunc(ctx, r.giveUp)()
	r.taking.Lock()
	if r.closed {
		r.taking.Unlock()
		return nil
	}
	for _, p := range r.peers {
		for key := range p.held {
			r.release(p, key, nil)
		}
	}
	for _, outs := range r.logs {
		for _, o := range outs {
			r.retire(o)
		}
	}
	r.closed = true
	close(r.stop)
	for _, s := range r.shards {
		s.hand()
		close(s.full)
	}
	r.taking.Unlock()
	written := make(chan struct{})
	go func() { r.work.Wait(); close(written) }()
	select {
	case <-written:
	case <-ctx.Done():
		// A write that hangs in the kernel cannot be interrupted.
		select {
		case <-written:
		case <-time.After(time.Second):
			return fmt.Errorf("the disk hangs: %d bytes of rows may not be written", r.bytes.Load())
		}
	}
	var err error
	for _, s := range r.sinks {
		err = errors.Join(err, s.Close(ctx))
	}
	if lost := r.counts.lost.Load(); lost > 0 {
		err = errors.Join(err, fmt.Errorf("%d rows lost", lost))
	}
	r.giveUp()
	return err
}
