package interop

import (
	"os"
	"strings"
	"testing"

	"github.com/zeekpeer/zeekpeer/endpoint"
	player "github.com/zeekpeer/zeekpeer/interop/replay"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A recorded worker, played against a real node: the node takes all that it sent, and passes it on.
func TestNodeTakesReplay(t *testing.T) {
	withNodes(t, func(t *testing.T, program string) {
		file, err := os.Open("testdata/zeek/8.2.2-tsv/links/worker-1_to_logger-1-0.jsonl.gz")
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		links, err := player.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		n := startNode(t, program, "relay", `--topics=["zeek/"]`)
		to := newEndpoint(t)
		sub, err := to.Subscribe([]string{"zeek/"}, endpoint.AllowBlockingStores(), endpoint.WithQueue(endpoint.QueueLimits{Messages: 1 << 20}))
		if err != nil {
			t.Fatal(err)
		}
		connect(t, to, n.addr)
		var count player.Count
		o := player.Options{Times: 1, As: "worker-9", Endpoint: []endpoint.Option{endpoint.WithSecurity(endpoint.PlainTCP())}}
		if err := links[0].Play(deadline(t), n.addr, o, &count); err != nil {
			t.Fatal(err)
		}
		if count.Unrouted.Load() != 0 || count.Rows.Load() != uint64(links[0].Rows) {
			t.Errorf("%d messages unrouted, %d of %d rows", count.Unrouted.Load(), count.Rows.Load(), links[0].Rows)
		}
		// What is addressed to the node alone is not passed on.
		rows, hellos := 0, 0
		for m := range sub.Messages(deadline(t)) {
			message, err := zeek.Parse(m.Payload())
			if err != nil {
				t.Fatal(err)
			}
			switch message := message.(type) {
			case zeek.Batch:
				rows += len(message)
			case zeek.Event:
				if message.Name == "Cluster::hello" && strings.Contains(message.Args[0].String(), "worker-9") {
					hellos++
				}
			}
			if rows == links[0].Rows {
				break
			}
		}
		if hellos != 1 {
			t.Errorf("%d hellos", hellos)
		}
	})
}
