package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/clustertest"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// two returns a manager and a worker, which know each other.
func two(t *testing.T, opts ...cluster.Option) (manager, worker *cluster.Node) {
	t.Helper()
	b := newSwitchboard(t, 1, 1, 1, "")
	manager, worker = b.node(t, "manager", opts...), b.node(t, "worker-1", opts...)
	clustertest.Run(t, manager, worker)
	greeted(t, manager, "worker-1")
	greeted(t, worker, "manager")
	return manager, worker
}

func publish(t *testing.T, n *cluster.Node, topic, event string, args ...data.Value) {
	t.Helper()
	if receivers, err := n.Publish(clustertest.Limited(t), topic, event, args...); err != nil || receivers != 1 {
		t.Fatalf("%s on %s: %d receivers, %v", event, topic, receivers, err)
	}
}

const workers, managers = "zeek/cluster/worker", "zeek/cluster/manager"

// take returns the next value of a channel.
func take[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-clustertest.Limited(t).Done():
		t.Fatal("nothing comes")
	}
	panic("unreachable")
}

// TestHandlersInOrder: handlers are called one at a time, in the order in which events come.
func TestHandlersInOrder(t *testing.T) {
	manager, worker := two(t)
	const count = 2000
	var running atomic.Int32
	var got []uint64
	done := make(chan struct{})
	for _, event := range []string{"My::even", "My::odd"} {
		cluster.OnMessage(worker, event, func(_ context.Context, m cluster.Message, args struct{ I uint64 }) error {
			if running.Add(1) != 1 {
				t.Error("two handlers at a time")
			}
			defer running.Add(-1)
			if m.From != manager.ID() || m.Topic != workers {
				t.Errorf("%+v", m)
			}
			if got = append(got, args.I); len(got) == count {
				close(done)
			}
			return nil
		})
	}
	for i := range uint64(count) {
		publish(t, manager, workers, []string{"My::even", "My::odd"}[i%2], data.Count(i))
	}
	take(t, done)
	for i := range got {
		if got[i] != uint64(i) {
			t.Fatalf("event %d came as number %d", got[i], i)
		}
	}
}

// TestConcurrent: as many calls run at once as were asked for, beside the others.
func TestConcurrent(t *testing.T) {
	manager, worker := two(t)
	arrived, release, after := make(chan uint64), make(chan struct{}), make(chan struct{})
	cluster.On(worker, "My::slow", func(ctx context.Context, args struct{ I uint64 }) error {
		arrived <- args.I
		<-release
		return nil
	}, cluster.Concurrent(3))
	cluster.On(worker, "My::after", func(context.Context, struct{}) error { close(after); return nil })
	for i := range uint64(3) {
		publish(t, manager, workers, "My::slow", data.Count(i))
	}
	publish(t, manager, workers, "My::after")
	sum := uint64(0)
	for range 3 {
		sum += take(t, arrived) // all three are there, and none has ended
	}
	take(t, after)
	if sum != 3 {
		t.Errorf("sum %d", sum)
	}
	close(release)
}

// TestHandlersThatFail: errors, panics and arguments that do not suit are counted and logged; the node goes on.
func TestHandlersThatFail(t *testing.T) {
	var log clustertest.Log
	manager, worker := two(t, cluster.WithLogger(log.Logger()))
	type args struct{ Text string }
	cluster.On(worker, "My::error", func(context.Context, args) error { return errors.New("no such luck") })
	cluster.On(worker, "My::panic", func(context.Context, args) error { panic("at the disco") })
	cluster.On(worker, "My::panic", func(context.Context, args) error { panic("once more") }, cluster.Concurrent(2))
	all := make(chan zeek.Event, 1)
	worker.OnEvent("My::any", func(_ context.Context, _ cluster.Message, e zeek.Event) error { all <- e; return nil })
	for _, c := range []struct {
		event string
		args  []data.Value
		want  string
	}{
		{"My::error", []data.Value{data.String("x")}, "no such luck"},
		{"My::panic", []data.Value{data.String("x")}, "at the disco"},
		{"My::panic", []data.Value{data.String("x")}, "once more"},
		{"My::error", []data.Value{data.Count(1)}, "got count, want string"},
		{"My::error", nil, "My::error"},
	} {
		publish(t, manager, workers, c.event, c.args...)
		log.Await(t, c.want)
	}
	publish(t, manager, workers, "My::any", data.Count(1), data.String("2"))
	if e := take(t, all); e.Name != "My::any" || len(e.Args) != 2 {
		t.Errorf("%+v", e)
	}
	clustertest.Until(t, "7 failures", func() bool { return worker.Status().Failed == 7 })
	if s := worker.Status(); s.Malformed != 0 {
		t.Errorf("%+v", s)
	}
}

