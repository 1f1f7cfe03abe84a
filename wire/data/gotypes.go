package data

import "strconv"

// EnumName is a Go type for enum values, which [Marshal] and [Unmarshal] could not tell from strings
// otherwise. It holds the full name, such as "Conn::LOG" or "tcp".
type EnumName string

// TransportPort is a Go type for ports, for [Marshal] and [Unmarshal]; == compares it. [Port] makes a
// value of one.
type TransportPort struct {
	Number uint16
	Proto  Proto
}

// String returns the port as Zeek writes it, such as "80/tcp".
func (p TransportPort) String() string {
	return strconv.Itoa(int(p.Number)) + "/" + p.Proto.String()
}
