package replay

import (
	"bytes"
	"slices"
	"strings"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A renamer puts the nodes that are there in the place of those that were recorded. Ids are of one length,
// as bytes and as text, so that they are replaced wherever they stand without looking at what is around
// them: 16 bytes that only happen to be an id do not occur.
type renamer struct {
	ids    [][2][]byte // recorded and live, as text and as bytes
	topics [][2]string // of nodes by name
	name   [2]string   // of the dialer; empty if it is to stay
}

// renamerFor makes a renamer. Without a name, as, the dialer keeps its recorded one; theirs is the filter
// of the live listener.
func renamerFor(l *Link, dialer, listener wire.EndpointID, as string, theirs []string) *renamer {
	r := new(renamer)
	for _, pair := range [][2]wire.EndpointID{{l.Dialer, dialer}, {l.Listener, listener}} {
		if was, is := pair[0], pair[1]; !was.IsZero() && !is.IsZero() {
			r.ids = append(r.ids, [2][]byte{[]byte(was.String()), []byte(is.String())}, [2][]byte{was[:], is[:]})
		}
	}
	names := [][2]string{{nameIn(l.Filter), as}, {nameIn(l.theirFilter), nameIn(theirs)}}
	for _, pair := range names {
		if was, is := pair[0], pair[1]; was != "" && is != "" && was != is {
			r.topics = append(r.topics, [2]string{nodeTopic + was + "/", nodeTopic + is + "/"}, [2]string{nodeTopic + was, nodeTopic + is})
		}
	}
	if was := names[0][0]; was != "" && as != "" && was != as {
		r.name = names[0]
	}
	return r
}

func (r *renamer) topic(topic string) string {
	for _, pair := range r.topics {
		if topic == pair[0] {
			return pair[1]
		}
	}
	return string(r.bytes([]byte(topic)))
}

func (r *renamer) filter(filter []string) []string {
	renamed := make([]string, len(filter))
	for i, topic := range filter {
		renamed[i] = r.topic(topic)
	}
	return renamed
}

// bytes replaces the ids. It returns b itself if there are none.
func (r *renamer) bytes(b []byte) []byte {
	copied := false
	for _, pair := range r.ids {
		for at := 0; ; {
			i := bytes.Index(b[at:], pair[0])
			if i < 0 {
				break
			}
			if !copied {
				b, copied = bytes.Clone(b), true
			}
			copy(b[at+i:], pair[1])
			at += i + len(pair[1])
		}
	}
	return b
}

// message returns a message as it is to be sent. It shares what need not be changed.
func (r *renamer) message(m message) message {
	m.topic = r.topic(m.topic)
	m.filter = r.filter(m.filter)
	renamed := r.event(r.bytes(m.payload))
	if len(m.writes) > 0 && len(renamed) > 0 && &renamed[0] != &m.payload[0] {
		_, m.writes = rowsIn(renamed)
	}
	m.payload = renamed
	return m
}

// event replaces the name of the dialer in the events of the cluster framework, such as Cluster::hello.
func (r *renamer) event(payload []byte) []byte {
	if r.name[0] == "" || zeek.TypeOf(payload) != zeek.TypeEvent {
		return payload
	}
	e, err := zeek.ParseEvent(payload)
	if err != nil || !strings.HasPrefix(e.Name, "Cluster::") {
		return payload
	}
	was := data.String(r.name[0])
	if !slices.ContainsFunc(e.Args, was.Equal) {
		return payload
	}
	for i := range e.Args {
		if e.Args[i].Equal(was) {
			e.Args[i] = data.String(r.name[1])
		}
	}
	return e.AppendMessage(nil)
}
