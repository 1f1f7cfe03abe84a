package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zeekpeer/zeekpeer/endpoint/admin"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/capture"
	"github.com/zeekpeer/zeekpeer/wire/data"
)

// A tableSize is how much fits the terminal; zero is no limit.
type tableSize struct{ width, height int }

// mostTopics is how many topics are listed if the terminal sets no limit.
const mostTopics = 20

// rates are what went through in a second.
type rates struct{ in, out, bytesIn, bytesOut float64 }

func (r rates) total() float64 { return r.in + r.out }

// columns returns the rates as columns of a table.
func (r rates) columns() []string {
	return []string{rate(r.in), rate(r.out), bytesText(r.bytesIn) + "/s", bytesText(r.bytesOut) + "/s"}
}

// ratesOf returns the rates between two sets of counters, which begin again at zero when a peer or a
// node does.
func ratesOf(before, now [4]uint64, d time.Duration) (r rates) {
	for i, to := range []*float64{&r.in, &r.out, &r.bytesIn, &r.bytesOut} {
		if now[i] >= before[i] && d > 0 {
			*to = float64(now[i]-before[i]) / d.Seconds()
		}
	}
	return r
}

func trafficCounters(t *admin.Traffic) [4]uint64 {
	return [4]uint64{t.FramesIn, t.FramesOut, t.BytesIn, t.BytesOut}
}

func topicCounters(t *admin.Topic) [4]uint64 {
	return [4]uint64{t.MessagesIn, t.MessagesOut, t.BytesIn, t.BytesOut}
}

