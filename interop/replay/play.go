package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// Options say how a link is played.
type Options struct {
	// Speed is how much faster than recorded, 1 for just as fast. Zero is as fast as it goes.
	Speed float64
	// Times is how often all is sent, one time after the other over one peering; 0 until ctx ends.
	Times int
	// Rebatch joins the rows of a log into batches of so many, as a busy worker sends them. They wait for
	// others also from one time to the next. Zero leaves batches as they are.
	Rebatch int
	// As is the name under which the dialer says hello, instead of the recorded one.
	As string
	// Retry is how often a node that cannot be reached is dialed again; zero dials once.
	Retry time.Duration
	// Endpoint is what the node is made with besides, such as its security or its id.
	Endpoint []endpoint.Option
}

// A Count says how far one or more links have been played. It may be read while they are.
type Count struct {
	Peered   atomic.Int64 // links whose node has been reached
	Messages atomic.Uint64
	Rows     atomic.Uint64
	Bytes    atomic.Uint64 // of payloads
	Unrouted atomic.Uint64 // messages that were not sent: the node is not subscribed to their topics
}

// queueLimits let whoever sends wait for a node that is slow, so that nothing is dropped here.
var queueLimits = endpoint.QueueLimits{Policy: endpoint.Block, BlockTimeout: time.Minute}

// Errors of Play.
var (
	// ErrLost says that the peering ended before all was sent.
	ErrLost = errors.New("the peering ended before all was sent")
	// ErrUnreached says that the node could not be reached.
	ErrUnreached = errors.New("no peering")
)

// drainStep is how often is looked whether all is sent.
const drainStep = 2 * time.Millisecond

// closeTimeout bounds the leave-taking.
const closeTimeout = 10 * time.Second

