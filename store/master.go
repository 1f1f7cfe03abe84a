package store

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/store/channel"
	"github.com/zeekpeer/zeekpeer/wire"
)

// AttachMaster makes the endpoint the master of a store. With a backend the contents are those that it
// has, and the master is the one that used it before if the endpoint has the same id (see
// [EndpointID]): then its clones, those of Zeek too, go on where they were.
//
// It fails with [ErrMasterExists] if a peer has a master of that name already. Two masters that come to
// know each other later are not stopped; each warns in its log, and in [Status].
func AttachMaster(ep *endpoint.Endpoint, name string, opts ...Option) (*Store, error) {
	listen, speak := topics(name)
	for _, p := range ep.Peers() {
		if hasMaster(p, listen) {
			return nil, fmt.Errorf("store %q: %w: peer %v at %s", name, ErrMasterExists, p.ID, p.Addr)
		}
	}
	s, err := open(ep, name, Master, listen, opts)
	if err != nil {
		return nil, err
	}
	m := &master{side: side{Store: s, topic: speak, table: new(table)}, peers: make(map[wire.EndpointID]struct{}), sending: make(map[wire.EntityID]int)}
	s.replica = m
	if err := m.load(); err != nil {
		s.discard()
		return nil, fmt.Errorf("store %q: %w", name, err)
	}
	close(s.gate.Load().open)
	s.version.Store(m.table)
	s.updateStatus()
	s.start()
	return s, nil
}

// EndpointID returns the id of the endpoint whose master used a backend last, or a new one. An endpoint
// with another id would be another master, to which all clones have to attach anew, and which clones of
// Zeek never accept.
func EndpointID(b Backend) (wire.EndpointID, error) {
	state, err := b.State()
	if err != nil {
		return wire.EndpointID{}, err
	}
	if id := state.Master.Endpoint; !id.IsZero() {
		return id, nil
	}
	return wire.NewEndpointID(), nil
}

// A master executes what it is told by local users and by clones, and tells all clones what came of it.
type master struct {
	side
	self    wire.EntityID
	channel *channel.Master
	peers   map[wire.EndpointID]struct{}

	batch  Batch
	event  []byte // room to encode one
	expiry expiryQueue
	now    int64 // of the batch; 0: not asked for yet

	waiting  []wire.EntityID       // clones that want the contents
	encoding bool                  // the contents are being encoded for them
	snapshot *snapshot             // the contents, encoded
	sending  map[wire.EntityID]int // clones that get large contents now, and the tick until which that counts
	ticks    int
	rivals   []wire.EndpointID // peers with a master of the same store
}

// load takes over what the backend has.
func (m *master) load() error {
	m.self = channel.NewEntity(m.ep.ID())
	var state State
	if b := m.opts.backend; b != nil {
		var err error
		if state, err = b.State(); err != nil {
			return err
		}
		if err := b.Load(func(r Record) error {
			if r.Expiry != 0 {
				m.expiry.add(r.Expiry, string(r.Key))
			}
			return m.table.load(r.Key, r.Value, r.Expiry)
		}); err != nil {
			return err
		}
		m.expiry.init()
		m.table = m.table.compact()
	}
	before := state.Master
	switch {
	case before.Endpoint == m.self.Endpoint:
		m.self = before
	case !before.IsZero():
		m.opts.log.Warn("the store was another endpoint's: its clones have to attach anew, and clones of Zeek to be restarted",
			"store", m.name, "was", before.Endpoint, "is", m.self.Endpoint)
		for writer := range state.Writers {
			m.batch.Writers = append(m.batch.Writers, WriterMark{Writer: writer})
		}
		state = State{}
	}
	m.channel = channel.NewMaster(m.opts.channel(), m.self, state.Mark, state.Writers, m)
	if m.opts.backend == nil {
		return nil
	}
	m.batch.Master, m.batch.Mark = m.self, m.channel.Seq()
	if err := m.opts.backend.Commit(&m.batch); err != nil {
		return err
	}
	m.resetBatch()
	return nil
}

func (m *master) resetBatch() {
	clear(m.batch.Changes)
	m.batch = Batch{Changes: m.batch.Changes[:0], Writers: m.batch.Writers[:0], Master: m.self, Mark: m.batch.Mark}
}

func (m *master) peer(id wire.EndpointID, added bool) {
	if added {
		m.peers[id] = struct{}{}
	} else {
		delete(m.peers, id)
	}
}

func (m *master) receive(from wire.EndpointID, payload []byte) { m.channel.Receive(from, payload) }

// submit executes an operation of a local user.
func (m *master) submit(p *Pending) {
	c := &p.cmd
	c.Publisher = m.self
	inserted, err := m.execute(c)
	o := Applied
	if err != nil || !inserted {
		o = NoEffectOrFailed
	}
	m.settled = append(m.settled, settlement{p, o, err})
}

