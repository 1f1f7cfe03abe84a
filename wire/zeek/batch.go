package zeek

import (
	"fmt"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// maxBatchDepth is how deep batches may nest. Zeek does not nest them.
const maxBatchDepth = 8

// A Batch is several messages in one. As Zeek 7.0 and later do, one invalid member makes the whole
// batch invalid. An empty batch is valid.
type Batch []Message

// MessageType returns TypeBatch.
func (Batch) MessageType() Type { return TypeBatch }

// AppendMessage appends the encoding of the batch.
func (b Batch) AppendMessage(dst []byte) []byte {
	dst = head(dst, TypeBatch, len(b))
	for _, m := range b {
		dst = m.AppendMessage(dst)
	}
	return dst
}

func parseBatch(r *data.Reader, depth int) Batch {
	if depth == 0 {
		r.Fail(fmt.Errorf("%w: batches nest deeper than %d levels", ErrMessage, maxBatchDepth))
		return nil
	}
	n, extra := open(r, TypeBatch)
	var b Batch
	for i := range n {
		m, err := parse(r, depth-1)
		if err != nil {
			r.Fail(fmt.Errorf("batch member %d: %w", i, err))
			return nil
		}
		b = append(b, m)
	}
	skip(r, extra)
	return b
}