// Play dials a node and sends it what the recorded dialer sent, in the same order: data, commands of
// stores, and changes of subscriptions. The ids of both ends are replaced by those of the live nodes
// wherever they stand, as are topics with the names of both, so that what went to the recorded logger goes
// to this one whatever its name. What the node is not subscribed to is not sent, as no node does. It waits
// while the node takes nothing, answers its pings, and returns when all is written to the connection and
// leave is taken.
func (l *Link) Play(ctx context.Context, addr string, o Options, count *Count) (err error) {
	if o.Speed < 0 || o.Times < 0 || o.Rebatch < 0 {
		return fmt.Errorf("speed %v, %d times, batches of %d: none may be negative", o.Speed, o.Times, o.Rebatch)
	}
	opts := append([]endpoint.Option{endpoint.WithID(wire.NewEndpointID())}, o.Endpoint...)
	ep, err := endpoint.New(append(opts, endpoint.WithPeerQueue(queueLimits))...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := &player{link: l, opts: o, ep: ep, count: count, pending: make(map[batchKey]*batch)}
	defer func() {
		closing, end := context.WithTimeout(context.Background(), closeTimeout)
		defer end()
		if closeErr := ep.Close(closing); err == nil && closeErr != nil {
			err = fmt.Errorf("leave-taking: %w", closeErr)
		}
		p.reading.Wait()
	}()
	p.rename = renamerFor(l, ep.ID(), wire.EndpointID{}, o.As, nil)
	if err := p.subscribe(l.Filter); err != nil {
		return err
	}
	watch, err := ep.Subscribe(nil, endpoint.WithStatus())
	if err != nil {
		return err
	}
	p.reading.Go(func() {
		for e := range watch.Events(context.Background()) {
			if s := e.Status; s != nil && s.Code == endpoint.PeerLost {
				cancel(fmt.Errorf("%w: %w", ErrLost, s.Err))
			}
		}
	})
	peering, err := ep.Peer(addr, endpoint.RetryEvery(o.Retry))
	if err != nil {
		return err
	}
	if p.to, err = peering.Wait(ctx); err != nil {
		reason := peering.Err()
		if ctx.Err() != nil && reason != nil {
			return fmt.Errorf("%w with %s: %w (%w)", ErrUnreached, addr, reason, context.Cause(ctx))
		}
		return fmt.Errorf("%w with %s: %w", ErrUnreached, addr, cmp.Or(reason, err))
	}
	count.Peered.Add(1)
	p.rename = renamerFor(l, ep.ID(), p.to, o.As, p.peerFilter())
	if err = p.play(ctx); err == nil {
		err = p.drain(ctx)
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// A player plays one link once.
type player struct {
	link    *Link
	opts    Options
	ep      *endpoint.Endpoint
	to      wire.EndpointID
	rename  *renamer
	count   *Count
	reading sync.WaitGroup
	sub     *endpoint.Subscription // what the dialer is subscribed to

	pending map[batchKey]*batch // of Rebatch
	order   []batchKey          // in which they began
}

// subscribe replaces what the dialer is subscribed to. What then comes is read and thrown away, as if
// somebody took it.
func (p *player) subscribe(filter []string) error {
	sub, err := p.ep.Subscribe(p.rename.filter(filter), endpoint.WithCommands(), endpoint.AllowBlockingStores())
	if err != nil {
		return fmt.Errorf("the recorded subscriptions: %w", err)
	}
	p.reading.Go(func() {
		for range sub.Messages(context.Background()) {
		}
	})
	if p.sub != nil {
		p.sub.Close()
	}
	p.sub = sub
	return nil
}

// peerFilter returns what the live listener is subscribed to.
func (p *player) peerFilter() []string {
	for _, info := range p.ep.Peers() {
		if info.ID == p.to {
			return info.Filter
		}
	}
	return nil
}

// play sends all, as often as wanted.
func (p *player) play(ctx context.Context) error {
	messages := make([]message, len(p.link.messages))
	for i, m := range p.link.messages {
		messages[i] = p.rename.message(m)
	}
	start := time.Now()
	for round := 0; p.opts.Times == 0 || round < p.opts.Times; round++ {
		for i := range messages {
			m := &messages[i]
			if err := p.pace(ctx, start, time.Duration(round)*p.link.span()+m.since); err != nil {
				return err
			}
			if err := p.send(ctx, m); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return p.flush(ctx)
}

// pace waits until a message is due.
func (p *player) pace(ctx context.Context, start time.Time, since time.Duration) error {
	if p.opts.Speed == 0 {
		return nil
	}
	wait := time.Duration(float64(since)/p.opts.Speed) - time.Since(start)
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *player) send(ctx context.Context, m *message) error {
	switch {
	case m.kind == wire.TypeRoutingUpdate:
		return p.subscribe(m.filter) // which renames what is renamed already, to the same
	case m.kind == wire.TypeCommand:
		return p.command(ctx, m)
	case p.opts.Rebatch > 0 && len(m.writes) > 0 && !m.direct:
		return p.rebatch(ctx, m)
	}
	return p.publish(ctx, m.topic, m.payload, m.direct, m.rows)
}

// publish sends one message.
func (p *player) publish(ctx context.Context, topic string, payload []byte, direct bool, rows int) (err error) {
	receivers := 0
	if direct {
		var queued bool
		if queued, err = p.ep.PublishTo(ctx, p.to, topic, payload); queued {
			receivers = 1
		}
	} else {
		receivers, err = p.ep.PublishPayload(ctx, topic, payload)
	}
	if err != nil {
		return err
	}
	p.counted(receivers, rows, len(payload))
	return nil
}

func (p *player) counted(receivers, rows, size int) {
	if receivers == 0 {
		p.count.Unrouted.Add(1)
		return
	}
	p.count.Messages.Add(1)
	p.count.Rows.Add(uint64(rows))
	p.count.Bytes.Add(uint64(size))
}

// command sends a command of a store. Those never wait for room themselves.
func (p *player) command(ctx context.Context, m *message) error {
	for {
		full := false
		for _, info := range p.ep.Peers() {
			full = full || info.Queued >= endpoint.DefaultQueueMessages/2 || info.QueuedBytes >= endpoint.DefaultQueueBytes/2
		}
		if !full {
			break
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
	if m.direct {
		queued, err := p.ep.PublishCommandTo(p.to, m.topic, m.payload, nil)
		if err != nil {
			return err
		}
		receivers := 0
		if queued {
			receivers = 1
		}
		p.counted(receivers, 0, len(m.payload))
		return nil
	}
	receivers, err := p.ep.PublishCommand(m.topic, m.payload)
	if err != nil {
		return err
	}
	p.counted(receivers, 0, len(m.payload))
	return nil
}

func pause(ctx context.Context) error {
	select {
	case <-time.After(drainStep):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// maxBatch bounds the bytes of a batch: a frame must hold it.
const maxBatch = 16 << 20

// A batchKey says which rows go together.
type batchKey struct{ topic, stream string }

// headRoom is what a batch keeps free in front of its rows for its head, whose length depends on how many
// they are.
const headRoom = 64

// A batch collects rows.
type batch struct {
	rows   []byte // behind headRoom bytes
	number int
}

// rebatch puts rows to others of their log.
func (p *player) rebatch(ctx context.Context, m *message) error {
	for i := range m.writes {
		w := &m.writes[i]
		key := batchKey{m.topic, w.stream}
		b := p.pending[key]
		if b == nil {
			b = &batch{rows: make([]byte, headRoom)}
			p.pending[key] = b
			p.order = append(p.order, key)
		}
		b.rows = append(b.rows, w.bytes...)
		if b.number++; b.number == p.opts.Rebatch || len(b.rows) > maxBatch {
			if err := p.release(ctx, key, b); err != nil {
				return err
			}
		}
	}
	return nil
}

// release sends a batch.
func (p *player) release(ctx context.Context, key batchKey, b *batch) error {
	if b.number == 0 {
		return nil
	}
	var room [headRoom]byte
	head := zeek.AppendBatchHead(room[:0], b.number)
	payload := b.rows[headRoom-len(head):]
	copy(payload, head)
	rows := b.number
	b.rows, b.number = b.rows[:headRoom], 0
	return p.publish(ctx, key.topic, payload, false, rows)
}

// flush sends the batches that are not full.
func (p *player) flush(ctx context.Context) error {
	for _, key := range p.order {
		if err := p.release(ctx, key, p.pending[key]); err != nil {
			return err
		}
	}
	return nil
}

// drain waits until all is written to the connection.
func (p *player) drain(ctx context.Context) error {
	for {
		queued := 0
		for _, info := range p.ep.Peers() {
			queued += info.Queued
		}
		if queued == 0 {
			return ctx.Err()
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}