// TestUnhandled: what nobody handles is counted by name, and told of once.
func TestUnhandled(t *testing.T) {
	var log clustertest.Log
	manager, worker := two(t, cluster.WithLogger(log.Logger()))
	done := make(chan struct{})
	off := cluster.On(worker, "My::handled", func(context.Context, struct{}) error { close(done); return nil })
	publish(t, manager, workers, "My::handled")
	take(t, done)
	off()
	for range 3 {
		publish(t, manager, workers, "My::handled")
	}
	for i := range 1100 {
		publish(t, manager, workers, fmt.Sprintf("My::e%d", i))
	}
	publish(t, manager, workers, strings.Repeat("x", 1000))
	update := zeek.IdentifierUpdate{ID: "Intel::min_data_store", Value: data.Count(1)}.AppendMessage(nil)
	if _, err := manager.Endpoint().PublishPayload(clustertest.Limited(t), workers, update); err != nil {
		t.Fatal(err)
	}
	if _, err := manager.Endpoint().PublishPayload(clustertest.Limited(t), workers, data.AppendValue(nil, data.Count(1))); err != nil {
		t.Fatal(err)
	}
	clustertest.Until(t, "the last message", func() bool { return worker.Status().Malformed == 1 })
	counts := worker.Unhandled()
	if counts["My::handled"] != 3 || counts["My::e0"] != 1 || len(counts) != 1025 || counts["(other events)"] != 1100+1+1+1-1024 {
		t.Errorf("%d names, handled %d, other %d", len(counts), counts["My::handled"], counts["(other events)"])
	}
	if n := log.Count("event=My::handled"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// TestBatchOfEvents: events come in batches, too, nested even.
func TestBatchOfEvents(t *testing.T) {
	manager, worker := two(t)
	got := make(chan uint64, 10)
	cluster.On(worker, "My::event", func(_ context.Context, args struct{ I uint64 }) error { got <- args.I; return nil })
	event := func(i uint64) zeek.Event { return zeek.Event{Name: "My::event", Args: []data.Value{data.Count(i)}} }
	batch := zeek.Batch{event(1), zeek.Batch{event(2)}, event(3)}.AppendMessage(nil)
	if _, err := manager.Endpoint().PublishPayload(clustertest.Limited(t), workers, batch); err != nil {
		t.Fatal(err)
	}
	for want := range uint64(3) {
		if i := take(t, got); i != want+1 {
			t.Errorf("event %d, want %d", i, want+1)
		}
	}
}

type question struct {
	Number uint64
	Topic  string
}

type answer struct{ Number, Square uint64 }

// answers makes a node answer questions, and ask back before if told to.
func answers(n *cluster.Node) {
	cluster.On(n, "My::question", func(ctx context.Context, q question) error {
		_, err := n.Publish(ctx, q.Topic, "My::answer", data.Count(q.Number), data.Count(q.Number*q.Number))
		return err
	})
}

func ask(ctx context.Context, n *cluster.Node, topic string, number uint64) (answer, error) {
	args := []data.Value{data.Count(number), data.String(n.NodeTopic(n.Name()))}
	return cluster.Ask(ctx, n, topic, "My::question", args, "My::answer", func(a answer) bool { return a.Number == number })
}

// TestAsk: answers find who asked, also if many ask at once.
func TestAsk(t *testing.T) {
	manager, worker := two(t)
	answers(worker)
	errs := make(chan error)
	for i := range uint64(50) {
		go func() {
			a, err := ask(clustertest.Limited(t), manager, workers, i)
			if err == nil && a.Square != i*i {
				err = fmt.Errorf("%d squared is %d", i, a.Square)
			}
			errs <- err
		}()
	}
	for range 50 {
		if err := take(t, errs); err != nil {
			t.Error(err)
		}
	}
	if _, err := ask(clustertest.Limited(t), manager, "/nowhere", 1); err == nil || !strings.Contains(err.Error(), "no peer listens on /nowhere") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(clustertest.Limited(t))
	asked := make(chan struct{})
	cluster.On(worker, "My::silence", func(context.Context, struct{}) error { close(asked); return nil })
	go func() {
		<-asked
		cancel()
	}()
	_, err := cluster.Ask(ctx, manager, workers, "My::silence", nil, "My::answer", func(answer) bool { return true })
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "no My::answer answered it") {
		t.Error(err)
	}
	if u := manager.Unhandled(); len(u) != 0 {
		t.Errorf("unhandled: %v", u)
	}
}

// TestAskInHandler: a handler may ask, although handlers are called one at a time.
func TestAskInHandler(t *testing.T) {
	manager, worker := two(t)
	answers(worker)
	result := make(chan error, 1)
	cluster.On(manager, "My::go", func(ctx context.Context, _ struct{}) error {
		a, err := ask(ctx, manager, workers, 7)
		if err == nil && a.Square != 49 {
			err = fmt.Errorf("7 squared is %d", a.Square)
		}
		result <- err
		return nil
	})
	publish(t, worker, managers, "My::go")
	if err := take(t, result); err != nil {
		t.Error(err)
	}
}

// TestHandlerRegisters: a handler may register others while the queue is full and a node has come.
func TestHandlerRegisters(t *testing.T) {
	manager, _ := two(t, cluster.WithHandlerQueue(1))
	manager.OnMember(func(bool, string, string) {})
	running, release, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	cluster.On(manager, "My::register", func(context.Context, struct{}) error {
		close(running)
		<-release
		cluster.On(manager, "My::other", func(context.Context, struct{}) error { return nil })()
		close(done)
		return nil
	})
	cluster.On(manager, "My::fill", func(context.Context, struct{}) error { return nil })
	s := stranger(t, manager)
	mine := manager.NodeIDTopic(manager.ID())
	say(t, s, mine, "My::register")
	take(t, running)
	say(t, s, mine, "My::fill")
	say(t, s, mine, "Cluster::hello", data.String("proxy-1"), data.String(s.ID().String()))
	greeted(t, manager, "proxy-1")
	close(release)
	take(t, done)
}

// TestLargeEventsWait: of large events fewer wait for handlers, and all are handled.
func TestLargeEventsWait(t *testing.T) {
	manager, worker := two(t)
	const count, size = 96, 1 << 20
	release, done := make(chan struct{}), make(chan struct{})
	next := uint64(0)
	cluster.On(worker, "My::large", func(_ context.Context, args struct {
		I    uint64
		Text string
	}) error {
		<-release
		if args.I != next || len(args.Text) != size {
			t.Errorf("event %d with %d bytes, want event %d", args.I, len(args.Text), next)
		}
		if next++; next == count {
			close(done)
		}
		return nil
	})
	text, before := data.String(strings.Repeat("x", size)), worker.Status().Events
	for i := range uint64(count) {
		publish(t, manager, workers, "My::large", data.Count(i), text)
		if i < 64 { // what waits is no more than the queues between the nodes have room for
			clustertest.Until(t, "the event", func() bool { return worker.Status().Events > before+i })
		}
	}
	if n := worker.Status().Events - before; n > 66 { // one is handled, 63 wait with their heads, one waits to wait
		t.Errorf("%d events were taken", n)
	}
	close(release)
	take(t, done)
}
