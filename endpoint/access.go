package endpoint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zeekpeer/zeekpeer/topic"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// An Identity is what is known of somebody when it is decided what it may do. Names come from its
// certificate, which it has proved to own: rules by them are authentication. The id is only what it
// says, and the address what the network says: rules by them guard against mistakes, not against
// somebody who wants to get in.
type Identity struct {
	Names     []string // of its certificate; none without TLS with certificates
	ID        wire.EndpointID
	Addr      string // as seen: the address and port of the other end of the connection
	WebSocket bool   // a client of package websocket, which has no id, and not a peer
}

// An Access says what a peer may do. In each list are prefixes of topics; a nil list allows all
// topics, an empty one none. The zero Access allows everything.
type Access struct {
	Refuse        bool     // not to be a peer at all
	Publish       []string // what data it may publish, to everyone or to one node alone
	Subscribe     []string // what it may receive, as a subscriber or sent to it alone
	Commands      []string // of which stores it may send commands: prefixes of their topics
	NoLogs        bool     // it must not create or write logs
	NoIdentifiers bool     // it must not change global variables of Zeek scripts
}

// free tells whether everything is allowed.
func (a Access) free() bool {
	return a.Publish == nil && a.Subscribe == nil && a.Commands == nil && !a.perMessage()
}

// perMessage tells whether it takes a look into each message.
func (a Access) perMessage() bool { return a.NoLogs || a.NoIdentifiers }

// covers tells whether a list of prefixes allows a topic.
func covers(allowed []string, topic []byte) bool {
	return allowed == nil || slices.ContainsFunc(allowed, func(prefix string) bool {
		return len(topic) >= len(prefix) && string(topic[:len(prefix)]) == prefix
	})
}

// MayPublish returns nil if a message of the given type may be published to a topic, and otherwise
// which rule it breaks. A payload in which a log write or an identifier update might hide, since it is
// malformed or too deep to tell, breaks the rule against them.
func (a Access) MayPublish(t wire.MessageType, topic string, payload []byte) error {
	return a.mayPublish(t, []byte(topic), payload)
}

func (a *Access) mayPublish(t wire.MessageType, topic, payload []byte) error {
	allowed := a.Publish
	if t == wire.TypeCommand {
		allowed = a.Commands
	}
	if !covers(allowed, topic) {
		return &AccessError{Action: "publish " + t.String(), Topic: string(topic)}
	}
	if t != wire.TypeData || !a.perMessage() {
		return nil
	}
	types, err := zeek.TypesOf(payload)
	switch {
	case err != nil:
		return &AccessError{Action: "publish what nobody can look into", Topic: string(topic), Err: err}
	case a.NoLogs && (types.Has(zeek.TypeLogCreate) || types.Has(zeek.TypeLogWrite)):
		return &AccessError{Action: "write logs", Topic: string(topic)}
	case a.NoIdentifiers && types.Has(zeek.TypeIdentifierUpdate):
		return &AccessError{Action: "change identifiers", Topic: string(topic)}
	}
	return nil
}

// Narrow returns what remains of a filter: of each topic the part that may be received. It returns
// an error as well if that is not all.
func (a Access) Narrow(filter []string) ([]string, error) {
	if a.Subscribe == nil {
		return filter, nil
	}
	var allowed []string
	var refused error
	for _, name := range topic.NewFilter(filter...) { // or a long filter made of few topics would grow here
		whole := false
		for _, prefix := range a.Subscribe {
			switch {
			case strings.HasPrefix(name, prefix):
				allowed = append(allowed, name)
				whole = true
			case strings.HasPrefix(prefix, name):
				allowed = append(allowed, prefix)
			}
		}
		if !whole && refused == nil {
			refused = &AccessError{Action: "subscribe", Topic: name}
		}
	}
	return topic.NewFilter(allowed...), refused
}

// An AccessError says what somebody tried that the rules do not allow.
type AccessError struct {
	Action string // "subscribe", "publish data", "write logs" and so on
	Topic  string
	Err    error // why it cannot be told what was tried; usually nil
}

func (e *AccessError) Error() string {
	text := fmt.Sprintf("not allowed to %s under %q", e.Action, e.Topic)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *AccessError) Unwrap() error { return e.Err }

// identity returns what rules are asked about.
func (p *peer) identity() Identity {
	return Identity{Names: p.names, ID: p.id, Addr: p.conn.RemoteAddr().String()}
}

// denied counts what a peer must not do, and tells of the first time.
func (p *peer) denied(err error) {
	if p.drops[DropNotAllowed].Add(1) == 1 {
		p.ep.log.Warn("dropped by the access rules; more is only counted", "peer", p.id, "addr", p.addr, "names", p.names, "err", err)
		p.ep.report(&Status{Code: PeerDenied, Peer: p.id, Addr: p.addr, Dialed: p.dialed, Err: err})
	}
}

// narrow returns what of a filter the peer may have.
func (p *peer) narrow(filter []string) ([]string, error) {
	if a := p.access.Load(); a != nil {
		return a.Narrow(filter)
	}
	return filter, nil
}

// mayReceive returns an error if the rules keep a topic from the peer, even if it is sent to it alone.
func (p *peer) mayReceive(t wire.MessageType, topic []byte) error {
	if a := p.access.Load(); a != nil && !covers(a.Subscribe, topic) {
		return &AccessError{Action: "send " + p.id.String() + " " + t.String(), Topic: string(topic)}
	}
	return nil
}

// askRules asks what the peer may do. It reports whether it may be a peer at all. The caller holds
// ruling, so that the last one to ask is the last one to store, or is the only one who knows the peer.
func (p *peer) askRules() (welcome bool) {
	if p.ep.opts.access == nil {
		return true
	}
	a := p.ep.opts.access(p.identity())
	if a.free() {
		p.access.Store(nil)
	} else {
		p.access.Store(&a)
	}
	return !a.Refuse
}

// wants replaces what the peer wants to be subscribed to.
func (p *peer) wants(filter []string) {
	p.ruling.Lock()
	defer p.ruling.Unlock()
	p.wanted = filter
	narrowed, err := p.narrow(filter)
	if err != nil {
		p.denied(err)
	}
	p.ep.setPeerFilter(p, narrowed)
}

// applyRules asks what the peer may do and sees to it: at the beginning of the peering, since the rules may
// have changed before anybody could know of the peer, and when they are known to have changed.
func (p *peer) applyRules(beginning bool) {
	if p.ep.opts.access == nil {
		return
	}
	p.ruling.Lock()
	defer p.ruling.Unlock()
	if !p.askRules() {
		p.end(ErrNotWelcome, false)
		return
	}
	narrowed, err := p.narrow(p.wanted)
	if err != nil && (beginning || !slices.Equal(narrowed, *p.filter.Load())) {
		p.denied(err)
	}
	p.ep.setPeerFilter(p, narrowed)
}

// ReloadAccess asks again what each peer may do, after the rules behind [WithAccess] have changed.
// Peers that are no longer welcome are let go. The rules hold for what is read and published from
// then on: what is already queued for a peer is still sent.
func (e *Endpoint) ReloadAccess() {
	for _, p := range e.registry.peers() {
		p.applyRules(false)
	}
}
