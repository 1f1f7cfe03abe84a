package channel

import (
	"cmp"
	"slices"

	"github.com/zeekpeer/zeekpeer/wire"
)

// A writerSide is the producer of a clone's writes. Its entity and its numbers last as long as the
// clone, whatever becomes of masters, so that every master can tell what it has executed. It speaks to
// the endpoint of its master alone: of two masters that are peers both would execute what it says to all
// (STORE.md section 1.5).
type writerSide struct {
	clone  *Clone
	entity wire.EntityID
	seq    uint64 // of the newest write that was sent
	offset uint64 // at which the writer is attached to the present master

	under     []*Write // sent and not acknowledged, in order: Command.Seq counts up by one
	passed    int      // so many of them the events have gone past already
	dealt     []*Write // acknowledged, in order, but the events that tell of them are still to come
	stalled   []*Write // not sent yet
	attached  bool     // attach_writer was sent to the present master, since that became a peer
	confirmed bool     // and answered
	unheard   int      // keepalives since an answer
	doubtful  bool     // nothing is sent until all that was sent is done with
	sentAt    int      // the tick at which something was last sent
}

func (w *writerSide) idle() bool   { return w.waiting() == 0 }
func (w *writerSide) waiting() int { return len(w.under) + len(w.dealt) + len(w.stalled) }

func (w *writerSide) submit(write *Write) {
	write.since = w.clone.tick
	w.stalled = append(w.stalled, write)
}

// window is how many writes may be under way.
func (w *writerSide) window() int {
	if Native(w.clone.master) {
		return w.clone.cfg.Window
	}
	return w.clone.cfg.WindowForeign
}

// pump sends stalled writes as far as the window allows.
func (w *writerSide) pump() {
	w.doubtful = w.doubtful && len(w.under)+len(w.dealt) > 0
	if !w.clone.attached || !w.clone.present || w.clone.held || w.doubtful || len(w.stalled) == 0 {
		return
	}
	// What the events have gone past is not under way any more. It is kept until it is acknowledged.
	n := min(len(w.stalled), w.window()-(len(w.under)-w.passed), maxUnder-len(w.under))
	if n <= 0 {
		return
	}
	if !w.attached {
		w.sendAttach()
	}
	for _, write := range w.stalled[:n] {
		w.seq++
		w.number(write, w.seq)
		write.until, write.vague = 0, false
		w.send(write)
	}
	w.under = append(w.under, w.stalled[:n]...)
	w.stalled = dropFirst(w.stalled, n)
}

// maxUnder bounds the writes that are kept until they are acknowledged, which masters of Zeek do twice a
// second.
const maxUnder = 1 << 16

// dropFirst removes the first n writes, so that they can be collected.
func dropFirst(writes []*Write, n int) []*Write {
	clear(writes[:n])
	if writes = writes[n:]; len(writes) == 0 {
		return nil
	}
	return writes
}

// number gives a write its number, by which a put_unique is also recognised in its answer.
func (w *writerSide) number(write *Write, seq uint64) {
	c := &write.Command
	c.Seq, c.Publisher = seq, w.entity
	if c.Kind == wire.CommandPutUnique {
		c.Who, c.RequestID = w.entity, seq
	}
}

func (w *writerSide) send(write *Write) {
	w.sentAt = w.clone.tick
	w.clone.send(w.clone.master.Endpoint, write.Command.Seq, w.entity, w.clone.master, &write.Command)
}

// sendAttach tells the master where the writes begin that it may be sent.
func (w *writerSide) sendAttach() {
	w.attached = true
	w.sentAt = w.clone.tick
	w.clone.send(w.clone.master.Endpoint, 0, w.entity, w.clone.master, &wire.Command{
		CommandHeader: wire.CommandHeader{Kind: wire.CommandAttachWriter}, Num: w.offset, Heartbeat: uint16(w.clone.cfg.Heartbeat),
	})
}

func (w *writerSide) keepalive() {
	w.sentAt = w.clone.tick
	w.unheard++
	w.clone.send(w.clone.master.Endpoint, 0, w.entity, wire.EntityID{}, &wire.Command{
		CommandHeader: wire.CommandHeader{Kind: wire.CommandKeepalive}, Num: w.seq,
	})
}

// suspend notes that the master is out of reach.
func (w *writerSide) suspend() { w.attached, w.confirmed, w.unheard = false, false, 0 }

// resume goes on at a master that was out of reach.
func (w *writerSide) resume() {
	w.suspend()
	if len(w.under) > 0 {
		w.sendAttach()
		w.keepalive()
	}
}

