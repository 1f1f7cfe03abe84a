package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/clustertest"
	"github.com/zeekpeer/zeekpeer/cluster/layout"
	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

func create(t *testing.T, n *cluster.Node, name string) *store.Store {
	t.Helper()
	s, err := n.CreateStore(name, false)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestStores: one node has the master, the others clones that may be used before it is there, and all agree.
func TestStores(t *testing.T) {
	b := newSwitchboard(t, 1, 1, 2, "stores:\n  elsewhere: {master_node: proxy-1}\n")
	for name, home := range map[string]string{"here": "manager", "elsewhere": "proxy-1"} {
		t.Run(name, func(t *testing.T) {
			var clones []*store.Store
			for other := range links {
				if other == home || other == "logger-1" && home == "proxy-1" {
					continue
				}
				n := b.node(t, other)
				clustertest.Run(t, n)
				s := create(t, n, name)
				if s.Role() != store.Clone {
					t.Errorf("%s has a %v", other, s.Role())
				}
				clones = append(clones, s)
			}
			early, err := clones[0].Submit(clustertest.Limited(t), store.PutOp(data.String("early"), data.Count(1)))
			if err != nil {
				t.Fatal(err)
			}
			owner := b.node(t, home)
			clustertest.Run(t, owner)
			master := create(t, owner, name)
			if master.Role() != store.Master {
				t.Errorf("%s has a %v", home, master.Role())
			}
			if outcome, err := early.Wait(clustertest.Limited(t)); err != nil || outcome != store.Applied {
				t.Errorf("%v, %v", outcome, err)
			}
			for i, s := range clones {
				if err := s.WaitReady(clustertest.Limited(t)); err != nil {
					t.Fatal(err)
				}
				for k := range 10 {
					if _, err := s.Put(clustertest.Limited(t), data.String(fmt.Sprint(i, k)), data.Count(uint64(k))); err != nil {
						t.Fatal(err)
					}
				}
			}
			want := 1 + 10*len(clones)
			for _, s := range append(clones, master) {
				clustertest.Until(t, "all entries", func() bool { return s.Status().Entries == want })
				if v, err := s.Get(clustertest.Limited(t), data.String("early")); err != nil || !v.Equal(data.Count(1)) {
					t.Errorf("%v, %v", v, err)
				}
			}
			again := create(t, owner, name)
			if again != master || len(owner.Stores()) != 1 || owner.Status().Stores[0].Entries != want {
				t.Error("a second store of one name")
			}
		})
	}
}

// TestStoreFiles: a store on a disk is opened by whoever makes the node, with what the layout says of it.
func TestStoreFiles(t *testing.T) {
	b := newSwitchboard(t, 1, 1, 1, "options:\n  default_store_dir: /some/where\n")
	n := b.node(t, "manager")
	if _, err := n.CreateStore("kept", true); err == nil || !strings.Contains(err.Error(), "without the backend Broker::SQLITE") {
		t.Error(err)
	}
	var asked layout.StoreInfo
	no := errors.New("no disk")
	n = b.node(t, "manager", cluster.WithBackends(func(i layout.StoreInfo) (store.Backend, error) { asked = i; return nil, no }))
	if _, err := n.CreateStore("kept", true); !errors.Is(err, no) || asked.Path != "/some/where/kept.sqlite" || asked.Name != "kept" {
		t.Errorf("%v, %+v", err, asked)
	}
	state, err := store.OpenState(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	n = b.node(t, "manager", cluster.WithBackends(func(layout.StoreInfo) (store.Backend, error) { return state, nil }))
	s, err := n.CreateStore("kept", true)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(clustertest.Limited(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(context.Background(), data.Count(1)); !errors.Is(err, store.ErrClosed) {
		t.Error(err)
	}
	if _, err := n.CreateStore("late", false); err == nil {
		t.Error("a closed node makes stores")
	}
}
