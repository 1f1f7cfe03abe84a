package dump

import (
	"fmt"

	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// appendPayload appends the payload of a data message as text: an event as name(arguments), Zeek's
// other messages by their names, everything else as the value that it is. The error says why the
// payload is no value; nothing is appended then.
func appendPayload(dst []byte, payload []byte) ([]byte, error) {
	if zeek.TypeOf(payload) != zeek.TypeInvalid {
		if m, err := zeek.Parse(payload); err == nil {
			return appendMessage(dst, m), nil
		}
	}
	v, err := data.DecodeValue(payload)
	if err != nil {
		return dst, err
	}
	return data.AppendText(dst, v), nil
}

// AppendEvent appends an event as name(arguments).
func AppendEvent(dst []byte, e zeek.Event) []byte {
	dst = append(data.AppendPrintable(dst, e.Name), '(')
	for i, arg := range e.Args {
		dst = data.AppendText(comma(dst, i), arg)
	}
	return append(dst, ')')
}

func appendMessage(dst []byte, m zeek.Message) []byte {
	switch m := m.(type) {
	case zeek.Event:
		return AppendEvent(dst, m)
	case zeek.LogCreate:
		dst = append(dst, "log_create "...)
		dst = append(appendLog(dst, m.Stream, m.Writer, m.Info.Path), " ("...)
		for i, f := range m.Fields {
			dst = data.AppendPrintable(comma(dst, i), f.Name)
		}
		return append(dst, ')')
	case zeek.LogWrite:
		dst = appendLog(append(dst, "log_write "...), m.Stream, m.Writer, m.Path)
		return fmt.Appendf(dst, " (%d bytes)", len(m.Packed))
	case zeek.IdentifierUpdate:
		dst = data.AppendPrintable(append(dst, "identifier_update "...), m.ID)
		return data.AppendText(append(dst, " = "...), m.Value)
	case zeek.Batch:
		return appendBatch(dst, m)
	}
	return dst
}

func comma(dst []byte, i int) []byte {
	if i > 0 {
		return append(dst, ", "...)
	}
	return dst
}

func appendLog(dst []byte, stream, writer, path string) []byte {
	dst = append(data.AppendPrintable(dst, stream), ' ')
	dst = append(data.AppendPrintable(dst, writer), ' ')
	return data.AppendPrintable(dst, path)
}

// appendBatch appends the members of a batch. Rows of one log that follow each other, of which there
// may be thousands, make one member.
func appendBatch(dst []byte, b zeek.Batch) []byte {
	dst = fmt.Appendf(dst, "batch of %d", len(b))
	for i := 0; i < len(b); {
		if i > 0 {
			dst = append(dst, "; "...)
		} else {
			dst = append(dst, ": "...)
		}
		first, ok := b[i].(zeek.LogWrite)
		rows, size := 0, 0
		for ; ok && i+rows < len(b); rows++ {
			w, same := b[i+rows].(zeek.LogWrite)
			if !same || w.Stream != first.Stream || w.Writer != first.Writer || w.Path != first.Path {
				break
			}
			size += len(w.Packed)
		}
		if rows > 1 {
			dst = appendLog(append(dst, "log_write "...), first.Stream, first.Writer, first.Path)
			dst = fmt.Appendf(dst, " %d rows (%d bytes)", rows, size)
			i += rows
			continue
		}
		dst = appendMessage(dst, b[i])
		i++
	}
	return dst
}
