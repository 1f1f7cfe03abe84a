package dump

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/capture"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// How much of a list is shown as text.
const (
	mostEntries = 3 // of a snapshot
	mostMissing = 8 // numbers of a nack
)

// appendCommand appends the payload of a command of a store as text: from whom to whom, the number of
// an action, and what it says. The error says why it is no command; nothing is appended then.
func appendCommand(dst, payload []byte) ([]byte, error) {
	c, err := wire.ParseCommand(payload)
	if err != nil {
		return dst, err
	}
	text := append(appendEntity(nil, c.Sender), " > "...)
	if c.Receiver.IsZero() {
		text = append(text, "all "...)
	} else {
		text = append(appendEntity(text, c.Receiver), ' ')
	}
	if c.Kind.Action() {
		text = fmt.Appendf(text, "seq %d ", c.Seq)
	}
	t := commandText{text: append(text, c.Kind.String()...)}
	t.body(&c)
	if t.err != nil {
		return dst, t.err
	}
	return append(dst, t.text...), nil
}

// A commandText is the text of a command in the making.
type commandText struct {
	text []byte
	err  error // the first
}

func (t *commandText) body(c *wire.Command) {
	switch c.Kind {
	case wire.CommandPut, wire.CommandPutUnique:
		t.value(" ", c.Key)
		t.value(" = ", c.Value)
	case wire.CommandErase, wire.CommandExpire:
		t.value(" ", c.Key)
	case wire.CommandAdd:
		t.value(" ", c.Key)
		t.value(" + ", c.Value)
		t.text = fmt.Appendf(t.text, ", initially %v", c.Init)
	case wire.CommandSubtract:
		t.value(" ", c.Key)
		t.value(" - ", c.Value)
	case wire.CommandPutUniqueResult:
		if !c.Inserted {
			t.text = append(t.text, " not"...)
		}
		t.text = append(t.text, " inserted"...)
	case wire.CommandAttachWriter:
		t.text = fmt.Appendf(t.text, " offset %d, heartbeat %d ticks", c.Num, c.Heartbeat)
	case wire.CommandKeepalive, wire.CommandCumulativeAck, wire.CommandRetransmitFailed:
		t.text = fmt.Appendf(t.text, " %d", c.Num)
	case wire.CommandNack:
		t.missing(c.Missing)
	case wire.CommandAckClone:
		t.text = fmt.Appendf(t.text, " offset %d, heartbeat %d ticks, %d entries ", c.Num, c.Heartbeat, c.Snapshot.Len)
		t.snapshot(c.Snapshot)
	}
	if c.HasExpiry {
		t.text = data.AppendText(append(t.text, ", expires in "...), data.Timespan(c.Expiry))
	}
	if c.Kind == wire.CommandPutUnique || c.Kind == wire.CommandPutUniqueResult {
		t.text = appendEntity(fmt.Appendf(t.text, ", request %d of ", c.RequestID), c.Who)
	}
	if c.Kind.Action() && c.Publisher != c.Sender {
		t.text = appendEntity(append(t.text, ", by "...), c.Publisher)
	}
}

// value appends an encoded value.
func (t *commandText) value(before string, b []byte) {
	v, err := data.DecodeValue(b)
	if err != nil && t.err == nil {
		t.err = err
	}
	t.text = data.AppendText(append(t.text, before...), v)
}

func (t *commandText) missing(seqs wire.SeqList) {
	t.text = append(t.text, " ["...)
	for i := range min(seqs.Len(), mostMissing) {
		t.text = strconv.AppendUint(comma(t.text, i), seqs.At(i), 10)
	}
	if n := seqs.Len(); n > mostMissing {
		t.text = fmt.Appendf(t.text, ", ... %d] (%d numbers)", seqs.At(n-1), n)
		return
	}
	t.text = append(t.text, ']')
}

// snapshot appends the first entries of a snapshot. It goes over all of them.
func (t *commandText) snapshot(s wire.Snapshot) {
	t.text = append(t.text, '{')
	i := 0
	err := s.Each(func(key, value []byte) error {
		if i < mostEntries {
			t.text = comma(t.text, i)
			t.value("", key)
			t.value(" -> ", value)
		}
		i++
		return nil
	})
	if err != nil && t.err == nil {
		t.err = err
	}
	if i > mostEntries {
		t.text = append(t.text, ", ..."...)
	}
	t.text = append(t.text, '}')
}