// Write executes an operation of a clone.
func (m *master) Write(writer wire.EntityID, c *wire.Command, err error) {
	effective := false
	if err == nil {
		effective, err = m.execute(c)
	}
	if err != nil {
		m.Rejected(writer, err)
	}
	switch {
	case c.Kind == wire.CommandPutUnique && !c.Who.IsZero():
		m.answer(c.Who, c.RequestID, effective)
	case !effective && channel.Native(writer):
		// So it learns what came of the operation, which for a clone of Zeek nobody can tell.
		m.answer(writer, c.Seq, false)
	}
}

// answer tells all clones what came of an operation that one of them waits for.
func (m *master) answer(who wire.EntityID, request uint64, inserted bool) {
	m.produce(&wire.Command{
		CommandHeader: wire.CommandHeader{Kind: wire.CommandPutUniqueResult},
		Inserted:      inserted, Who: who, RequestID: request, Publisher: m.self,
	})
}

func (m *master) produce(c *wire.Command) {
	m.event = wire.AppendCommandBody(m.event[:0], c)
	m.channel.Produce(m.event)
}

// execute does what an action asks for, and tells the clones. It reports whether anything came of it.
func (m *master) execute(c *wire.Command) (effective bool, err error) {
	if m.now == 0 {
		m.now = time.Now().UnixNano()
	}
	e := execute(c, m.table, m.now)
	if e.err == nil && e.kind == effectSet && len(c.Key)+len(e.value) > maxEntry {
		e = effect{err: fmt.Errorf("%v: %w: an entry of %d bytes, at most %d", c.Kind, ErrTooLarge, len(c.Key)+len(e.value), maxEntry)}
	}
	if e.err != nil || e.kind == effectNone {
		return false, e.err
	}
	m.apply(c, &e)
	switch e.kind {
	case effectSet:
		put := *c
		put.Kind, put.Value = wire.CommandPut, e.value
		if c.Kind == wire.CommandAdd || c.Kind == wire.CommandSubtract {
			put.HasExpiry = false // STORE.md section 5.2
		}
		m.produce(&put)
	default:
		m.produce(c)
	}
	return true, nil
}

// apply changes the table.
func (m *master) apply(c *wire.Command, e *effect) {
	watched := m.edit()
	switch e.kind {
	case effectSet:
		m.table.set(c.Key, e.value, e.expiry)
		if e.expiry != 0 {
			m.expiry.push(e.expiry, string(c.Key))
		}
		if m.opts.backend != nil {
			m.batch.Changes = append(m.batch.Changes, Change{Record: Record{Key: c.Key, Value: e.value, Expiry: e.expiry}})
		}
		if watched {
			m.changes = append(m.changes, setChange(c, e))
		}
	case effectErase:
		m.table.erase(c.Key)
		if m.opts.backend != nil {
			m.batch.Changes = append(m.batch.Changes, Change{Record: Record{Key: c.Key}, Erase: true})
		}
		if watched {
			m.changes = append(m.changes, eraseChange(c, e))
		}
	case effectClear:
		before := m.table.clear()
		m.expiry.clear()
		if m.opts.backend != nil {
			clear(m.batch.Changes)
			m.batch.Changes, m.batch.Clear = m.batch.Changes[:0], true
		}
		if watched {
			m.changes = append(m.changes, change{Update: Update{Publisher: c.Publisher}, cleared: before})
		}
	}
}

// setChange and eraseChange are what those learn who watch.
func setChange(c *wire.Command, e *effect) change {
	u := Update{Kind: Inserted, Publisher: c.Publisher, key: string(c.Key), value: string(e.value)}
	if c.Kind == wire.CommandPut || c.Kind == wire.CommandPutUnique {
		u.HasExpiry, u.Expiry = c.HasExpiry, c.Expiry
	}
	if e.existed {
		u.Kind, u.old = Updated, e.old
	}
	return change{Update: u}
}

func eraseChange(c *wire.Command, e *effect) change {
	u := Update{Kind: Erased, Publisher: c.Publisher, key: string(c.Key), old: e.old}
	if c.Kind == wire.CommandExpire {
		u.Kind = Expired
	}
	return change{Update: u}
}

// tick lets time pass. That the process was held up is no reason to give up clones whose
// acknowledgements wait to be read, so a late tick counts once.
func (m *master) tick(int) {
	m.ticks++
	m.channel.Tick()
	m.expire()
	if m.ticks%rivalTicks == 0 {
		m.lookForRivals()
	}
	for clone, until := range m.sending {
		if m.ticks >= until || !m.channel.Attaching(clone) {
			delete(m.sending, clone)
		}
	}
}

// rivalTicks is how often a master looks whether peers have one of the same store.
const rivalTicks = 10

// lookForRivals looks for peers that have a master of the same store, and warns of each that is new.
func (m *master) lookForRivals() {
	before := m.rivals
	m.rivals = nil
	listen := m.listens()
	if len(m.ep.Subscribers(listen)) == 0 {
		return
	}
	for _, p := range m.ep.Peers() {
		if !hasMaster(p, listen) {
			continue
		}
		m.rivals = append(m.rivals, p.ID)
		if !slices.Contains(before, p.ID) {
			m.opts.log.Warn("a peer has a master of the same store, with contents of its own: end one of the two", "store", m.name, "peer", p.ID, "addr", p.Addr)
		}
	}
}

