// Package replay plays what one end of a recorded connection sent against a live node, as a node of its
// own: to see what becomes of it, and how much of it a node can take.
package replay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/capture"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// maxHeld bounds the payloads of a recording, which are kept in memory so that reading them does not
// limit how fast they are sent.
const maxHeld = 1 << 30

// maxLinks bounds how many connections of one recording are played.
const maxLinks = 1024

// nodeTopic begins the topic of a node by its name (CLUSTER.md section 3.2).
const nodeTopic = "zeek/cluster/node/"

// A Link is one connection of a recording: what the end that dialed sent. It is not changed once it is
// loaded, and may be played many times at once.
type Link struct {
	Dialer, Listener wire.EndpointID
	Filter           []string // what the dialer was subscribed to when the peering began

	Messages int // that can be played
	Rows     int // of logs in them
	Skipped  int // frames that cannot be played: damaged, lost, or for a third node

	begin       time.Duration // when the first message was sent
	theirFilter []string      // the listener's
	messages    []message
}

// A message is what the dialer sent at a time.
type message struct {
	since   time.Duration // since the first message
	kind    wire.MessageType
	direct  bool // addressed to the listener
	topic   string
	payload []byte
	filter  []string // of a routing update
	rows    int
	writes  []write // the rows, if the message is nothing else
}

// A write is one encoded row.
type write struct {
	stream string
	bytes  []byte
}

// Load reads the connections of a recording, or of whatever else package capture reads, in the order in
// which they began. What is damaged is counted in its link.
func Load(r io.Reader) ([]*Link, error) {
	l := loader{links: make(map[int]*Link)}
	if err := capture.Read(r, l.item); err != nil {
		return nil, err
	}
	var played []*Link
	for _, link := range l.order {
		if link.Messages > 0 {
			played = append(played, link)
		}
	}
	switch {
	case len(played) > 0:
		return played, nil
	case l.damage != "":
		return nil, fmt.Errorf("nothing that a dialer sent to a peer, and damage: %s", l.damage)
	}
	return nil, errors.New("nothing that a dialer sent to a peer")
}

type loader struct {
	links  map[int]*Link
	order  []*Link
	held   int
	damage string
}

func (l *loader) item(it capture.Item) error {
	link := l.links[it.Conn]
	if link == nil {
		if it.Frame == nil && !it.Damage {
			return nil
		}
		if len(l.order) == maxLinks {
			return fmt.Errorf("%s: more than %d connections", it.Where, maxLinks)
		}
		link = new(Link)
		l.links[it.Conn] = link
		l.order = append(l.order, link)
	}
	dialer := it.From.Name == capture.Dialer
	switch f := it.Frame; {
	case f == nil:
		if it.Damage {
			link.Skipped++
			l.damage = it.Where + ": " + it.Note
		}
		return nil
	case f.Handshake != nil:
		link.handshake(f.Handshake, dialer)
		return nil
	case !dialer:
		if f.Err == nil && link.Listener.IsZero() {
			link.Listener = f.Envelope.Sender // the recording begins after the handshake
		}
		return nil
	case f.Err != nil || it.Lost:
		link.Skipped++
		return nil
	default:
		if l.held += len(f.Body); l.held > maxHeld {
			return fmt.Errorf("%s: more than %d MiB to be sent: cut the recording into parts", it.Where, maxHeld>>20)
		}
		link.envelope(&f.Envelope, it.Since)
		return nil
	}
}

// handshake learns who the two are.
func (l *Link) handshake(msg wire.Handshake, dialer bool) {
	id, filter := &l.Listener, &l.theirFilter
	if dialer {
		id, filter = &l.Dialer, &l.Filter
	}
	switch msg := msg.(type) {
	case wire.Hello:
		*id = msg.Sender
	case wire.VersionSelect:
		*id = msg.Sender
	case wire.OriginatorSyn:
		*filter = msg.Filter
	case wire.ResponderSynAck:
		*filter = msg.Filter
	}
}

// envelope takes what the dialer sent. Pings, and the leave that is taken in them, are up to whoever plays.
func (l *Link) envelope(e *wire.Envelope, since time.Duration) {
	if l.Dialer.IsZero() {
		l.Dialer = e.Sender
	}
	m := message{kind: e.Type, direct: !e.Receiver.IsZero(), topic: string(e.Topic)}
	switch e.Type {
	case wire.TypeData:
		if data.Validate(e.Payload) != nil {
			l.Skipped++
			return
		}
		m.payload = bytes.Clone(e.Payload)
		m.rows, m.writes = rowsIn(m.payload)
	case wire.TypeCommand:
		m.payload = bytes.Clone(e.Payload)
	case wire.TypeRoutingUpdate:
		filter, err := wire.ParseFilter(e.Payload)
		if err != nil {
			l.Skipped++
			return
		}
		m.filter = filter
	default:
		return
	}
	if m.direct && l.Listener.IsZero() {
		l.Listener = e.Receiver
	}
	if m.direct && e.Receiver != l.Listener {
		l.Skipped++
		return
	}
	if len(l.messages) == 0 {
		l.begin = since
	}
	m.since = max(since-l.begin, 0)
	l.messages = append(l.messages, m)
	l.Messages++
	l.Rows += m.rows
}

// span returns the time from the first message to the last.
func (l *Link) span() time.Duration {
	if len(l.messages) < 2 {
		return 0
	}
	return l.messages[len(l.messages)-1].since
}

// rowsIn counts the rows of logs in a message. If it holds nothing else, it returns each of them.
func rowsIn(payload []byte) (n int, writes []write) {
	pure := true
	var walk func(b []byte, depth int)
	walk = func(b []byte, depth int) {
		r := data.NewReader(b)
		switch zeek.TypeOf(b) {
		case zeek.TypeLogWrite:
			n++
			writes = append(writes, write{stream: streamOf(b), bytes: b})
		case zeek.TypeBatch:
			r.Vector()
			r.Count()
			r.Count()
			members := r.Vector()
			if depth == 0 || members == 0 {
				pure = false
				return
			}
			for range members {
				if member := r.Raw(); member != nil {
					walk(member, depth-1)
				}
			}
		default:
			pure = false
		}
	}
	walk(payload, 2)
	if !pure {
		writes = nil
	}
	return n, writes
}

// streamOf returns the name of the stream of a LogWrite.
func streamOf(b []byte) string {
	r := data.NewReader(b)
	r.Vector()
	r.Count()
	r.Count()
	r.Vector()
	return string(r.Enum())
}

// nameIn returns the name of the node whose filter this is, if it says so.
func nameIn(filter []string) string {
	name := ""
	for _, topic := range filter {
		if rest, ok := strings.CutPrefix(topic, nodeTopic); ok && rest != "" {
			if name != "" {
				return ""
			}
			name = strings.TrimSuffix(rest, "/")
		}
	}
	return name
}
