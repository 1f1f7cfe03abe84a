package endpoint

import "github.com/zeekpeer/zeekpeer/wire"

// write sends what is queued until the peer ends. Control messages go first.
func (p *peer) write() error {
	for {
		if err := p.writeControl(); err != nil {
			return err
		}
		runs, ok := p.queue.take()
		if len(runs) == 0 {
			if !ok {
				return nil
			}
			p.ep.outbox.flush(p.queue)
			select {
			case <-p.queue.wake:
			case <-p.stopped:
				return nil
			}
			continue
		}
		for i := range runs {
			if i > 0 {
				if err := p.writeControl(); err != nil {
					return err
				}
			}
			b := runs[i].bytes()
			if _, err := p.conn.Write(b); err != nil {
				return err
			}
			p.framesOut.Add(uint64(runs[i].count))
			p.bytesOut.Add(uint64(len(b)))
		}
	}
}

// writeControl sends what is in the control lane.
func (p *peer) writeControl() error {
	if !p.lane.waiting.Load() {
		return nil
	}
	changed, frames := p.lane.take()
	if changed {
		update := wire.AppendRoutingUpdate(nil, p.ep.id, p.id, p.ep.filter())
		frames = append(update, frames...)
	}
	if len(frames) == 0 {
		return nil
	}
	_, err := p.conn.Write(frames)
	p.bytesOut.Add(uint64(len(frames)))
	return err
}
