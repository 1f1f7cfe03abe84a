package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// CommandKind says what a command of a store is (STORE.md section 2.3).
type CommandKind uint8

// The commands. Those up to clear are actions: they are numbered, in order, by who produces them. The
// others control the channel that the actions go through.
const (
	CommandPut CommandKind = iota
	CommandPutUnique
	CommandPutUniqueResult
	CommandErase
	CommandExpire
	CommandAdd
	CommandSubtract
	CommandClear
	CommandAttachWriter
	CommandKeepalive
	CommandCumulativeAck
	CommandNack
	CommandAckClone
	CommandRetransmitFailed
	numCommands
)

var commandNames = [numCommands]string{
	"put", "put_unique", "put_unique_result", "erase", "expire", "add", "subtract", "clear",
	"attach_writer", "keepalive", "cumulative_ack", "nack", "ack_clone", "retransmit_failed",
}

// String returns Broker's name of the command.
func (k CommandKind) String() string {
	if k < numCommands {
		return commandNames[k]
	}
	return fmt.Sprintf("unknown command %d", uint8(k))
}

// Action tells whether the command is an action.
func (k CommandKind) Action() bool { return k <= CommandClear }

// Where the parts of a command stand in its payload.
const (
	commandSenderAt   = 8
	commandReceiverAt = commandSenderAt + EntityIDLen
	// CommandHeaderLen is what stands before the body of a command, which begins with its kind.
	CommandHeaderLen = commandReceiverAt + EntityIDLen
)

// ErrCommand says that the payload of an envelope is no command of a store.
var ErrCommand = errors.New("malformed store command")

// A CommandHeader is what every command begins with. It can be read where the rest cannot.
type CommandHeader struct {
	Seq      uint64 // of an action: its number; of an ack_clone: the offset; else 0
	Sender   EntityID
	Receiver EntityID // zero: whoever it reaches
	Kind     CommandKind
}

// A Command is one command of a store with all that a command of any kind may have; the zero value
// stands for what its kind has not. What [ParseCommand] returns shares the memory of the payload.
type Command struct {
	CommandHeader

	// Of actions. Keys and values are encoded values.
	Key, Value []byte
	Init       data.Kind     // of add: what it begins with if there is no value
	HasExpiry  bool          // of put, put_unique, add, subtract
	Expiry     time.Duration // counts from the execution at the master
	Inserted   bool          // of put_unique_result
	Who        EntityID      // of put_unique and its result: who waits
	RequestID  uint64        // of put_unique and its result
	Publisher  EntityID      // whose user caused the action

	// Of control commands.
	Num       uint64   // the number in keepalive, cumulative_ack and retransmit_failed, the offset in attach_writer and ack_clone
	Heartbeat uint16   // of attach_writer and ack_clone, in ticks
	Missing   SeqList  // of nack
	Snapshot  Snapshot // of ack_clone
}

// A SeqList is the encoded list of numbers of a nack, without its length.
type SeqList []byte

// Len returns how many numbers there are.
func (l SeqList) Len() int { return len(l) / 8 }

// At returns the i-th number.
func (l SeqList) At(i int) uint64 { return binary.BigEndian.Uint64(l[8*i:]) }

// A Snapshot is the contents of a store as they stand in an ack_clone. Nothing has been checked.
type Snapshot struct {
	Len   int    // entries, as announced
	Bytes []byte // keys and values by turns, and perhaps more, which is ignored
}

// Each calls yield for every entry and ends with its first error. Keys come in any order; that they
// differ is for the caller to check.
func (s Snapshot) Each(yield func(key, value []byte) error) error {
	b := s.Bytes
	for i := range s.Len {
		key, rest, err := takeValue(b)
		if err != nil {
			return fmt.Errorf("%w: ack_clone: key of entry %d of %d: %w", ErrCommand, i+1, s.Len, err)
		}
		value, rest, err := takeValue(rest)
		if err != nil {
			return fmt.Errorf("%w: ack_clone: value of entry %d of %d: %w", ErrCommand, i+1, s.Len, err)
		}
		if err := yield(key, value); err != nil {
			return err
		}
		b = rest
	}
	return nil
}

