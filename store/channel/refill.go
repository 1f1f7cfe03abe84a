package channel

import (
	"bytes"
	"fmt"

	"github.com/zeekpeer/zeekpeer/wire"
)

// A refill brings a clone of Zeek to the true contents that misses events which are gone. Such a clone
// never recovers from retransmit_failed, and takes no second snapshot. But nothing says what an event
// must be that is sent again. So first all entries are put once more by ordinary events to everybody,
// which are true for the others, too. Then the clone gets, under the numbers that are gone, a clear and
// no-ops; and then it goes through all that comes after those, so it ends where the master is. However many
// clones there are, the entries are put once for all of them: after a restart they come together.
//
// Whatever of it is lost, and if the master dies over it: as long as the clone has not come to the end of
// those events it asks for more, and if they are gone by then all begins anew.
type refill struct {
	end  uint64 // the last number that is gone
	pass int    // the end of which it waits for: the first one that begins after it
}

// A pass puts all entries once more, some at each tick.
type pass struct {
	ended int    // how many have
	from  []byte // the key of the entry at which the present one goes on; nil: it has not begun
}

// answerGone answers a nack whose first number is gone.
func (m *Master) answerGone(p *path, seqs wire.SeqList) {
	if Native(p.entity) {
		m.retransmitFailed(p, seqs.At(0))
		return
	}
	r := m.refills[p.entity]
	if r == nil {
		if m.tooLarge() {
			m.host.Rejected(p.entity, fmt.Errorf("it misses event %d, which is gone, and the store is too large to repair it: restart that node", seqs.At(0)))
			m.retransmitFailed(p, seqs.At(0))
			return
		}
		r = &refill{end: m.events.events.first() - 1, pass: m.pass.ended + 1}
		if m.pass.from != nil {
			r.pass++
		}
		m.refills[p.entity] = r
	}
	if m.pass.ended < r.pass {
		return // it will ask again
	}
	seqs, clearAt := gone(seqs, r.end)
	for i := range min(seqs.Len(), maxResend) {
		c := wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandPutUniqueResult}, Publisher: m.self}
		if i == clearAt {
			c.Kind = wire.CommandClear
		}
		m.buf = wire.AppendCommandBody(m.buf[:0], &c)
		m.host.Send(p.entity.Endpoint, seqs.At(i), wire.EntityID{}, m.buf)
	}
}

// gone cuts a list of missing numbers behind end. Before clearAt the list has a hole: the clone has that
// event and will go through it, so to clear earlier is too early.
func gone(seqs wire.SeqList, end uint64) (list wire.SeqList, clearAt int) {
	n := 0
	for n < seqs.Len() && seqs.At(n) <= end {
		if n > 0 && seqs.At(n) != seqs.At(n-1)+1 {
			clearAt = n
		}
		n++
	}
	return seqs[:8*n], clearAt
}

// tooLarge tells whether the entries of the store are more than may be kept for a clone until it has
// them.
func (m *Master) tooLarge() bool {
	size := 0
	m.host.Entries(nil, func(key, value []byte) bool {
		size += len(key) + len(value) + earlyCost
		return size <= m.cfg.MaxBuffer/2
	})
	return size > m.cfg.MaxBuffer/2
}

// advanceRefills puts some more entries, if there are clones that wait for that.
func (m *Master) advanceRefills() {
	waits := false
	for _, p := range m.events.paths {
		r := m.refills[p.entity]
		switch {
		case r == nil:
		case p.acked >= r.end:
			delete(m.refills, p.entity)
		case m.pass.ended < r.pass:
			waits = true
		}
	}
	if waits {
		m.goOn(&m.pass)
	} else {
		m.pass.from = nil
	}
}

// goOn puts the next entries of a pass.
func (m *Master) goOn(p *pass) {
	from := p.from
	p.from = nil
	sent, size := 0, 0
	m.host.Entries(from, func(key, value []byte) bool {
		if sent == nackSlice || size > maxResendBytes/8 {
			p.from = bytes.Clone(key)
			return false
		}
		m.buf = wire.AppendCommandBody(m.buf[:0], &wire.Command{
			CommandHeader: wire.CommandHeader{Kind: wire.CommandPut}, Key: key, Value: value, Publisher: m.self,
		})
		m.host.Event(m.buf)
		sent++
		size += len(m.buf)
		return true
	})
	if p.from == nil {
		p.ended++
	}
}

func (m *Master) retransmitFailed(p *path, seq uint64) {
	m.sendTo(p.entity, &wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandRetransmitFailed}, Num: seq})
}
