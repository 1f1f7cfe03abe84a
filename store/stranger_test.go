package store_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/store/channel"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

const (
	toMaster = "test/<$>/data/master"
	toClones = "test/<$>/data/clone"
)

// A stranger is a peer that says what it likes on the topics of a store, by hand.
type stranger struct {
	testing.TB
	ep     *endpoint.Endpoint
	topic  string        // that it speaks on
	entity wire.EntityID // that it says it is, if a command does not say another
	seq    uint64        // of its last action

	mu    sync.Mutex
	heard []wire.Command
}

// newStranger returns a stranger on its own host, that is peered with those on others.
func newStranger(t testing.TB, n *memNet, topic string, hosts ...string) *stranger {
	t.Helper()
	x := &stranger{TB: t, ep: n.node(t, "x"), topic: topic, seq: 1}
	x.entity = channel.NewEntity(x.ep.ID())
	serve(t, x.ep, "x")
	peered(t, x.ep, hosts...)
	return x
}

// listen keeps what comes on a topic from now on.
func (x *stranger) listen(topic string) {
	x.Helper()
	sub, err := x.ep.Subscribe([]string{topic}, endpoint.WithCommands())
	if err != nil {
		x.Fatal(err)
	}
	ctx, cancel := context.WithCancel(x.Context())
	var listening sync.WaitGroup
	listening.Go(func() {
		for m := range sub.Messages(ctx) {
			if c, err := wire.ParseCommand(bytes.Clone(m.Payload())); err == nil {
				x.mu.Lock()
				x.heard = append(x.heard, c)
				x.mu.Unlock()
			}
		}
	})
	x.Cleanup(func() {
		cancel()
		listening.Wait()
		sub.Close()
	})
	synctest.Wait()
}

// last returns the last command heard of a kind.
func (x *stranger) last(kind wire.CommandKind) (found wire.Command) {
	x.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, c := range x.heard {
		if c.Kind == kind {
			found = c
		}
	}
	if found.Sender.IsZero() {
		x.Fatalf("no %v was heard", kind)
	}
	return found
}

// raw sends a payload as it is.
func (x *stranger) raw(payload []byte) {
	x.Helper()
	if n, err := x.ep.PublishCommand(x.topic, payload); n != 1 || err != nil {
		x.Fatalf("sent to %d peers: %v", n, err)
	}
}

// say sends a command.
func (x *stranger) say(c wire.Command) {
	x.Helper()
	if c.Sender.IsZero() {
		c.Sender = x.entity
	}
	x.raw(wire.AppendCommand(nil, &c))
}

// control returns a command with a number.
func control(kind wire.CommandKind, num uint64) wire.Command {
	return wire.Command{CommandHeader: wire.CommandHeader{Kind: kind}, Num: num, Heartbeat: 5}
}

// nackOf returns a nack of n numbers from first on.
func nackOf(first uint64, n int) wire.Command {
	c := wire.Command{CommandHeader: wire.CommandHeader{Kind: wire.CommandNack}}
	for i := range n {
		c.Missing = wire.AppendSeq(c.Missing, first+uint64(i))
	}
	return c
}

// putOf returns a put with encoded key and value.
func putOf(seq uint64, key, value []byte) wire.Command {
	return wire.Command{CommandHeader: wire.CommandHeader{Seq: seq, Kind: wire.CommandPut}, Key: key, Value: value}
}

// act sends the next action.
func (x *stranger) act(c wire.Command) {
	x.Helper()
	x.seq++
	c.Seq = x.seq
	x.say(c)
}

// works puts something the right way, and fails the test if it does not get into the store.
func (x *stranger) works(after string, s *store.Store) {
	x.Helper()
	key := data.String(fmt.Sprintf("good after %s %d", after, x.seq))
	x.act(putOf(0, data.AppendValue(nil, key), data.AppendCount(nil, 1)))
	synctest.Wait()
	if ok, err := s.Exists(x.Context(), key); !ok || err != nil {
		x.Errorf("after %s a good write does not go through: %v; %+v", after, err, s.Status())
	}
}

// deep returns an encoded value that nests so deep.
func deep(levels int) []byte {
	return append(bytes.Repeat([]byte{byte(data.KindVector), 1}, levels), byte(data.KindNone))
}

// heap returns how many bytes are in use, as the collection that it makes finds.
func heap() int64 {
	runtime.GC()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	return int64(live[0].Value.Uint64())
}
