package main

import (
	"fmt"
	"log/slog"

	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire"
)

// clusterBackends are where the stores are kept whose masters are at a node. They are opened before the node is made:
// a store remembers which endpoint had its master, and the clones of Zeek accept no other.
type clusterBackends struct {
	log  *slog.Logger
	open map[string]store.Backend // by name of the store, until the node takes them
	id   wire.EndpointID          // that they remember
}

// load opens what the layout says of stores at the node of that name.
func (b *clusterBackends) load(l *layout.Layout, name string) error {
	for _, s := range l.Stores {
		info, err := l.Store(s.Name, false)
		if err != nil {
			return err
		}
		if info.MasterNode != name || info.Backend == layout.Memory {
			continue
		}
		backend, err := b.openStore(info)
		if err != nil {
			return err
		}
		b.open[info.Name] = backend
		state, err := backend.State()
		if err != nil {
			return fmt.Errorf("store %q: %w", info.Name, err)
		}
		switch id := state.Master.Endpoint; {
		case b.id.IsZero():
			b.id = id
		case b.id != id && !id.IsZero():
			b.log.Warn("two stores remember different endpoints of their masters: clones have to attach anew to this one, which those of Zeek do not",
				"store", info.Name, "endpoint", id, "taken", b.id)
		}
	}
	return nil
}

// openStore opens one, nil for one in memory. A directory that is missing is made, as Zeek does.
func (b *clusterBackends) openStore(i layout.StoreInfo) (store.Backend, error) {
	if i.Backend == layout.Memory {
		return nil, nil
	}
	return fileBackend(i.Backend.Word(), i.Path).open(b.log)
}

// take gives one to the node, which closes it.
func (b *clusterBackends) take(i layout.StoreInfo) (store.Backend, error) {
	if backend, ok := b.open[i.Name]; ok {
		delete(b.open, i.Name)
		return backend, nil
	}
	return b.openStore(i)
}

// close closes what the node did not take.
func (b *clusterBackends) close() {
	for _, backend := range b.open {
		backend.Close()
	}
}