// turn turns to the master whose contents the clone has got now: those hold the effects of writes whose
// events will not come any more. If it is another master than before, it knows nothing of this writer:
// what can be repeated is sent to it under new numbers, and of the rest nobody can tell what became of
// it.
func (w *writerSide) turn(previous wire.EntityID) {
	w.passDealt(len(w.dealt), Unknown)
	if w.clone.master == previous {
		w.doubt()
		return
	}
	w.suspend()
	w.offset, w.doubtful = w.seq, false
	var again []*Write
	for _, write := range w.under {
		if write.repeatable() && !write.settled {
			again = append(again, write)
		} else {
			w.report(write, Unknown)
		}
	}
	w.under, w.passed = nil, 0
	w.stalled = append(again, w.stalled...)
}

// doubt notes that events may come that tell of no write, or none may come of writes that have their
// effect. Masters of ours number what they answer. Of the writes under way at any other nobody can tell
// what an event says, and no more are sent until all of them are done with.
func (w *writerSide) doubt() {
	if Native(w.clone.master) || len(w.under) == 0 {
		return
	}
	w.doubtful = true
	for ; w.passed < len(w.under); w.passed++ {
		if write := w.under[w.passed]; !write.sure() {
			w.report(write, Unknown)
		}
	}
}

// report tells the outcome of a write, once.
func (w *writerSide) report(write *Write, o Outcome) {
	if !write.settled {
		write.settled = true
		w.clone.host.Settled(write, o)
	}
}

// acknowledged notes that the master has dealt with the writes up to seq. The events that it had sent
// until then are those up to event, if that is not 0.
func (w *writerSide) acknowledged(master wire.EntityID, seq, event uint64) {
	if master != w.clone.master || seq < w.offset || seq > w.seq {
		return
	}
	w.confirmed, w.unheard = true, 0
	w.offset = seq
	n := 0
	for ; n < len(w.under) && w.under[n].Command.Seq <= seq; n++ {
		write := w.under[n]
		if write.sure() {
			w.report(write, Applied)
		}
		if n >= w.passed || w.doubtful {
			// The event that tells of it is waited for all the same, so that it is not taken for another's.
			if event != 0 {
				write.until = event + 1
			}
			w.dealt = append(w.dealt, write)
		}
	}
	w.under = dropFirst(w.under, n)
	w.passed = max(w.passed-n, 0)
	w.settle()
}

// pass settles a write that the master has dealt with and of which no event told, though the events have
// come to where one would have.
func (w *writerSide) pass(write *Write, o Outcome) {
	switch {
	case write.sure():
		o = Applied
	case write.vague || write.Command.Kind == wire.CommandPutUnique || Native(w.clone.master):
		o = Unknown // of the last two there is an answer, which was missed
	}
	w.report(write, o)
}

// upTo notes that the master has said how far its events are, after everything it had said before. Of a
// master that does not say so when it acknowledges writes, this is how to know that no event is missing
// which tells of them.
func (w *writerSide) upTo(next uint64) {
	for i := len(w.dealt) - 1; i >= 0 && w.dealt[i].until == 0; i-- {
		w.dealt[i].until = next
	}
}

// settle ends the waiting for events that would have come by now.
func (w *writerSide) settle() {
	n := 0
	for n < len(w.dealt) && w.dealt[n].until != 0 && w.clone.stream.next >= w.dealt[n].until {
		n++
	}
	w.passDealt(n, NoEffect)
}

// passDealt ends the waiting for the events of the first n writes that are acknowledged.
func (w *writerSide) passDealt(n int, o Outcome) {
	for _, write := range w.dealt[:n] {
		w.pass(write, o)
	}
	w.dealt = dropFirst(w.dealt, n)
}

// passUnder notes that the events have come to the n-th write under way. It stays there until it is
// acknowledged, for what the events say may have been taken for what they do not.
func (w *writerSide) passUnder(n int) {
	w.passDealt(len(w.dealt), NoEffect)
	for ; w.passed < n; w.passed++ {
		w.pass(w.under[w.passed], NoEffect)
	}
}

// observe looks whether an event tells of a write. The events come in the order of the writes, so those
// before it had no effect.
func (w *writerSide) observe(c *wire.Command) {
	if c.Kind == wire.CommandPutUniqueResult {
		if c.Who == w.entity {
			w.answered(c)
		}
		return
	}
	if c.Publisher != w.entity || w.doubtful {
		return
	}
	if Native(w.clone.master) {
		if answers := c.Receiver; answers.Endpoint == w.entity.Endpoint {
			w.told(answers.Object, Applied)
		}
		return
	}
	var first *Write
	for write := range w.awaiting {
		switch {
		case !write.matches(c):
			continue
		case first == nil:
			first = write
		default:
			write.vague = true
		}
		if first.sure() {
			break
		}
	}
	if first != nil {
		w.told(first.Command.Seq, Applied)
	}
}

