package storetest

import (
	"math"
	"math/rand/v2"

	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// A Generator makes random batches that hit the same few keys and writers again and again.
type Generator struct {
	rand    *rand.Rand
	master  wire.EntityID
	mark    uint64
	writers []wire.EntityID
}

// NewGenerator returns a generator that always makes the same batches from the same seed.
func NewGenerator(seed uint64) *Generator {
	g := &Generator{rand: rand.New(rand.NewPCG(seed, 0))}
	g.master = g.entity()
	for range 5 {
		g.writers = append(g.writers, g.entity())
	}
	return g
}

func (g *Generator) entity() (id wire.EntityID) {
	for i := range id.Endpoint {
		id.Endpoint[i] = byte(g.rand.Uint32())
	}
	id.Object = g.rand.Uint64()
	return id
}

// Key returns one of a hundred keys.
func (g *Generator) Key() []byte {
	n := g.rand.Uint64N(100)
	switch n % 4 {
	case 0:
		return data.AppendCount(nil, n)
	case 1:
		return data.AppendValue(nil, data.Vector(data.Count(n), data.Real(math.Inf(-1)), data.String("\x00\xff")))
	case 2:
		return data.AppendValue(nil, data.Set(data.Bool(true), data.Int(int64(n))))
	}
	return data.AppendString(nil, string(rune('A'+n))+"\x00")
}

// Value returns a value that mostly is short.
func (g *Generator) Value() []byte {
	if g.rand.IntN(10) == 0 {
		return data.AppendNone(nil)
	}
	size := g.rand.IntN(40)
	if g.rand.IntN(20) == 0 {
		size = g.rand.IntN(20_000)
	}
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(g.rand.Uint32())
	}
	return data.AppendString(nil, b)
}

// Batch returns the next batch of up to so many changes.
func (g *Generator) Batch(most int) *store.Batch {
	b := &store.Batch{Clear: g.rand.IntN(20) == 0}
	if g.rand.IntN(50) == 0 {
		g.master = g.entity()
	}
	for range g.rand.IntN(most + 1) {
		c := store.Change{Record: store.Record{Key: g.Key()}, Erase: g.rand.IntN(4) == 0}
		if !c.Erase {
			c.Value = g.Value()
			switch g.rand.IntN(4) {
			case 0:
				c.Expiry = g.rand.Int64()
			case 1:
				c.Expiry = -g.rand.Int64N(1000) - 1
			}
		}
		b.Changes = append(b.Changes, c)
	}
	for range g.rand.IntN(3) {
		w := store.WriterMark{Writer: g.writers[g.rand.IntN(len(g.writers))]}
		if g.rand.IntN(5) > 0 {
			w.Seq = g.rand.Uint64()
		}
		b.Writers = append(b.Writers, w)
	}
	if g.mark += uint64(len(b.Changes)); g.rand.IntN(200) == 0 {
		g.mark = math.MaxUint64 - 1000
	}
	b.Master, b.Mark = g.master, g.mark
	return b
}
