package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
)

var (
	errInterrupted = errors.New("interrupted before the peers were there")
	errNoPeer      = errors.New("no peer is left, and --retry 0 dials once")
)

// A node is an endpoint with the addresses of the command line.
type node struct {
	*endpoint.Endpoint
	flags    *nodeFlags
	stderr   io.Writer
	peerings []*endpoint.Peering
	watcher  *watcher

	security     security
	endReloading func()
	observers
}

// start makes the node, without connecting it yet. It tells of peers that come and of those that
// leave only if told to; of trouble always.
func (f *nodeFlags) start(stderr io.Writer, everyPeer bool, opts ...endpoint.Option) (*node, error) {
	id, level, err := f.check()
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	security, err := f.security.load()
	if err != nil {
		return nil, err
	}
	security.warn(log)
	opts = append(append(opts, security.options()...), endpoint.WithID(id), endpoint.WithRetry(f.retry), endpoint.WithLogger(log))
	e, err := endpoint.New(opts...)
	if err != nil {
		return nil, err
	}
	w, err := watch(e, stderr, f.retry, everyPeer)
	if err != nil {
		return nil, err
	}
	return &node{
		Endpoint: e, flags: f, stderr: stderr, watcher: w,
		security: security, endReloading: reloadOnHangup(e, &security, log),
	}, nil
}

// connect listens and dials.
func (n *node) connect(ctx context.Context) error {
	if err := n.observe(n.Endpoint, n.flags.observe, n.stderr); err != nil {
		return err
	}
	for _, addr := range n.flags.listen {
		at, err := n.Listen(ctx, addr)
		if err != nil {
			return fmt.Errorf("--listen %s: %v", addr, reason(err))
		}
		fmt.Fprintf(n.stderr, "listening on %v\n", at)
	}
	for _, addr := range n.flags.peers {
		p, err := n.Peer(addr)
		if err != nil {
			return err
		}
		n.peerings = append(n.peerings, p)
	}
	return nil
}

// limited returns the context in which the command works: until --for is over.
func (f *nodeFlags) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if f.duration > 0 {
		return context.WithTimeout(ctx, f.duration)
	}
	return context.WithCancel(ctx)
}

// whilePeers returns a context that ends with the cause errNoPeer when nobody can be a peer any more:
// all were dialed in vain or lost, and are not dialed again.
func (n *node) whilePeers(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, end := context.WithCancelCause(ctx)
	if len(n.flags.listen) > 0 {
		return ctx, end
	}
	go func() {
		for _, p := range n.peerings {
			select {
			case <-p.Done():
			case <-ctx.Done():
				return
			}
		}
		end(errNoPeer)
	}()
	return ctx, end
}

// work waits for the end of the work: until --for is over, ctx ends, or nobody can be a peer any more, which is an error.
func (n *node) work(ctx context.Context) error {
	ctx, cancel := n.flags.limited(ctx)
	defer cancel()
	working, done := n.whilePeers(ctx)
	defer done(nil)
	<-working.Done()
	if context.Cause(working) == errNoPeer {
		return errNoPeer
	}
	return nil
}

// waitForPeers waits for the peers that the flags ask for.
func (n *node) waitForPeers(ctx context.Context) error {
	waiting, cancel, limit := ctx, func() {}, n.flags.duration
	if t := n.flags.timeout; t > 0 && (limit == 0 || t < limit) {
		limit = t
		waiting, cancel = context.WithTimeout(ctx, t)
	}
	defer cancel()
	err := n.peered(waiting)
	if err == nil {
		return nil
	}
	have, want := len(n.Peers()), n.flags.waitPeers
	if want == 0 {
		want = max(len(n.peerings), 1)
	}
	switch {
	case errors.Is(waiting.Err(), context.DeadlineExceeded):
		return &codedError{code: exitTimeout, err: fmt.Errorf("%d of %d peers after %v", have, want, limit)}
	case ctx.Err() != nil && context.Cause(ctx) != errNoPeer:
		return errInterrupted
	}
	return fmt.Errorf("%d of %d peers, and --retry 0 dials once", have, want)
}

// peered waits for --wait-peers peers; without, for each --peer, or for one.
func (n *node) peered(ctx context.Context) error {
	if want := n.flags.waitPeers; want > 0 || len(n.peerings) == 0 {
		return n.WaitPeers(ctx, max(want, 1))
	}
	for _, p := range n.peerings {
		if _, err := p.Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

const (
	drainStep    = 5 * time.Millisecond // how often drain looks
	drainTimeout = 30 * time.Second     // how long peers may take nothing at all
	closeTimeout = 5 * time.Second      // how long a node takes to end
)

// drain waits until the peers have taken what is queued for them, or take nothing any more.
func (n *node) drain(ctx context.Context) {
	tick := time.NewTicker(drainStep)
	defer tick.Stop()
	last, since := uint64(0), time.Now()
	for ctx.Err() == nil && time.Since(since) < drainTimeout {
		queued, sent := 0, uint64(0)
		for _, p := range n.Peers() {
			queued += p.Queued
			sent += p.FramesOut
		}
		if queued == 0 {
			return
		}
		if sent != last {
			last, since = sent, time.Now()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// end closes the node, and returns how many messages were queued for peers that neither took them nor
// took leave.
func (n *node) end() (undelivered uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	n.endReloading()
	n.Close(ctx)
	n.unobserve()
	return n.watcher.wait()
}
