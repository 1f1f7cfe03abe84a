package cluster

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/store"
)

// CreateStore makes or joins a store of the cluster: Cluster::create_store (CLUSTER.md section 8). The node
// that the layout says has the master; all others have clones, whose handle may be used at once and which
// are ready when they have found the master. persistent asks for a store that outlives its master. A second
// call for a name returns the first one's store.
func (n *Node) CreateStore(name string, persistent bool) (*store.Store, error) {
	info, err := n.layout.Store(name, persistent)
	if err != nil {
		return nil, err
	}
	n.makingStore.Lock()
	defer n.makingStore.Unlock()
	n.mu.Lock()
	closed, s := n.closed, n.stores[name]
	n.mu.Unlock()
	if closed {
		return nil, errClosed
	}
	if s != nil {
		n.warn("duplicate cluster store creation for " + name)
		return s, nil
	}
	kind := "clone"
	if info.MasterNode == n.self.Name {
		kind = "master"
		s, err = n.attachMaster(info)
	} else {
		s, err = store.AttachClone(n.ep, name, store.WithLogger(n.opts.log),
			store.WithStaleInterval(info.CloneStaleInterval), store.WithMutationBufferInterval(info.CloneMutationBufferInterval))
	}
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, errors.Join(errClosed, s.Close())
	}
	n.stores[name] = s
	n.wg.Go(func() { n.Log(fmt.Sprintf("created %s store: %s", kind, name)) })
	return s, nil
}

func (n *Node) attachMaster(info layout.StoreInfo) (*store.Store, error) {
	opts := []store.Option{store.WithLogger(n.opts.log)}
	backend, err := n.opts.backend(info)
	if err != nil {
		return nil, err
	}
	if backend != nil {
		opts = append(opts, store.WithBackend(backend))
	}
	s, err := store.AttachMaster(n.ep, info.Name, opts...)
	if err != nil && backend != nil {
		err = errors.Join(err, backend.Close())
	}
	return s, err
}

// Stores returns the stores of this node, ordered by name.
func (n *Node) Stores() []*store.Store {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []*store.Store
	for _, name := range slices.Sorted(maps.Keys(n.stores)) {
		all = append(all, n.stores[name])
	}
	return all
}
