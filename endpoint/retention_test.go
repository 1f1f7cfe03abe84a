package endpoint_test

import (
	"bytes"
	"context"
	"runtime"
	"testing"

	"github.com/zeekpeer/zeekpeer/endpoint"
)

// Whoever keeps one message in a thousand keeps a thousandth of the memory.
func TestRetention(t *testing.T) {
	total, every := 5_000_000, 1000
	if testing.Short() || endpoint.Race {
		total = 200_000
	}
	node := newEndpoint(t)
	sub := subscribe(t, node, []string{"/bench"}, endpoint.WithQueue(endpoint.QueueLimits{Policy: endpoint.Block}))
	before := heap()
	sender := startRole(t, nil, "sender", listen(t, node))
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	kept := make([]endpoint.Message, 0, total/every)
	seen := 0
	for m := range sub.Messages(ctx) {
		if seen%every == 0 {
			kept = append(kept, m.Clone())
		}
		if seen++; seen == total {
			break
		}
	}
	sender.kill()
	sub.Close()
	if len(kept) != total/every {
		t.Fatalf("%d of %d messages", seen, total)
	}
	if used := int64(heap()) - int64(before); used > 20<<20 {
		t.Errorf("%d bytes in use", used)
	}
	for i, m := range kept {
		if _, err := m.Event(); err != nil || !bytes.HasSuffix(benchFrame(), m.Payload()) || m.Topic() != benchTopic || m.Sender() != benchID {
			t.Fatalf("clone %d: %s %x, %v", i, m.Topic(), m.Payload(), err)
		}
	}
	runtime.KeepAlive(kept)
}
