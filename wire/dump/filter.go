package dump

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/capture"
)

// A Filter says which frames are shown. Empty fields let everything through; of each field one
// element must match. Notes are always shown.
type Filter struct {
	Topics []string // prefixes; frames without a topic of their own do not match
	Peers  []string // an address, an id or its beginning, of either end
	Kinds  []string // as [capture.Frame.Kind] names them; "handshake" is all of those
}

// kinds are the names that a filter may have.
var kinds = func() []string {
	names := []string{"handshake", "empty", "malformed"}
	for t := wire.TypeHello; t <= wire.TypeOriginatorAck; t++ {
		names = append(names, t.String())
	}
	for t := wire.TypeData; t <= wire.TypePong; t++ {
		names = append(names, t.String())
	}
	return names
}()

// Check refuses kinds that do not exist.
func (f *Filter) Check() error {
	for _, k := range f.Kinds {
		if !slices.Contains(kinds, k) {
			return fmt.Errorf("type %q: want one of %s", k, strings.Join(kinds, ", "))
		}
	}
	return nil
}

// Match tells whether an item is shown.
func (f *Filter) Match(it *capture.Item) bool {
	if it.Frame == nil {
		return true
	}
	return f.kind(it.Frame) && f.topic(it.Frame) && f.peer(it)
}

func (f *Filter) kind(frame *capture.Frame) bool {
	return len(f.Kinds) == 0 || slices.Contains(f.Kinds, frame.Kind()) ||
		frame.Handshake != nil && slices.Contains(f.Kinds, "handshake")
}

func (f *Filter) topic(frame *capture.Frame) bool {
	if len(f.Topics) == 0 {
		return true
	}
	e := &frame.Envelope
	if e.Type != wire.TypeData && e.Type != wire.TypeCommand {
		return false
	}
	return slices.ContainsFunc(f.Topics, func(prefix string) bool { return bytes.HasPrefix(e.Topic, []byte(prefix)) })
}

func (f *Filter) peer(it *capture.Item) bool {
	if len(f.Peers) == 0 {
		return true
	}
	e := &it.Frame.Envelope
	for _, p := range f.Peers {
		if p == "" {
			continue
		}
		if p == it.From.Addr || p == it.To.Addr || p == it.From.Name || p == it.To.Name ||
			hasID(it.From.ID, p) || hasID(it.To.ID, p) || hasID(e.Sender, p) || hasID(e.Receiver, p) {
			return true
		}
	}
	return false
}

// hasID tells whether an id begins with p.
func hasID(id wire.EndpointID, p string) bool {
	return !id.IsZero() && strings.HasPrefix(id.String(), strings.ToLower(p))
}