// awaiting calls yield for the writes of which events may still tell, in order.
func (w *writerSide) awaiting(yield func(*Write) bool) {
	for _, writes := range [...][]*Write{w.dealt, w.under[w.passed:]} {
		for _, write := range writes {
			if !yield(write) {
				return
			}
		}
	}
}

// answered settles a write by the answer that carries its number: that of a put_unique, or of a master
// of ours, which answers so whatever had no effect.
func (w *writerSide) answered(c *wire.Command) {
	if c.Inserted {
		w.told(c.RequestID, Applied)
	} else {
		w.told(c.RequestID, NoEffect)
	}
}

// told settles a write, and those before it.
func (w *writerSide) told(seq uint64, o Outcome) {
	if i, found := findWrite(w.dealt, seq); found {
		w.report(w.dealt[i], o)
		w.passDealt(i+1, NoEffect)
	} else if i, found := findWrite(w.under, seq); found {
		w.report(w.under[i], o)
		w.passUnder(i + 1)
	}
}

func findWrite(writes []*Write, seq uint64) (i int, found bool) {
	return slices.BinarySearchFunc(writes, seq, func(write *Write, seq uint64) int {
		return cmp.Compare(write.Command.Seq, seq)
	})
}

// nack answers a master that misses writes.
func (w *writerSide) nack(master wire.EntityID, seqs wire.SeqList) {
	if master != w.clone.master || w.clone.held {
		return
	}
	w.unheard = 0
	size := 0
	for i := range min(seqs.Len(), maxResend) {
		seq := seqs.At(i)
		switch {
		case seq > w.seq || size > maxResendBytes:
			return
		case len(w.under) > 0 && seq >= w.under[0].Command.Seq:
			write := w.under[seq-w.under[0].Command.Seq]
			if !write.dead {
				size += len(write.Command.Key) + len(write.Command.Value)
				w.send(write)
				continue
			}
			fallthrough
		default:
			w.clone.send(w.clone.master.Endpoint, 0, w.entity, w.clone.master, &wire.Command{
				CommandHeader: wire.CommandHeader{Kind: wire.CommandRetransmitFailed}, Num: seq,
			})
		}
	}
}

// maxUnheard is how many keepalives may remain unanswered by a living master before it is told once
// more where the writes begin: it may have forgotten the writer.
const maxUnheard = 3

// advance lets ticks pass: it tells a master that has not confirmed everything how far the writes are,
// and gives up what has waited too long.
func (w *writerSide) advance() {
	c := w.clone
	if c.attached && c.present && !c.held && len(w.under) > 0 && c.tick-w.sentAt >= c.cfg.Heartbeat {
		if !w.confirmed || w.unheard >= maxUnheard {
			w.unheard = 0
			w.sendAttach()
		}
		w.keepalive()
	}
	w.expire()
	w.settle()
	w.pump()
}

// expire gives up writes that have waited too long for a master.
func (w *writerSide) expire() {
	oldest := w.clone.tick - w.clone.cfg.WriteTimeout
	for _, write := range w.under {
		if write.since >= oldest {
			break
		}
		if !write.settled {
			write.dead = true
			w.report(write, Unknown)
			w.doubt()
		}
	}
	for _, write := range w.dealt {
		if write.since >= oldest {
			break
		}
		w.report(write, Unknown) // its event is waited for all the same
	}
	n := 0
	for ; n < len(w.stalled) && w.stalled[n].since < oldest; n++ {
		w.giveUp(w.stalled[n])
	}
	w.stalled = dropFirst(w.stalled, n)
}

// giveUp settles a write that waits to be sent.
func (w *writerSide) giveUp(write *Write) {
	if write.Command.Seq != 0 {
		w.report(write, Unknown) // it was sent to a former master
	} else {
		w.report(write, Unsent)
	}
}

// close says goodbye, and gives up what has no outcome.
func (w *writerSide) close() {
	c := w.clone
	if w.attached && c.present && Native(c.master) {
		c.goodbye(w.entity)
	}
	w.passDealt(len(w.dealt), Unknown)
	for _, write := range w.under {
		w.report(write, Unknown)
	}
	for _, write := range w.stalled {
		w.giveUp(write)
	}
	w.under, w.passed, w.stalled = nil, 0, nil
}
