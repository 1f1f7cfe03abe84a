package zeek

import "github.com/zeekpeer/zeekpeer/wire/data"

// An IdentifierUpdate assigns a value to a global identifier of the receiver (CLUSTER.md section
// 5.5). Zeek accepts it from anybody.
type IdentifierUpdate struct {
	ID    string
	Value data.Value
}

// MessageType returns TypeIdentifierUpdate.
func (IdentifierUpdate) MessageType() Type { return TypeIdentifierUpdate }

// AppendMessage appends the encoding of the update.
func (u IdentifierUpdate) AppendMessage(dst []byte) []byte {
	dst = data.AppendString(head(dst, TypeIdentifierUpdate, 2), u.ID)
	return data.AppendValue(dst, u.Value)
}

func parseIdentifierUpdate(r *data.Reader) (u IdentifierUpdate) {
	n, extra := open(r, TypeIdentifierUpdate)
	if fewer(r, TypeIdentifierUpdate, n, 2) {
		return u
	}
	u.ID, u.Value = string(r.Bytes()), r.Value()
	skip(r, n-2+extra)
	return u
}