// appendEntity appends an entity, its endpoint cut to eight digits.
func appendEntity(dst []byte, id wire.EntityID) []byte {
	if id.IsZero() {
		return append(dst, "nobody"...)
	}
	dst = append(append(dst, capture.ShortID(id.Endpoint)...), '/')
	return strconv.AppendUint(dst, id.Object, 10)
}

// A jsonCommand is a command of a store as JSON. What a command of its kind has not is left out.
// Entities are endpoint/object, durations Broker's: 5s, 10ms.
type jsonCommand struct {
	Command   string          `json:"command"` // put, erase and so on
	Seq       uint64          `json:"seq,omitempty"`
	Sender    string          `json:"sender,omitempty"`
	Receiver  string          `json:"receiver,omitempty"`
	Key       json.RawMessage `json:"key,omitempty"` // in Broker's JSON, like all values
	Value     json.RawMessage `json:"value,omitempty"`
	Init      string          `json:"init_type,omitempty"` // of add
	Expiry    string          `json:"expiry,omitempty"`
	Inserted  *bool           `json:"inserted,omitempty"` // of put_unique_result
	Who       string          `json:"who,omitempty"`
	RequestID *uint64         `json:"req_id,omitempty"`
	Publisher string          `json:"publisher,omitempty"`
	Offset    *uint64         `json:"offset,omitempty"`    // of attach_writer and ack_clone
	Number    *uint64         `json:"number,omitempty"`    // of keepalive, cumulative_ack, retransmit_failed
	Heartbeat *uint16         `json:"heartbeat,omitempty"` // in ticks
	Missing   []uint64        `json:"missing,omitzero"`    // of nack
	Snapshot  []jsonEntry     `json:"snapshot,omitzero"`   // of ack_clone
}

type jsonEntry struct {
	Key   json.RawMessage `json:"key"`
	Value json.RawMessage `json:"value"`
}

func parseJSONCommand(payload []byte) (*jsonCommand, error) {
	c, err := wire.ParseCommand(payload)
	if err != nil {
		return nil, err
	}
	j := &jsonCommand{
		Command: c.Kind.String(), Seq: c.Seq,
		Sender: entityText(c.Sender), Receiver: entityText(c.Receiver), Who: entityText(c.Who), Publisher: entityText(c.Publisher),
	}
	if c.HasExpiry {
		j.Expiry = string(data.AppendText(nil, data.Timespan(c.Expiry)))
	}
	switch c.Kind {
	case wire.CommandPutUniqueResult:
		j.Inserted, j.RequestID = &c.Inserted, &c.RequestID
	case wire.CommandPutUnique:
		j.RequestID = &c.RequestID
	case wire.CommandAdd:
		j.Init = c.Init.String()
	case wire.CommandAttachWriter, wire.CommandAckClone:
		j.Offset, j.Heartbeat = &c.Num, &c.Heartbeat
	case wire.CommandKeepalive, wire.CommandCumulativeAck, wire.CommandRetransmitFailed:
		j.Number = &c.Num
	case wire.CommandNack:
		j.Missing = make([]uint64, c.Missing.Len())
		for i := range j.Missing {
			j.Missing[i] = c.Missing.At(i)
		}
	}
	if j.Key, err = jsonValue(c.Key); err != nil {
		return nil, err
	}
	if j.Value, err = jsonValue(c.Value); err != nil || c.Kind != wire.CommandAckClone {
		return j, err
	}
	j.Snapshot = []jsonEntry{}
	err = c.Snapshot.Each(func(key, value []byte) (err error) {
		var e jsonEntry
		if e.Key, err = jsonValue(key); err == nil {
			e.Value, err = jsonValue(value)
		}
		j.Snapshot = append(j.Snapshot, e)
		return err
	})
	return j, err
}

// jsonValue returns an encoded value, if there is one, as JSON.
func jsonValue(b []byte) (json.RawMessage, error) {
	if b == nil {
		return nil, nil
	}
	v, err := data.DecodeValue(b)
	if err != nil {
		return nil, err
	}
	return data.AppendJSON(nil, v), nil
}

func entityText(id wire.EntityID) string {
	if id.IsZero() {
		return ""
	}
	return id.String()
}