// ParseCommandHeader reads the beginning of a command, which tells who speaks and what number an
// action has even if its body makes no sense.
func ParseCommandHeader(payload []byte) (CommandHeader, error) {
	if len(payload) <= CommandHeaderLen {
		return CommandHeader{}, fmt.Errorf("%w: %d bytes, more than %d wanted", ErrCommand, len(payload), CommandHeaderLen)
	}
	return CommandHeader{
		Seq:      binary.BigEndian.Uint64(payload),
		Sender:   entityAt(payload[commandSenderAt:]),
		Receiver: entityAt(payload[commandReceiverAt:]),
		Kind:     CommandKind(payload[CommandHeaderLen]),
	}, nil
}

// ParseCommand parses a command as Broker 2.8 reads it: what follows it is ignored, and so are an
// unknown init_type and an unknown protocol of a port (STORE.md section 2.3). If the body makes no
// sense, the command returned still has its header, unless the error is about that.
func ParseCommand(payload []byte) (c Command, err error) {
	if c.CommandHeader, err = ParseCommandHeader(payload); err != nil {
		return c, err
	}
	r := commandReader{b: payload[CommandHeaderLen+1:]}
	r.body(&c)
	if r.err != nil {
		return Command{CommandHeader: c.CommandHeader}, fmt.Errorf("%w: %v: %s: %w", ErrCommand, c.Kind, r.field, r.err)
	}
	return c, nil
}

// AppendCommandHeader appends what stands before the body.
func AppendCommandHeader(dst []byte, seq uint64, sender, receiver EntityID) []byte {
	dst = binary.BigEndian.AppendUint64(dst, seq)
	return AppendEntityID(AppendEntityID(dst, sender), receiver)
}

// AppendCommand appends a command: its header and its body.
func AppendCommand(dst []byte, c *Command) []byte {
	return AppendCommandBody(AppendCommandHeader(dst, c.Seq, c.Sender, c.Receiver), c)
}

// AppendCommandBody appends the kind of a command and its fields.
func AppendCommandBody(dst []byte, c *Command) []byte {
	dst = append(dst, byte(c.Kind))
	switch c.Kind {
	case CommandPut:
		dst = appendExpiry(append(append(dst, c.Key...), c.Value...), c)
	case CommandPutUnique:
		dst = appendExpiry(append(append(dst, c.Key...), c.Value...), c)
		dst = binary.BigEndian.AppendUint64(AppendEntityID(dst, c.Who), c.RequestID)
	case CommandPutUniqueResult:
		dst = AppendEntityID(appendFlag(dst, c.Inserted), c.Who)
		dst = binary.BigEndian.AppendUint64(dst, c.RequestID)
	case CommandErase, CommandExpire:
		dst = append(dst, c.Key...)
	case CommandAdd:
		dst = append(append(append(dst, c.Key...), c.Value...), byte(c.Init))
		dst = appendExpiry(dst, c)
	case CommandSubtract:
		dst = appendExpiry(append(append(dst, c.Key...), c.Value...), c)
	case CommandAttachWriter:
		return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint64(dst, c.Num), c.Heartbeat)
	case CommandKeepalive, CommandCumulativeAck, CommandRetransmitFailed:
		return binary.BigEndian.AppendUint64(dst, c.Num)
	case CommandNack:
		return append(appendVarbyte(dst, uint32(c.Missing.Len())), c.Missing...)
	case CommandAckClone:
		dst = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint64(dst, c.Num), c.Heartbeat)
		return append(appendVarbyte(dst, uint32(c.Snapshot.Len)), c.Snapshot.Bytes...)
	}
	return AppendEntityID(dst, c.Publisher)
}

// AppendSeq appends a number to the list of a nack.
func AppendSeq(dst SeqList, seq uint64) SeqList { return binary.BigEndian.AppendUint64(dst, seq) }

func appendExpiry(dst []byte, c *Command) []byte {
	if dst = appendFlag(dst, c.HasExpiry); c.HasExpiry {
		dst = binary.BigEndian.AppendUint64(dst, uint64(c.Expiry))
	}
	return dst
}

func appendFlag(dst []byte, set bool) []byte {
	if set {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// takeValue splits one encoded value off b.
func takeValue(b []byte) (value, rest []byte, err error) {
	rest, err = data.Decoder{Lenient: true}.Skip(b)
	if err != nil {
		return nil, nil, err
	}
	n := len(b) - len(rest)
	return b[:n:n], rest, nil
}
