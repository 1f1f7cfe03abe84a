package store

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/store/channel"
	"github.com/zeekpeer/zeekpeer/wire"
)

// AttachClone makes the endpoint a clone of a store, whose master is at a peer, or will be. It looks for
// the master for ever, also when that was lost or replaced, and answers queries from its copy meanwhile,
// until the copy is stale. Operations wait for the master, too, for two minutes by default.
//
// The master must be a direct peer: others do not pass on what it answers. A clone at the endpoint of the
// master itself is of no use, and never becomes ready.
func AttachClone(ep *endpoint.Endpoint, name string, opts ...Option) (*Store, error) {
	speak, listen := topics(name)
	s, err := open(ep, name, Clone, listen, opts)
	if err != nil {
		return nil, err
	}
	if s.opts.backend != nil {
		s.discard()
		return nil, fmt.Errorf("store %q: a clone has no backend; its contents are the master's", name)
	}
	c := &clone{side: side{Store: s, topic: speak, table: new(table)}}
	s.replica = c
	c.channel = channel.NewClone(s.opts.channel(), channel.NewEntity(ep.ID()), func() wire.EntityID { return channel.NewEntity(ep.ID()) }, c)
	c.where.Store(new(string))
	c.tick(1)
	c.finish()
	s.updateStatus()
	s.start()
	return s, nil
}

// A clone follows the contents of a master.
type clone struct {
	side
	channel *channel.Clone
	where   atomic.Pointer[string] // what hint says
}

func (c *clone) peer(id wire.EndpointID, added bool) {
	if added {
		c.channel.PeerAdded(id)
	} else {
		c.channel.PeerLost(id)
	}
}

func (c *clone) receive(from wire.EndpointID, payload []byte) { c.channel.Receive(from, payload) }

func (c *clone) submit(p *Pending) { c.channel.Submit(&channel.Write{Command: p.cmd, Tag: p}) }

func (c *clone) tick(elapsed int) { c.channel.Tick(elapsed) }

// Send queues a command until the end of the batch.
func (c *clone) Send(to wire.EndpointID, seq uint64, sender, receiver wire.EntityID, event []byte) {
	c.out.add(to, seq, sender, receiver, event)
}

// Install replaces the contents.
func (c *clone) Install(master wire.EntityID, s wire.Snapshot) error {
	t, err := tableOf(s)
	if err != nil {
		return err
	}
	c.table, c.changed, c.renewed = t, true, true
	c.attaches++
	c.news = true
	c.opts.log.Info("attached", "store", c.name, "master", master, "entries", t.len(), "bytes", t.size())
	return nil
}

// Apply does what an event of the master says (STORE.md section 5.2). Expiries are for the master to see
// to.
func (c *clone) Apply(cmd *wire.Command) error {
	if cmd.Kind == wire.CommandPutUniqueResult {
		return nil
	}
	if cmd.Kind != wire.CommandClear {
		switch err := canonicalCommand(cmd); {
		case errors.Is(err, ErrNaNKey):
			c.Rejected(cmd.Sender, err) // Broker takes such a key, and never finds it again
			return nil
		case err != nil:
			return err
		}
	}
	watched := c.edit()
	switch cmd.Kind {
	case wire.CommandPut:
		old, existed := c.table.set(cmd.Key, cmd.Value, 0)
		if watched {
			c.changes = append(c.changes, setChange(cmd, &effect{value: cmd.Value, existed: existed, old: old.value}))
		}
	case wire.CommandErase, wire.CommandExpire:
		old, existed := c.table.erase(cmd.Key)
		if existed && watched {
			c.changes = append(c.changes, eraseChange(cmd, &effect{old: old.value}))
		}
	case wire.CommandClear:
		before := c.table.clear()
		if watched {
			c.changes = append(c.changes, change{Update: Update{Publisher: cmd.Publisher}, cleared: before})
		}
	}
	return nil
}

// Settled notes what became of an operation. It is told when its effect can be seen.
func (c *clone) Settled(w *channel.Write, o channel.Outcome) {
	s := settlement{p: w.Tag.(*Pending)}
	switch o {
	case channel.Applied:
		s.o = Applied
	case channel.NoEffect:
		s.o = NoEffectOrFailed
	case channel.Unsent:
		s.err = fmt.Errorf("%w: not sent to any master: %s", ErrNoSuchMaster, c.hint())
	default:
		s.err = fmt.Errorf("%w: %s", ErrOutcomeUnknown, c.hint())
	}
	c.settled = append(c.settled, s)
}

// Leaving notes that the clone gives up its place at the master.
func (c *clone) Leaving(master wire.EntityID, why string) {
	c.opts.log.Info("looking for the master anew", "store", c.name, "master", master, "why", why)
}

// finish makes what came of a batch visible to readers, and sends what it leads to.
func (c *clone) finish() {
	c.channel.Flush()
	c.publish()
	if c.news {
		c.updateStatus() // before somebody learns that there are contents
	}
	c.turnGate()
	c.send()
}

// silence returns how long nothing was heard of the master.
func (c *clone) silence() time.Duration {
	return time.Duration(c.channel.Silence()) * c.opts.tick
}

// turnGate opens the gate for readers when there are contents, and closes it when they are stale.
func (c *clone) turnGate() {
	readable := !c.channel.Master().IsZero() && c.silence() < c.opts.stale
	g := c.gate.Load()
	select {
	case <-g.open:
		if !readable {
			c.gate.Store(newGate())
			c.opts.log.Warn("the contents are stale", "store", c.name, "master", c.channel.Master(), "silent", c.silence())
		}
	default:
		if readable {
			close(g.open)
		}
	}
}

func (c *clone) idle() bool { return c.channel.Idle() }

func (c *clone) fill(s *Status) {
	s.Master, s.Silence, s.Waiting = c.channel.Master(), c.silence(), c.channel.Waiting()
	if next := c.channel.Next(); next > 0 {
		s.Seq = next - 1
	}
	s.Lag = c.channel.Behind()
	s.Attaches, s.Rejected = c.attaches, c.rejected
	hint := c.describe()
	c.where.Store(&hint)
}

func (c *clone) hint() string { return *c.where.Load() }

// describe says where the clone stands with its master.
func (c *clone) describe() string {
	master := c.channel.Master()
	switch {
	case c.channel.Attached() && c.silence() < 2*time.Second:
		return fmt.Sprintf("the master is %v", master)
	case !master.IsZero():
		return fmt.Sprintf("nothing was heard of the master %v for %v", master, c.silence().Round(time.Millisecond))
	case len(c.ep.Peers()) == 0:
		return "no master was found: there are no peers"
	case len(c.ep.Subscribers(c.topic)) == 0:
		return fmt.Sprintf("no master was found: none of the %d peers is subscribed to %s", len(c.ep.Peers()), c.topic)
	}
	return "no master was found: whoever is subscribed to " + c.topic + " does not answer"
}

// end says goodbye to the master, and ends what waits.
func (c *clone) end() {
	c.channel.Close()
	c.out.flush(c.ep, c.topic)
	for _, s := range c.settled {
		if s.err != nil {
			s.err = fmt.Errorf("%w: %w", ErrClosed, s.err)
		}
		s.p.settle(s.o, s.err)
	}
	c.settled = nil
}
