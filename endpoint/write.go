package endpoint

import (
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
)

// write sends what is queued until the peer ends. Control messages go first. It holds the write lock
// but while it waits, so that others know that there is something to wait behind.
func (p *peer) write() error {
	p.writing.Lock()
	defer p.writing.Unlock()
	p.ep.writers.Add(1)
	defer p.ep.writers.Add(-1)
	for {
		if err := p.writeControl(); err != nil {
			return err
		}
		runs, _ := p.queue.take() // after a BYE it is closed, and the peer's own BYE still wants an answer
		if len(runs) == 0 {
			p.ep.outbox.flush(p.queue)
			p.writing.Unlock()
			wrote := p.ep.now()
			p.ep.writers.Add(-1)
			select {
			case <-p.queue.wake:
			case <-p.stopped:
			}
			if p.ep.writers.Add(1) > crowd {
				p.gather(wrote)
			}
			p.writing.Lock()
			select {
			case <-p.stopped:
				return nil
			default:
			}
			continue
		}
		for i := range runs {
			if i > 0 {
				if err := p.writeControl(); err != nil {
					p.unsent(runs[i:], 0)
					return err
				}
			}
			if p.ep.taps.Load() != nil {
				p.ep.tapped(runs[i], &p.sent)
			}
			if n, err := p.writeRun(&runs[i]); err != nil {
				p.unsent(runs[i:], n)
				return err
			}
			p.framesOut.Add(uint64(runs[i].count))
			p.bytesOut.Add(uint64(runs[i].size()))
		}
	}
}

// writeRun writes the frames of a run and returns how many bytes went out.
func (p *peer) writeRun(r *run) (n int, err error) {
	n, err = p.conn.Write(r.bytes())
	if tail := r.seg.tail; err == nil && len(tail) > 0 {
		var more int
		more, err = p.conn.Write(tail)
		n += more
	}
	return n, err
}

// With more writers than crowd awake, cores are what is short. One that wrote less than gatherTime ago
// then waits so long, so that it writes many messages at a time and not a few: a write, and the read that
// it causes at the other end, cost as much as publishing fifty. Who writes now and then does not wait.
const (
	crowd      = 16
	gatherTime = time.Millisecond
)

// gather lets messages gather for a writer that has last written at a given time.
func (p *peer) gather(wrote int64) {
	if time.Duration(p.ep.now()-wrote) >= gatherTime {
		return
	}
	select {
	case <-time.After(gatherTime):
	case <-p.stopped:
	}
	p.ep.outbox.flush(p.queue)
}

// unsent counts what the writer had in hand when the connection ended, of which written bytes are gone
// out.
func (p *peer) unsent(runs []run, written int) {
	p.bytesOut.Add(uint64(written))
	for _, r := range runs {
		for ; r.count > 0 && !r.bye; r.skip(1) {
			if written -= frameLen(r.bytes()); written >= 0 {
				p.framesOut.Add(1)
			} else {
				p.drop(DropPeeringEnded, 1)
			}
		}
	}
}

// writeNow sends a control frame at once, from the caller's goroutine, if nothing waits to be sent and
// the socket takes it. It never blocks: if it returns false, the frame is to be put into the lane. A
// ping that wakes nobody is answered in half the time.
func (p *peer) writeNow(frame []byte) bool {
	if p.now == nil || p.ep.taps.Load() != nil || !p.writing.TryLock() {
		return false
	}
	defer p.writing.Unlock()
	if p.lane.waiting.Load() || p.queue.buffered() {
		return false
	}
	n := p.now.write(frame)
	if n == 0 {
		return false
	}
	p.bytesOut.Add(uint64(len(frame)))
	if n < len(frame) {
		p.rest = frame[n:]
		p.lane.waiting.Store(true)
		p.queue.signal()
	}
	return true
}

// writeControl sends what is in the control lane.
func (p *peer) writeControl() error {
	if !p.lane.waiting.Load() {
		return nil
	}
	if len(p.rest) > 0 {
		if _, err := p.conn.Write(p.rest); err != nil {
			return err
		}
		p.rest = nil
	}
	changed, frames := p.lane.take()
	if changed {
		update := wire.AppendRoutingUpdate(nil, p.ep.id, p.id, p.ep.filter())
		frames = append(update, frames...)
	}
	if len(frames) == 0 {
		return nil
	}
	if p.ep.taps.Load() != nil {
		p.ep.tapped(wholeRun(frames), &p.sent)
	}
	if _, err := p.conn.Write(frames); err != nil {
		return err
	}
	p.bytesOut.Add(uint64(len(frames)))
	return nil
}