// table returns what a node has done between two looks at it, as text.
func table(before, now *admin.Status, size tableSize) string {
	d := now.Now.Sub(before.Now)
	s := &now.Stats
	all := ratesOf(trafficCounters(&before.Stats.Traffic), trafficCounters(&s.Traffic), d)
	lines := []string{
		fmt.Sprintf("node %v  up %s  version %s", now.ID, age(now.Now.Sub(now.Started)), now.Version),
		fmt.Sprintf("%d peers  in %s/s %s/s  out %s/s %s/s  queued %d (%s)", len(now.Peers),
			rate(all.in), bytesText(all.bytesIn), rate(all.out), bytesText(all.bytesOut), s.Queued, bytesText(float64(s.QueuedBytes))),
		fmt.Sprintf("peerings ended %d  connections refused %d  dials failed %d  dropped: %s",
			s.PeeringsEnded, s.Refused, s.DialsFailed, drops(s.Dropped)),
		"",
	}
	lines = append(lines, peerTable(before, now, d)...)
	lines = append(lines, "")
	topics := topicTable(before, now, d)
	most := 1 + mostTopics
	if size.height > 0 {
		most = max(size.height-len(lines), 0)
	}
	lines = append(lines, topics[:min(most, len(topics))]...)
	if size.height > 0 && len(lines) > size.height {
		lines = lines[:size.height]
	}
	if size.width > 0 {
		for i, line := range lines {
			lines[i] = cutRunes(line, size.width)
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// peerTable lists the peers, those with the most traffic first.
func peerTable(before, now *admin.Status, d time.Duration) []string {
	type key struct {
		id    wire.EndpointID
		since int64
	}
	was := make(map[key][4]uint64, len(before.Peers))
	for i := range before.Peers {
		p := &before.Peers[i]
		was[key{p.ID, p.Since.UnixNano()}] = trafficCounters(&p.Traffic)
	}
	type row struct {
		peer  *admin.Peer
		rates rates
	}
	rows := make([]row, len(now.Peers))
	for i := range now.Peers {
		p := &now.Peers[i]
		rows[i] = row{p, ratesOf(was[key{p.ID, p.Since.UnixNano()}], trafficCounters(&p.Traffic), d)}
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(b.rates.total(), a.rates.total()) })
	table := [][]string{{"PEER", "ADDRESS", "UP", "RTT", "QUEUE", "IN/s", "OUT/s", "IN", "OUT", "DROPPED"}}
	for _, r := range rows {
		p := r.peer
		arrow := "<"
		if p.Dialed {
			arrow = ">"
		}
		rtt := "-"
		if p.RTT > 0 {
			rtt = shortDuration(p.RTT)
		}
		line := []string{capture.ShortID(p.ID), arrow + " " + string(data.AppendPrintable(nil, p.Addr)), age(now.Now.Sub(p.Since)), rtt,
			fmt.Sprintf("%d (%s)", p.Queued, bytesText(float64(p.QueuedBytes)))}
		table = append(table, append(append(line, r.rates.columns()...), drops(p.Dropped)))
	}
	return aligned(table, 2, 9)
}

// topicTable lists the topics, those with the most traffic first.
func topicTable(before, now *admin.Status, d time.Duration) []string {
	was := make(map[string][4]uint64, len(before.Topics))
	for i := range before.Topics {
		was[before.Topics[i].Topic] = topicCounters(&before.Topics[i])
	}
	type row struct {
		topic *admin.Topic
		rates rates
	}
	rows := make([]row, len(now.Topics))
	for i := range now.Topics {
		t := &now.Topics[i]
		rows[i] = row{t, ratesOf(was[t.Topic], topicCounters(t), d)}
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		return cmp.Or(cmp.Compare(b.rates.total(), a.rates.total()),
			cmp.Compare(b.topic.MessagesIn+b.topic.MessagesOut, a.topic.MessagesIn+a.topic.MessagesOut))
	})
	table := [][]string{{"IN/s", "OUT/s", "IN", "OUT", "MESSAGES", "TOPIC"}}
	for _, r := range rows {
		line := append(r.rates.columns(), fmt.Sprint(r.topic.MessagesIn+r.topic.MessagesOut), string(data.AppendPrintable(nil, r.topic.Topic)))
		table = append(table, line)
	}
	return aligned(table, 0, 5)
}

// aligned lays a table out. The columns from first to last, the latter excluded, are figures and stand
// at the right.
func aligned(table [][]string, first, last int) []string {
	widths := make([]int, len(table[0]))
	for _, row := range table {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	lines := make([]string, len(table))
	for n, row := range table {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i > 0 {
				line.WriteString("  ")
			}
			if i >= first && i < last {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
		}
		lines[n] = strings.TrimRight(line.String(), " ")
	}
	return lines
}

// drops lists what was lost, by reason, "0" if nothing was.
func drops(byReason map[string]uint64) string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		if n := byReason[reason]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", reason, n))
		}
	}
	if len(parts) == 0 {
		return "0"
	}
	return strings.Join(parts, ", ")
}

// rate returns a figure with about three digits.
func rate(f float64) string {
	switch {
	case f >= 1e6:
		return fmt.Sprintf("%.2fM", f/1e6)
	case f >= 1e4:
		return fmt.Sprintf("%.1fk", f/1e3)
	case f >= 10 || f == 0:
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprintf("%.1f", f)
}

// bytesText returns a number of bytes in the largest unit that fits.
func bytesText(f float64) string {
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if f < 1024 || unit == "GiB" {
			if f < 10 && f != float64(int64(f)) {
				return fmt.Sprintf("%.1f %s", f, unit)
			}
			return fmt.Sprintf("%.0f %s", f, unit)
		}
		f /= 1024
	}
	return ""
}

// age returns how long something has been, in its two largest units.
func age(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d >= 24*time.Hour:
		return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d/time.Hour%24)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d/time.Minute%60)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d/time.Second%60)
	}
	return fmt.Sprintf("%ds", max(d, 0)/time.Second)
}

// shortDuration returns a round trip with about three digits.
func shortDuration(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}

// cutRunes cuts a line to the width of the terminal.
func cutRunes(line string, width int) string {
	for i := range line {
		if width == 0 {
			return line[:i]
		}
		width--
	}
	return line
}
