package storetest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire"
)

// Contents are all that a backend holds, and with Commit its model.
type Contents struct {
	Records map[string]Record // by the encoded key
	State   store.State
}

// A Record is what a backend has under a key.
type Record struct {
	Value  string // encoded
	Expiry int64
}

// NewContents returns the contents of a backend that was never used.
func NewContents() *Contents {
	return &Contents{Records: map[string]Record{}, State: store.State{Writers: map[wire.EntityID]uint64{}}}
}

// Read reads all of a backend.
func Read(b store.Backend) (*Contents, error) {
	c := NewContents()
	state, err := b.State()
	if err != nil {
		return nil, err
	}
	c.State.Master, c.State.Mark = state.Master, state.Mark
	maps.Copy(c.State.Writers, state.Writers)
	err = b.Load(func(r store.Record) error {
		if _, found := c.Records[string(r.Key)]; found {
			return fmt.Errorf("the key %x comes twice", r.Key)
		}
		c.Records[string(r.Key)] = Record{Value: string(r.Value), Expiry: r.Expiry}
		return nil
	})
	return c, err
}

// Clone returns a copy.
func (c *Contents) Clone() *Contents {
	clone := *c
	clone.Records, clone.State.Writers = maps.Clone(c.Records), maps.Clone(c.State.Writers)
	return &clone
}

// Diff says in what the contents differ from those that are wanted; it is empty if in nothing.
func (c *Contents) Diff(want *Contents) string {
	if c.State.Master != want.State.Master || c.State.Mark != want.State.Mark {
		return fmt.Sprintf("master %v with mark %d: want %v with %d",
			c.State.Master, c.State.Mark, want.State.Master, want.State.Mark)
	}
	if !maps.Equal(c.State.Writers, want.State.Writers) {
		return fmt.Sprintf("writers %v: want %v", c.State.Writers, want.State.Writers)
	}
	keys := maps.Clone(c.Records)
	maps.Copy(keys, want.Records)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		got, found := c.Records[key]
		wanted, expected := want.Records[key]
		if found != expected || got != wanted {
			return fmt.Sprintf("key %x: there %v: %.40x, expiry %d; want %v: %.40x, expiry %d (%d records, want %d)",
				key, found, got.Value, got.Expiry, expected, wanted.Value, wanted.Expiry, len(c.Records), len(want.Records))
		}
	}
	return ""
}

// Commit does the batch.
func (c *Contents) Commit(b *store.Batch) error {
	if b.Clear {
		clear(c.Records)
	}
	for _, change := range b.Changes {
		if change.Erase {
			delete(c.Records, string(change.Key))
		} else {
			c.Records[string(change.Key)] = Record{Value: string(change.Value), Expiry: change.Expiry}
		}
	}
	for _, w := range b.Writers {
		if w.Seq == 0 {
			delete(c.State.Writers, w.Writer)
		} else {
			c.State.Writers[w.Writer] = w.Seq
		}
	}
	c.State.Master, c.State.Mark = b.Master, b.Mark
	return nil
}
