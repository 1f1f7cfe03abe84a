package zeek

import "fmt"

// A LogType is a type of values in a log, with the number that it has in packed records and in
// [Field] (CLUSTER.md section 6.4). The numbers are the same in all versions of Zeek.
type LogType uint32

// The types.
const (
	LogVoid LogType = iota
	LogBool
	LogInt
	LogCount
	LogDouble
	LogTime
	LogInterval
	LogString
	LogPattern
	LogEnum
	LogPort
	LogAddr
	LogSubnet
	LogAny
	LogSet
	LogRecord
	LogList
	LogFunc
	LogFile
	LogVector
	LogOpaque
	LogTypeType
	LogError

	numLogTypes
)

var logTypeNames = [numLogTypes]string{
	"void", "bool", "int", "count", "double", "time", "interval", "string", "pattern", "enum", "port",
	"addr", "subnet", "any", "set", "record", "list", "func", "file", "vector", "opaque", "type", "error",
}

// String returns the name that Zeek prints in the #types line of a log: "time", "string" and so on. Of a
// set or vector it is only the first part; see [Field.TypeName].
func (t LogType) String() string {
	if t < numLogTypes {
		return logTypeNames[t]
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// Container tells whether values of the type hold others.
func (t LogType) Container() bool { return t == LogSet || t == LogVector }

// Text tells whether values of the type are packed as texts.
func (t LogType) Text() bool {
	return t == LogString || t == LogEnum || t == LogFunc || t == LogFile
}

// Atomic tells whether values of the type may stand in a log, alone or in a set or vector.
func (t LogType) Atomic() bool {
	switch t {
	case LogBool, LogInt, LogCount, LogDouble, LogTime, LogInterval, LogString, LogEnum, LogPort, LogAddr, LogSubnet, LogFunc, LogFile:
		return true
	}
	return false
}

// TypeName returns the type of a column as Zeek prints it, such as "addr" or "set[string]".
func (f Field) TypeName() string {
	t := LogType(min(f.Type, uint64(numLogTypes)))
	if t.Container() {
		return fmt.Sprintf("%v[%v]", t, LogType(min(f.Subtype, uint64(numLogTypes))))
	}
	return t.String()
}
