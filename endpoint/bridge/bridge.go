package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/endpoint/websocket"
	"github.com/zeekpeer/zeekpeer/topic"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// How bridges tell each other that they are there: by an event on a native topic of their own and, if
// messages seem to go round in a circle, under each prefix to which they bring messages, so that it
// takes the way that those take.
const (
	beaconTopic    = "zeekpeer/bridge/" // and beaconMark
	beaconMark     = "zeekpeer-bridge-" // and the id
	beaconEvent    = "zeekpeer::bridge"
	beaconInterval = 5 * time.Second
	beaconsMissed  = 3 // until a bridge is taken to be gone
)

// DefaultWindow is longer than any loop should take, and not so long that much would be taken for one.
const DefaultWindow = 5 * time.Second

// keepPayload is how large a buffer may be that is used again.
const keepPayload = 1 << 20

// leaveTimeout bounds how long a bridge that ends sends to the WebSocket side what it has accepted.
const leaveTimeout = 3 * time.Second

// Config says what crosses a bridge, and how. The zero Config is for Zeek's cluster topics.
type Config struct {
	// ToWebSocket and ToNative are what crosses. If both are nil it is [ClusterTopics], both ways. The
	// longest From that fits counts.
	ToWebSocket, ToNative []Map
	// Window is how long the loop guard remembers; [DefaultWindow] if zero.
	Window time.Duration
	// Queue bounds the native messages that wait. By default these are 8192 messages or 64 MiB, and the
	// oldest is dropped. As many wait in the client: see [websocket.WithClientQueues].
	Queue endpoint.QueueLimits
	// Client are options of the WebSocket client, such as its token.
	Client []websocket.ClientOption
	// AllowBlockingStores allows native topics that keep peers from creating stores.
	AllowBlockingStores bool
	// Status is told of what happens to the WebSocket connection. It must not wait.
	Status func(websocket.Status)
	// Logger is told of loops and of other bridges. By default nothing is logged.
	Logger *slog.Logger
}

// A Bridge connects an endpoint with the WebSocket API of a node.
type Bridge struct {
	ep    *endpoint.Endpoint
	url   string
	cfg   Config
	id    wire.EndpointID // of the bridge, for others
	start time.Time
	guard *guard
	maps  [2]*mapper // by the side to which they lead

	running    atomic.Bool
	ended      atomic.Bool
	connection atomic.Pointer[connection]
	counters   [2]counters // by the side to which messages went
	rejected   atomic.Uint64
}

// connection is what a bridge runs on.
type connection struct {
	sub     *endpoint.Subscription
	client  *websocket.Client
	payload []byte // of the message from the WebSocket side that is in hand
}