// hasMaster tells whether a peer has a master that listens on a topic. A filter that only begins like the
// topic, which keeps a node of Zeek from creating the store, says nothing of a master (STORE.md section 8.1,
// 20).
func hasMaster(p endpoint.PeerInfo, topic string) bool { return slices.Contains(p.Filter, topic) }

// maxExpire bounds the entries that one tick removes, so that the store goes on meanwhile.
const maxExpire = 10_000

// expire removes the entries whose time is over.
func (m *master) expire() {
	m.now = time.Now().UnixNano()
	m.expiry.compact(m.table)
	for range maxExpire {
		key, ok := m.expiry.due(m.now)
		if !ok {
			return
		}
		e, ok := m.table.get(bytesOf(key))
		if !ok || e.expiry == 0 || e.expiry >= m.now {
			continue // it was erased, or put again
		}
		c := wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandExpire}, Key: []byte(key), Publisher: m.self}
		m.apply(&c, &effect{kind: effectErase, existed: true, old: e.value})
		m.produce(&c)
	}
}

// finish makes what came of a batch durable, then visible to readers, and then known to the clones and to
// those who asked for it.
func (m *master) finish() {
	m.now = 0
	if m.opts.backend != nil {
		m.channel.Executed(func(writer wire.EntityID, seq uint64) {
			m.batch.Writers = append(m.batch.Writers, WriterMark{writer, seq})
		})
		if seq := m.channel.Seq(); m.batch.Clear || len(m.batch.Changes) > 0 || len(m.batch.Writers) > 0 || seq != m.batch.Mark {
			m.batch.Mark = seq
			if !m.commit() {
				return // closed
			}
		}
	}
	m.publish()
	m.channel.Acknowledge()
	m.attachClones()
	m.send()
}

// commit makes the batch durable. As long as that fails nothing is told to anybody, and it is tried
// again: what was executed can neither be lost nor taken back. It reports false if the store is closed
// meanwhile.
func (m *master) commit() bool {
	err := m.opts.backend.Commit(&m.batch)
	for failures := 1; err != nil; failures++ {
		m.opts.log.Error("the backend fails: the store stands still until it does not", "store", m.name, "attempts", failures, "err", err)
		status := m.Status()
		status.Err = fmt.Errorf("%w: %w", ErrBackend, err)
		m.status.Store(&status)
		select {
		case <-m.ctx.Done():
			m.abandon(status.Err)
			return false
		case <-time.After(m.opts.commitRetry):
		}
		if err = m.opts.backend.Commit(&m.batch); err == nil {
			m.opts.log.Info("the backend works again", "store", m.name)
		}
	}
	m.resetBatch()
	return true
}

// abandon ends the operations of a batch that could not be committed.
func (m *master) abandon(err error) {
	for _, s := range m.settled {
		s.p.settle(Submitted, fmt.Errorf("%w: %w: %w", ErrClosed, ErrOutcomeUnknown, err))
	}
	m.settled = nil
	m.out.discard()
}

func (m *master) idle() bool { return m.channel.Idle() && len(m.waiting) == 0 }

func (m *master) fill(s *Status) {
	s.Master, s.Seq = m.self, m.channel.Seq()
	s.Attaches, s.Rejected = m.attaches, m.rejected
	m.channel.Paths(func(clone wire.EntityID, acked uint64, silent int) {
		c := CloneStatus{Clone: clone, Acked: acked, Lag: s.Seq - acked, Silent: time.Duration(silent) * m.opts.tick}
		s.Clones = append(s.Clones, c)
		s.Lag = max(s.Lag, c.Lag)
	})
	s.Writers = m.channel.Writers()
	s.Rivals = m.rivals
}

func (m *master) hint() string {
	if err := m.Status().Err; err != nil {
		return err.Error()
	}
	return "the master is busy"
}

// end ends what waits.
func (m *master) end() {
	if m.snapshot != nil {
		m.snapshot.release()
	}
	m.abandon(errors.New("the store was closed"))
}

// Send queues a command until the batch is durable.
func (m *master) Send(to wire.EndpointID, seq uint64, receiver wire.EntityID, event []byte) {
	m.out.add(to, seq, m.self, receiver, event)
}

// Peer tells whether an endpoint is a direct peer.
func (m *master) Peer(id wire.EndpointID) bool {
	_, ok := m.peers[id]
	return ok
}

// Entries calls yield for the entries from a key on.
func (m *master) Entries(from []byte, yield func(key, value []byte) bool) {
	for key, e := range m.table.from(string(from)) {
		if !yield(bytesOf(key), bytesOf(e.value)) {
			return
		}
	}
}

// Event tells all clones something that no operation has led to.
func (m *master) Event(event []byte) { m.channel.Produce(event) }
