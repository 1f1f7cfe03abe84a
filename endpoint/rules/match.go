package rules

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
)

// A match are the conditions of a rule, all of which must hold. Those that are nil do.
type match struct {
	certs     []string // patterns, in lower case
	ids       []wire.EndpointID
	nets      []netip.Prefix
	websocket *bool
}

// A subject is who wants to be let in, as the conditions see it.
type subject struct {
	names     []string // in lower case
	id        wire.EndpointID
	addr      netip.Addr // not valid if unknown
	websocket bool
}

func newSubject(id endpoint.Identity) subject {
	s := subject{id: id.ID, websocket: id.WebSocket}
	for _, name := range id.Names {
		s.names = append(s.names, strings.ToLower(name))
	}
	if ap, err := netip.ParseAddrPort(id.Addr); err == nil {
		s.addr = ap.Addr().Unmap().WithZone("")
	} else if addr, err := netip.ParseAddr(id.Addr); err == nil {
		s.addr = addr.Unmap().WithZone("")
	}
	return s
}

func (m *match) holds(s *subject) bool {
	return (m.certs == nil || slices.ContainsFunc(m.certs, s.isNamed)) &&
		(m.ids == nil || slices.Contains(m.ids, s.id)) &&
		(m.nets == nil || s.addr.IsValid() && slices.ContainsFunc(m.nets, func(n netip.Prefix) bool { return n.Contains(s.addr) })) &&
		(m.websocket == nil || *m.websocket == s.websocket)
}

func (s *subject) isNamed(pattern string) bool {
	return slices.ContainsFunc(s.names, func(name string) bool {
		ok, _ := path.Match(pattern, name) // the pattern has been checked
		return ok
	})
}

// authenticates tells whether only who has proved a name matches.
func (m *match) authenticates() bool { return m.certs != nil }

// String returns the conditions in words.
func (m *match) String() string {
	var all []string
	add := func(what string, entries []string) {
		if len(entries) > 0 {
			all = append(all, what+" "+strings.Join(entries, " or "))
		}
	}
	if m.websocket != nil {
		all = append(all, map[bool]string{true: "WebSocket clients", false: "peers"}[*m.websocket])
	}
	add("certificate", m.certs)
	add("id", texts(m.ids))
	add("address", texts(m.nets))
	return strings.Join(all, ", ")
}

func texts[T fmt.Stringer](all []T) (s []string) {
	for _, x := range all {
		s = append(s, x.String())
	}
	return s
}