// New returns a bridge between the network of ep and the server at url, such as
// "ws://127.0.0.1:27759". It does nothing before it is run.
func New(ep *endpoint.Endpoint, url string, cfg Config) (*Bridge, error) {
	if cfg.ToWebSocket == nil && cfg.ToNative == nil {
		cfg.ToWebSocket, cfg.ToNative = []Map{ClusterTopics()}, []Map{ClusterTopics().Reverse()}
	}
	if cfg.Window == 0 {
		cfg.Window = DefaultWindow
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Status == nil {
		cfg.Status = func(websocket.Status) {}
	}
	b := &Bridge{ep: ep, url: url, cfg: cfg, id: wire.NewEndpointID(), start: time.Now(), guard: newGuard(cfg.Window)}
	var outErr, inErr, err error
	b.maps[webSocket], outErr = newMapper(cfg.ToWebSocket)
	b.maps[native], inErr = newMapper(cfg.ToNative)
	if len(cfg.ToWebSocket)+len(cfg.ToNative) == 0 {
		err = errors.New("nothing would cross: give a map for one direction at least")
	}
	if cfg.Window < 0 {
		err = errors.Join(err, fmt.Errorf("loop guard window %v: want more than zero", cfg.Window))
	}
	for _, m := range cfg.ToWebSocket {
		if !cfg.AllowBlockingStores && topic.BlocksStores(m.From) {
			err = errors.Join(err, &endpoint.BlocksStoresError{Topic: m.From})
		}
	}
	if err = errors.Join(outErr, inErr, err); err != nil {
		return nil, err
	}
	return b, nil
}

// Run bridges until ctx ends, and then returns nil, or until the endpoint is closed. It connects to
// the WebSocket side as often as it takes; peering is the business of the endpoint. It can be called
// once.
func (b *Bridge) Run(ctx context.Context) error {
	if !b.running.CompareAndSwap(false, true) {
		return errors.New("a bridge can run once")
	}
	opts := []endpoint.SubscribeOption{endpoint.WithLoopback(), endpoint.WithStatus(), endpoint.WithQueue(b.cfg.Queue)}
	if b.cfg.AllowBlockingStores {
		opts = append(opts, endpoint.AllowBlockingStores())
	}
	sub, err := b.ep.Subscribe(append(b.maps[webSocket].prefixes(), beaconTopic), opts...)
	if err != nil {
		return err
	}
	defer sub.Close()
	client, err := websocket.Dial(ctx, b.url, b.maps[native].prefixes(), append([]websocket.ClientOption{websocket.InBackground()}, b.cfg.Client...)...)
	if err != nil {
		return err
	}
	c := &connection{sub: sub, client: client}
	b.connection.Store(c)

	working, stop := context.WithCancel(ctx)
	defer stop()
	// What has come before the end still crosses, as far as grace allows.
	grace, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(working, func() { time.AfterFunc(leaveTimeout, cancel) })()
	var tasks sync.WaitGroup
	tasks.Go(func() { b.beacons(working, c) })
	tasks.Go(func() {
		defer stop() // the endpoint is closed, if not told to stop
		for e := range sub.Events(working) {
			b.fromNative(grace, c, e)
		}
	})
	tasks.Go(func() {
		for e := range client.Events(working) {
			b.fromWebSocket(grace, c, e)
		}
	})
	tasks.Wait()
	if left := sub.Stats().Queued; sub.Buffered() {
		for e := range sub.Events(context.WithoutCancel(ctx)) {
			b.fromNative(grace, c, e)
			if left--; left <= 0 || !sub.Buffered() {
				break
			}
		}
	}
	client.Close(grace)
	for e := range client.Events(context.WithoutCancel(ctx)) {
		b.fromWebSocket(grace, c, e)
	}
	b.ended.Store(true)
	if ctx.Err() != nil {
		return nil
	}
	return sub.Err()
}

// now returns the time for the guard.
func (b *Bridge) now() time.Duration { return time.Since(b.start) }

// fromNative takes what has happened on the native side.
func (b *Bridge) fromNative(ctx context.Context, c *connection, e endpoint.Event) {
	if e.Status != nil {
		if e.Status.Code == endpoint.PeerAdded {
			b.beacon(ctx, c)
		}
		return
	}
	m, count := e.Message, &b.counters[webSocket]
	if id, ok := b.maps[webSocket].beacon(m.Topic()); ok {
		b.heard(ctx, c, id, m)
		return
	}
	if m.Direct() {
		count.drop(DropUnmapped)
		return
	}
	err := data.Validate(m.Payload())
	if err == nil {
		name, ok, sign := b.pass(webSocket, m.Topic(), m.Payload())
		if sign {
			b.beacon(ctx, c)
		}
		if !ok {
			return
		}
		err = c.client.PublishPayload(ctx, name, m.Payload()) // no value after all if a set has duplicates
	}
	switch {
	case err == nil: // and counted by the client when it is sent
	case ctx.Err() != nil:
		count.drop(DropEnded)
	default:
		if count.drop(DropInvalid) {
			b.cfg.Logger.Warn("message not sent to the WebSocket side; more are only counted", "topic", m.Topic(), "peer", m.Sender(), "err", err)
		}
	}
}

// fromWebSocket takes what has happened on the WebSocket side.
func (b *Bridge) fromWebSocket(ctx context.Context, c *connection, e websocket.Event) {
	if e.Status != nil {
		if e.Status.Code == websocket.Rejected && b.rejected.Add(1) == 1 {
			b.cfg.Logger.Warn("message rejected by the WebSocket side; more are only counted", "err", e.Status.Err)
		}
		b.cfg.Status(*e.Status)
		return
	}
	count := &b.counters[native]
	payload := data.AppendValue(c.payload[:0], e.Message.Value)
	if c.payload = payload; cap(payload) > keepPayload {
		c.payload = nil
	}
	name, ok, _ := b.pass(native, e.Message.Topic, payload)
	if !ok {
		return
	}
	receivers, err := c.sub.PublishPayload(ctx, name, payload)
	switch {
	case errors.Is(err, endpoint.ErrFull):
		count.drop(DropQueueFull)
	case ctx.Err() != nil:
		count.drop(DropEnded)
	case err != nil:
		if count.drop(DropInvalid) {
			b.cfg.Logger.Warn("message not published natively; more are only counted", "topic", name, "err", err)
		}
	case receivers == 0:
		count.drop(DropNoReceiver)
	default:
		count.forwarded.Add(1)
	}
}

// pass maps a topic and asks the guard. If the message must not cross it is counted. It also tells whether
// there is a new sign of a circle.
func (b *Bridge) pass(to side, from string, payload []byte) (name string, ok, sign bool) {
	count := &b.counters[to]
	name, ok = b.maps[to].topic(from)
	if !ok {
		count.drop(DropUnmapped)
		return "", false, false
	}
	content := b.guard.content(payload)
	if ok, sign = b.guard.crosses(to, b.guard.mark(from, content), b.guard.mark(name, content), b.now()); !ok {
		if count.drop(DropLoop) {
			b.cfg.Logger.Warn("loop: a message came back that has crossed already; another bridge runs beside this one, or a server echoes; more are only counted",
				"topic", from)
		}
	}
	return name, ok, sign
}

// beacons tells other bridges that this one is there.
func (b *Bridge) beacons(ctx context.Context, c *connection) {
	ticker := time.NewTicker(beaconInterval)
	defer ticker.Stop()
	for b.beacon(ctx, c); ; b.beacon(ctx, c) {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (b *Bridge) beacon(ctx context.Context, c *connection) {
	prefixes := []string{beaconTopic}
	if b.guard.suspects(b.now()) {
		for _, m := range b.maps[native].maps {
			prefixes = append(prefixes, m.To)
		}
	}
	id := b.id.String()
	for _, prefix := range prefixes {
		// If it cannot be published now it will be soon.
		c.sub.PublishPayload(ctx, prefix+beaconMark+id, zeek.AppendEvent(nil, beaconEvent, data.String(id)))
	}
}

// heard takes the beacon of another bridge, or of this one if it was forwarded in a circle.
func (b *Bridge) heard(ctx context.Context, c *connection, id wire.EndpointID, m endpoint.Message) {
	if id == b.id {
		return
	}
	news, sign := b.guard.heard(id, !strings.HasPrefix(m.Topic(), beaconTopic), b.now())
	if news {
		b.cfg.Logger.Warn("another bridge is on the native network: messages that are equal are taken for loops now", "bridge", id, "peer", m.Sender(), "window", b.cfg.Window)
	}
	if news || sign {
		b.beacon(ctx, c)
	}
}
