package data

import "strconv"

// Kind names the type of a [Value]. Its number is the tag byte on the wire (PROTOCOL.md section 6).
type Kind uint8

// The 15 kinds, numbered as on the wire.
const (
	KindNone Kind = iota
	KindBool
	KindCount
	KindInt
	KindReal
	KindString
	KindAddr
	KindSubnet
	KindPort
	KindTime
	KindTimespan
	KindEnum
	KindSet
	KindTable
	KindVector

	numKinds = iota
)

// kindNames are the names of JSON v1 (PROTOCOL.md section 7).
var kindNames = [numKinds]string{
	"none", "boolean", "count", "integer", "real", "string", "address", "subnet", "port",
	"timestamp", "timespan", "enum-value", "set", "table", "vector",
}

// String returns the name that Broker's JSON uses: "none", "boolean", "count" and so on.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "invalid kind " + strconv.Itoa(int(k))
}

// kindNamed returns the kind of that name in JSON.
func kindNamed(name []byte) (k Kind, ok bool) {
	switch string(name) {
	case "none":
		return KindNone, true
	case "boolean":
		return KindBool, true
	case "count":
		return KindCount, true
	case "integer":
		return KindInt, true
	case "real":
		return KindReal, true
	case "string":
		return KindString, true
	case "address":
		return KindAddr, true
	case "subnet":
		return KindSubnet, true
	case "port":
		return KindPort, true
	case "timestamp":
		return KindTime, true
	case "timespan":
		return KindTimespan, true
	case "enum-value":
		return KindEnum, true
	case "set":
		return KindSet, true
	case "table":
		return KindTable, true
	case "vector":
		return KindVector, true
	}
	return 0, false
}

// zeekNames are the names of Zeek's types (CLUSTER.md section 5.4).
var zeekNames = [numKinds]string{
	"none", "bool", "count", "int", "double", "string", "addr", "subnet", "port",
	"time", "interval", "enum", "set", "table", "vector",
}

// ZeekName returns the name of the type in Zeek's scripts: "none", "bool", "count" and so on.
func (k Kind) ZeekName() string {
	if int(k) < len(zeekNames) {
		return zeekNames[k]
	}
	return k.String()
}

// container tells whether values of the kind hold other values.
func (k Kind) container() bool { return k >= KindSet && k <= KindVector }
