package zeek

import (
	"bytes"
	"fmt"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// A LogCreate tells loggers of a new writer of a log: its file and its columns (CLUSTER.md section
// 6.2).
type LogCreate struct {
	Stream string // the enum value of the stream, such as "Conn::LOG"
	Writer string // the enum value of the writer, such as "Log::WRITER_ASCII"
	Info   WriterInfo
	Fields []Field
}

// WriterInfo says how a writer is set up.
type WriterInfo struct {
	Path             string  // base name of the file
	RotationBase     float64 // seconds after local midnight, -1 if none
	RotationInterval float64 // seconds
	NetworkTime      float64 // of the sender when it made the writer, seconds since 1970
	Config           data.Value
	PostProcessor    string
}

// A Field is one column of a log.
type Field struct {
	Name      string
	Secondary data.Value // none in logs
	Type      uint64     // code of CLUSTER.md section 6.4
	Subtype   uint64     // of the elements of a set or vector, otherwise 0
	Optional  bool
}

// MessageType returns TypeLogCreate.
func (LogCreate) MessageType() Type { return TypeLogCreate }

// AppendMessage appends the encoding of the message.
func (c LogCreate) AppendMessage(dst []byte) []byte {
	dst = data.AppendEnum(head(dst, TypeLogCreate, 4), c.Stream)
	dst = data.AppendEnum(dst, c.Writer)
	dst = data.AppendString(data.AppendVectorHeader(dst, 6), c.Info.Path)
	dst = data.AppendReal(dst, c.Info.RotationBase)
	dst = data.AppendReal(dst, c.Info.RotationInterval)
	dst = data.AppendReal(dst, c.Info.NetworkTime)
	dst = data.AppendValue(dst, c.Info.Config)
	dst = data.AppendString(dst, c.Info.PostProcessor)
	dst = data.AppendVectorHeader(dst, len(c.Fields))
	for _, f := range c.Fields {
		dst = data.AppendString(data.AppendVectorHeader(dst, 5), f.Name)
		dst = data.AppendValue(dst, f.Secondary)
		dst = data.AppendBool(data.AppendCount(data.AppendCount(dst, f.Type), f.Subtype), f.Optional)
	}
	return dst
}

func parseLogCreate(r *data.Reader) (c LogCreate) {
	n, extra := open(r, TypeLogCreate)
	if fewer(r, TypeLogCreate, n, 4) {
		return c
	}
	c.Stream, c.Writer = string(r.Enum()), string(r.Enum())
	slots := r.Vector()
	if r.Err() == nil && slots < 6 {
		r.Fail(fmt.Errorf("%w: writer info of %d elements, want 6 at least", ErrMessage, slots))
		return c
	}
	c.Info.Path = string(r.Bytes())
	c.Info.RotationBase, c.Info.RotationInterval, c.Info.NetworkTime = r.Real(), r.Real(), r.Real()
	if r.Kind() != data.KindTable {
		r.Table() // says what was there instead
	}
	c.Info.Config = r.Value()
	c.Info.PostProcessor = string(r.Bytes())
	skip(r, slots-6)
	fields := r.Vector()
	for range fields {
		slots := r.Vector()
		if r.Err() == nil && slots < 5 {
			r.Fail(fmt.Errorf("%w: field %d of %d elements, want 5 at least", ErrMessage, len(c.Fields), slots))
		}
		f := Field{Name: string(r.Bytes()), Secondary: r.Value(), Type: r.Count(), Subtype: r.Count(), Optional: r.Bool()}
		skip(r, slots-5)
		if r.Err() != nil {
			return c
		}
		c.Fields = append(c.Fields, f)
	}
	skip(r, n-4+extra)
	return c
}

// A LogWrite is one row of a log (CLUSTER.md section 6.3).
type LogWrite struct {
	Stream string
	Writer string
	Path   string
	Packed []byte // the row, as CLUSTER.md section 6.4 packs it
}

// MessageType returns TypeLogWrite.
func (LogWrite) MessageType() Type { return TypeLogWrite }

// AppendMessage appends the encoding of the message.
func (w LogWrite) AppendMessage(dst []byte) []byte {
	return AppendLogWrite(dst, w.Stream, w.Writer, w.Path, w.Packed)
}

func parseLogWrite(r *data.Reader) (w LogWrite) {
	n, extra := open(r, TypeLogWrite)
	if fewer(r, TypeLogWrite, n, 4) {
		return w
	}
	w.Stream, w.Writer, w.Path = string(r.Enum()), string(r.Enum()), string(r.Bytes())
	w.Packed = bytes.Clone(r.Bytes())
	skip(r, n-4+extra)
	return w
}

// AppendBatchHead appends the beginning of a [Batch] of n messages, whose encodings are appended next.
func AppendBatchHead(dst []byte, n int) []byte { return head(dst, TypeBatch, n) }

// AppendLogWrite appends the encoding of a [LogWrite] with parts given.
func AppendLogWrite(dst []byte, stream, writer, path string, packed []byte) []byte {
	dst = data.AppendEnum(head(dst, TypeLogWrite, 4), stream)
	dst = data.AppendString(data.AppendEnum(dst, writer), path)
	return data.AppendString(dst, packed)
}
