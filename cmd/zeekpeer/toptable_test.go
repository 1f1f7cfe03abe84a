package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/zeekpeer/zeekpeer/endpoint/admin"
	"github.com/zeekpeer/zeekpeer/wire"
)

// statuses are two looks at a node, two seconds apart.
func statuses() (before, now admin.Status) {
	start := time.Date(2026, 1, 31, 10, 0, 0, 0, time.UTC)
	id := func(b byte) wire.EndpointID { return wire.EndpointID{b, b, b, b} }
	busy := admin.Peer{ID: id(0xbb), Addr: "10.0.0.5:9999", Dialed: true, Since: start, RTT: 1234567 * time.Nanosecond, Traffic: admin.Traffic{
		FramesIn: 100, BytesIn: 10000, Queued: 3, QueuedBytes: 3 << 20, Dropped: map[string]uint64{"ttl used up": 3, "queue full": 12, "malformed": 0}}}
	idle := admin.Peer{ID: id(0xaa), Addr: "10.0.0.6:51234\x1b", Since: start.Add(time.Hour), Traffic: admin.Traffic{FramesOut: 7}}
	before = admin.Status{
		ID: id(0xcc), Version: "v1", Started: start, Now: start.Add(90 * time.Minute),
		Stats:  admin.Stats{Traffic: admin.Traffic{FramesIn: 100, BytesIn: 10000, FramesOut: 7}},
		Peers:  []admin.Peer{idle, busy},
		Topics: []admin.Topic{{Topic: "/a", MessagesIn: 100, BytesIn: 10000}, {Topic: "/b\n", MessagesOut: 7, BytesOut: 70}},
	}
	now = before
	now.Now = before.Now.Add(2 * time.Second)
	busy.FramesIn, busy.BytesIn, busy.FramesOut, busy.BytesOut = 40100, 4<<20, 1, 5
	// A peer that has come back begins at zero.
	idle.Since, idle.FramesOut = now.Now.Add(-time.Second), 2
	now.Peers = []admin.Peer{idle, busy}
	now.Stats = admin.Stats{Traffic: admin.Traffic{FramesIn: 40100, BytesIn: 4 << 20, FramesOut: 10, BytesOut: 75, Queued: 3, QueuedBytes: 3 << 20,
		Dropped: map[string]uint64{"queue full": 12}}, PeeringsEnded: 1, Refused: 2, DialsFailed: 3}
	now.Topics = []admin.Topic{{Topic: "/a", MessagesIn: 100, BytesIn: 10000}, {Topic: "/b\n", MessagesOut: 10, BytesOut: 100}, {Topic: "/c", MessagesIn: 3}}
	return before, now
}

func TestTable(t *testing.T) {
	before, now := statuses()
	want := `node cccccccc-0000-0000-0000-000000000000  up 1h30m  version v1
2 peers  in 20.0k/s 2.0 MiB/s  out 1.5/s 38 B/s  queued 3 (3 MiB)
peerings ended 1  connections refused 2  dials failed 3  dropped: queue full 12

PEER      ADDRESS                  UP     RTT      QUEUE   IN/s  OUT/s         IN      OUT  DROPPED
bbbbbbbb  > 10.0.0.5:9999       1h30m  1.23ms  3 (3 MiB)  20.0k    0.5  2.0 MiB/s  2.5 B/s  queue full 12, ttl used up 3
aaaaaaaa  < 10.0.0.6:51234\x1b     1s       -    0 (0 B)      0    1.0      0 B/s    0 B/s  0

IN/s  OUT/s     IN     OUT  MESSAGES  TOPIC
   0    1.5  0 B/s  15 B/s        10  /b\x0a
 1.5      0  0 B/s   0 B/s         3  /c
   0      0  0 B/s   0 B/s       100  /a
`
	if diff := cmp.Diff(want, table(&before, &now, tableSize{})); diff != "" {
		t.Error(diff)
	}
	small := strings.Split(strings.TrimSuffix(table(&before, &now, tableSize{width: 30, height: 10}), "\n"), "\n")
	if len(small) != 10 || !strings.Contains(small[9], "/b") && len(small[9]) > 30 {
		t.Errorf("%d lines: %q", len(small), small)
	}
	for _, line := range small {
		if len(line) > 30 {
			t.Errorf("%q is longer than 30 columns", line)
		}
	}
}
