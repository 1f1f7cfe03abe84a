package fuzz

import (
	"fmt"
	"maps"

	"github.com/zeekpeer/zeekpeer/store/channel"
	"github.com/zeekpeer/zeekpeer/wire"
)

// A replica is a node with a clone of ours.
type replica struct {
	s        *simulation
	self     wire.EndpointID
	user     uint64
	c        *channel.Clone
	dead     bool
	contents map[string]string
	objects  uint64
	ops      uint32 // submitted
	writes   map[*channel.Write]channel.Outcome
	order    []*channel.Write
	held     int64 // it is held up until then
	inbox    []func()
	masters  map[wire.EntityID]bool // that it had the contents of
}

func newReplica(s *simulation, cfg channel.Config, self wire.EndpointID, user uint64) *replica {
	r := &replica{s: s, self: self, user: user, contents: map[string]string{}, writes: map[*channel.Write]channel.Outcome{}, masters: map[wire.EntityID]bool{}}
	r.c = channel.NewClone(cfg, r.entity(), r.entity, r)
	s.ticks(r, func(elapsed int) {
		r.take(func() { r.c.Tick(elapsed) })
	})
	return r
}

func (r *replica) entity() wire.EntityID {
	r.objects++
	return channel.NativeEntity(r.self, r.objects)
}

func (r *replica) id() wire.EndpointID { return r.self }
func (r *replica) master() bool        { return false }
func (r *replica) alive() bool         { return !r.dead }

// take does something, unless the process is held up: then it does it later.
func (r *replica) take(do func()) {
	r.inbox = append(r.inbox, do)
	if r.s.now < r.held {
		return
	}
	for _, do := range r.inbox {
		do()
	}
	r.inbox = r.inbox[:0]
	r.c.Flush()
	r.check()
}

func (r *replica) receive(from wire.EndpointID, payload []byte) {
	r.take(func() { r.c.Receive(from, payload) })
}
func (r *replica) peerAdded(id wire.EndpointID) { r.take(func() { r.c.PeerAdded(id) }) }
func (r *replica) peerLost(id wire.EndpointID)  { r.take(func() { r.c.PeerLost(id) }) }

// check looks at what must hold after each step.
func (r *replica) check() {
	if r.c.Attached() != r.masters[r.c.Master()] && r.c.Attached() {
		r.s.fail("%s is attached to %s, whose contents it never got", r.s.name(r.self), r.s.entity(r.c.Master()))
	}
}

// do submits an operation.
func (r *replica) do(c wire.Command) {
	r.ops++
	switch c.Kind {
	case wire.CommandPut, wire.CommandPutUnique, wire.CommandAdd:
		c.HasExpiry, c.Expiry = true, opNumber(r.user, r.ops)
	}
	w := &channel.Write{Command: c}
	r.writes[w] = channel.Pending
	r.order = append(r.order, w)
	r.take(func() { r.c.Submit(w) })
}

// leave closes the clone, or ends it without a word.
func (r *replica) leave(silently bool) {
	r.s.note("leave", r.self, wire.EndpointID{}, nil)
	if !silently {
		r.c.Close()
	}
	r.dead = true
}

// Send, Install, Apply, Settled and Rejected make it a host.
func (r *replica) Send(to wire.EndpointID, seq uint64, sender, receiver wire.EntityID, event []byte) {
	r.s.send(r, to, append(wire.AppendCommandHeader(nil, seq, sender, receiver), event...))
}

func (r *replica) Install(master wire.EntityID, snapshot wire.Snapshot) error {
	if r.s.chance(0.02) {
		return fmt.Errorf("no room")
	}
	contents := map[string]string{}
	err := snapshot.Each(func(key, value []byte) error {
		contents[string(key)] = string(value)
		return nil
	})
	if err != nil {
		r.s.fail("snapshot: %v", err)
	}
	r.contents = contents
	r.masters[master] = true
	return nil
}

func (r *replica) Apply(c *wire.Command) error {
	simApply(r.contents, c)
	return nil
}

func (r *replica) Settled(w *channel.Write, o channel.Outcome) {
	before, known := r.writes[w]
	if !known || before != channel.Pending || o == channel.Pending {
		r.s.fail("%s: outcome %d of write %d, which had %d", r.s.name(r.self), o, w.Command.Seq, before)
	}
	r.writes[w] = o
	r.s.note(fmt.Sprintf("outcome%d", o), r.self, wire.EndpointID{}, wire.AppendCommand(nil, &w.Command))
	if o == channel.NoEffect && (w.Command.Kind == wire.CommandPut || w.Command.Kind == wire.CommandClear) {
		r.s.fail("%s: a put or clear had no effect", r.s.name(r.self))
	}
}

func (r *replica) Rejected(sender wire.EntityID, err error) {
	r.s.note("reject", r.self, sender.Endpoint, []byte(err.Error()))
}

func (r *replica) Leaving(master wire.EntityID, why string) {
	r.s.note("leave", r.self, master.Endpoint, []byte(why))
}

// same returns how two contents differ.
func sameContents(got, want map[string]string) string {
	if maps.Equal(got, want) {
		return ""
	}
	for key, value := range want {
		if got[key] != value {
			return fmt.Sprintf("under %x is %x, not %x", key, got[key], value)
		}
	}
	for key, value := range got {
		if _, ok := want[key]; !ok {
			return fmt.Sprintf("under %x is %x, not nothing", key, value)
		}
	}
	return ""
}
