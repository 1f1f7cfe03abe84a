package dump

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/capture"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A jsonItem is an item as JSON. What is not known or does not belong to the kind is left out.
type jsonItem struct {
	Where       string          `json:"where,omitempty"`
	Time        string          `json:"time,omitempty"`
	T           float64         `json:"t,omitempty"`
	Conn        int             `json:"conn,omitempty"`
	From        *capture.End    `json:"from,omitempty"`
	To          *capture.End    `json:"to,omitempty"`
	Note        string          `json:"note,omitempty"`
	Damage      bool            `json:"damage,omitempty"`
	Dropped     bool            `json:"dropped,omitempty"` // it never arrived
	Kind        string          `json:"kind,omitempty"`
	Bytes       int             `json:"bytes,omitempty"` // the length included
	Sender      wire.EndpointID `json:"sender,omitzero"`
	Receiver    wire.EndpointID `json:"receiver,omitzero"`
	TTL         uint16          `json:"ttl,omitempty"`
	Topic       *string         `json:"topic,omitempty"`
	Message     string          `json:"message,omitempty"` // the type of message of Zeek: Event, LogCreate and so on
	Value       json.RawMessage `json:"value,omitempty"`   // in Broker's JSON
	Command     *jsonCommand    `json:"command,omitempty"` // of a store
	Min         uint8           `json:"min,omitempty"`
	Max         uint8           `json:"max,omitempty"`
	Version     uint8           `json:"version,omitempty"`
	Code        *wire.Code      `json:"code,omitempty"`
	CodeName    string          `json:"code_name,omitempty"`
	Description string          `json:"description,omitempty"`
	Filter      []string        `json:"filter,omitzero"`
	Bye         bool            `json:"bye,omitempty"`
	Payload     *string         `json:"payload_hex,omitempty"` // of what is not decoded
	Hex         string          `json:"hex,omitempty"`         // of a malformed frame, without the length
	Error       string          `json:"error,omitempty"`
}

// AppendJSON appends an item as one JSON object.
func AppendJSON(dst []byte, it *capture.Item) ([]byte, error) {
	j := jsonItem{Where: it.Where, Conn: it.Conn, Note: it.Note, Damage: it.Damage, Dropped: it.Lost}
	if !it.Time.IsZero() {
		j.Time = it.Time.UTC().Format("2006-01-02T15:04:05.000000000Z")
	} else {
		j.T = it.Since.Seconds()
	}
	if it.From.Name != "" {
		j.From, j.To = &it.From, &it.To
	}
	if f := it.Frame; f != nil {
		j.frame(f)
	}
	out := bytes.NewBuffer(dst)
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	err := e.Encode(&j)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

func (j *jsonItem) frame(f *capture.Frame) {
	j.Kind, j.Bytes = f.Kind(), len(f.Body)+wire.FrameHeaderLen
	switch {
	case f.Handshake != nil:
		j.handshake(f.Handshake)
	case f.Err != nil:
		j.Error, j.Hex = f.Err.Error(), hex.EncodeToString(f.Body)
	default:
		j.envelope(&f.Envelope)
	}
}

func (j *jsonItem) handshake(msg wire.Handshake) {
	switch m := msg.(type) {
	case wire.Hello:
		j.Sender, j.Min, j.Max = m.Sender, m.Min, m.Max
	case wire.VersionSelect:
		j.Sender, j.Version = m.Sender, m.Version
	case wire.DropConn:
		j.Sender, j.Code, j.CodeName, j.Description = m.Sender, &m.Code, m.Code.String(), printable(m.Description)
	case wire.OriginatorSyn:
		j.filter(m.Filter)
	case wire.ResponderSynAck:
		j.filter(m.Filter)
	}
}

func (j *jsonItem) filter(topics []string) {
	j.Filter = make([]string, len(topics))
	for i, topic := range topics {
		j.Filter[i] = printable(topic)
	}
}

func (j *jsonItem) envelope(e *wire.Envelope) {
	topic := printable(string(e.Topic))
	j.Sender, j.Receiver, j.TTL, j.Topic = e.Sender, e.Receiver, e.TTL, &topic
	var err error
	switch e.Type {
	case wire.TypeData:
		var v data.Value
		if v, err = data.DecodeValue(e.Payload); err == nil {
			j.Value = data.AppendJSON(nil, v)
			if t := zeek.TypeOf(e.Payload); t != zeek.TypeInvalid {
				j.Message = t.String()
			}
			return
		}
	case wire.TypeCommand:
		var c *jsonCommand
		if c, err = parseJSONCommand(e.Payload); err == nil {
			j.Command = c
			return
		}
	case wire.TypeRoutingUpdate:
		var filter []string
		if filter, err = wire.ParseFilter(e.Payload); err == nil {
			j.filter(filter)
			return
		}
	}
	if err != nil {
		j.Error = err.Error()
	}
	payload := hex.EncodeToString(e.Payload)
	j.Bye, j.Payload = e.Type >= wire.TypePing && wire.IsBye(e.Payload), &payload
}

// printable returns s as JSON can hold it: a byte that is not UTF-8 becomes \xNN.
func printable(s string) string {
	if s == strings.ToValidUTF8(s, "") {
		return s
	}
	return string(data.AppendPrintable(nil, s))
}
