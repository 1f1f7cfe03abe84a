package store_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/netip"
	"slices"
	"time"

	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/store"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// peers returns two nodes that are peers over loopback.
func peers(ctx context.Context) (manager, worker *endpoint.Endpoint) {
	var nodes [2]*endpoint.Endpoint
	for i := range nodes {
		var err error
		if nodes[i], err = endpoint.New(); err != nil {
			log.Fatal(err)
		}
	}
	addr, err := nodes[0].Listen(ctx, "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	if _, err := nodes[1].Peer(addr.String()); err != nil {
		log.Fatal(err)
	}
	if err := nodes[1].WaitPeers(ctx, 1); err != nil {
		log.Fatal(err)
	}
	return nodes[0], nodes[1]
}

// A blocklist that a manager keeps and workers watch. What stands under an address is a record, as Zeek
// sends it.
func Example_blocklist() {
	type block struct {
		Reason string        `zeek:"reason"`
		For    time.Duration `zeek:"duration"`
	}
	ctx := context.Background()
	manager, worker := peers(ctx)
	defer manager.Close(ctx)
	defer worker.Close(ctx)

	master, err := store.AttachMaster(manager, "blocklist")
	if err != nil {
		log.Fatal(err)
	}
	defer master.Close()
	scanner := netip.MustParseAddr("192.0.2.1")
	if _, err := store.Put(ctx, master, scanner, block{"scanner", time.Hour}); err != nil {
		log.Fatal(err)
	}

	clone, err := store.AttachClone(worker, "blocklist")
	if err != nil {
		log.Fatal(err)
	}
	defer clone.Close()
	for u, err := range clone.Watch(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		switch u.Kind {
		case store.Snapshot: // comes first
			fmt.Println("addresses to begin with:", u.Len())
			if _, err := store.Put(ctx, master, netip.MustParseAddr("192.0.2.2"), block{"spammer", time.Minute}); err != nil {
				log.Fatal(err)
			}
			continue
		default:
			fmt.Println(u.Kind, u.Key())
		}
		break
	}
	// Reads come from the clone's memory.
	b, err := store.Get[block](ctx, clone, scanner)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(b.Reason, b.For)
	// Output:
	// addresses to begin with: 1
	// insert 192.0.2.2
	// scanner 1h0m0s
}

// A counter to which several nodes add. No addition is lost: the master executes them one after the
// other.
func Example_counter() {
	ctx := context.Background()
	manager, worker := peers(ctx)
	defer manager.Close(ctx)
	defer worker.Close(ctx)

	master, err := store.AttachMaster(manager, "counters")
	if err != nil {
		log.Fatal(err)
	}
	defer master.Close()
	clone, err := store.AttachClone(worker, "counters")
	if err != nil {
		log.Fatal(err)
	}
	defer clone.Close()

	logins := data.String("logins")
	var pending []*store.Pending
	for range 100 {
		for _, s := range []*store.Store{master, clone} {
			p, err := s.Submit(ctx, store.IncrementOp(logins, data.Count(1)))
			if err != nil {
				log.Fatal(err)
			}
			pending = append(pending, p)
		}
	}
	for _, p := range pending {
		if outcome, err := p.Wait(ctx); err != nil || outcome != store.Applied {
			log.Fatal(outcome, err)
		}
	}
	n, err := store.Get[uint64](ctx, master, "logins")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n)
	// Output: 200
}

// A cache whose entries vanish everywhere when their time is over, and into which of all who come at the
// same time one puts a value.
func Example_cache() {
	ctx := context.Background()
	manager, worker := peers(ctx)
	defer manager.Close(ctx)
	defer worker.Close(ctx)

	master, err := store.AttachMaster(manager, "cache")
	if err != nil {
		log.Fatal(err)
	}
	defer master.Close()
	clone, err := store.AttachClone(worker, "cache")
	if err != nil {
		log.Fatal(err)
	}
	defer clone.Close()

	name, addr := data.String("zeek.org"), data.Addr(netip.MustParseAddr("192.0.2.80"))
	for u, err := range clone.Watch(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		switch u.Kind {
		case store.Snapshot:
			first, err := clone.PutUnique(ctx, name, addr, store.Expires(200*time.Millisecond))
			if err != nil {
				log.Fatal(err)
			}
			second, err := master.PutUnique(ctx, name, data.None())
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println("first:", first)
			fmt.Println("second:", second)
			continue
		case store.Inserted:
			fmt.Println("insert", u.Key(), u.Value(), u.Expiry)
			continue
		case store.Expired:
			fmt.Println("expire", u.Key())
		}
		break
	}
	if _, err := clone.Get(ctx, name); errors.Is(err, store.ErrNoSuchKey) {
		fmt.Println("gone")
	}
	// Output:
	// first: applied
	// second: no effect or failed
	// insert zeek.org 192.0.2.80 200ms
	// expire zeek.org
	// gone
}

// All entries as Go values.
func ExampleAll() {
	ctx := context.Background()
	node, err := endpoint.New()
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close(ctx)
	master, err := store.AttachMaster(node, "ports")
	if err != nil {
		log.Fatal(err)
	}
	defer master.Close()
	for name, port := range map[string]uint16{"ssh": 22, "smtp": 25, "https": 443} {
		if _, err := store.Put(ctx, master, name, port); err != nil {
			log.Fatal(err)
		}
	}
	var lines []string
	for entry, err := range store.All[string, uint16](ctx, master) {
		if err != nil {
			log.Fatal(err)
		}
		lines = append(lines, fmt.Sprint(entry.Value, " ", entry.Key))
	}
	slices.Sort(lines)
	fmt.Println(lines)
	// Output: [22 ssh 25 smtp 443 https]
}
