package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zeekpeer/zeekpeer/cluster/membership"
	"github.com/zeekpeer/zeekpeer/cluster/pool"
	"github.com/zeekpeer/zeekpeer/endpoint"
	"github.com/zeekpeer/zeekpeer/wire"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// asciiWriter is the writer of all logs that nobody says otherwise of.
const asciiWriter = "Log::WRITER_ASCII"

// roundRobinKey is the key under which Zeek counts the turns of loggers (CLUSTER.md section 6.5).
const roundRobinKey = "Cluster::rr_log_topic"

// A logKey names a writer of a log.
type logKey struct{ stream, path string }

// A LogStream sends the rows of one log to the loggers of the cluster (CLUSTER.md section 6): in batches, to
// each logger in turn. It may be used by many goroutines.
//
// While no logger can be reached, rows wait, up to a bound (see [WithHeldRows]); nodes of Zeek drop them. There
// is no acknowledgement: what a logger was sent and did not write is lost.
type LogStream struct {
	node   *Node
	stream string
	path   string
	create []byte // the LogCreate, encoded
	fields []zeek.Field

	sending sync.Mutex // held while rows are sent, so that they stay in order
	mu      sync.Mutex
	rows    [][]byte // encoded LogWrites
	leaving int      // rows that are being sent
}

// NewLogStream makes a log known to the loggers, such as stream "Conn::LOG" with path "conn", and returns
// what sends its rows. A logger of Zeek takes only streams that a script of its has created; and if another
// node writes the same stream and path, the columns must be the same. A second call for a stream and path
// returns the first one's.
func (n *Node) NewLogStream(stream, path string, fields []zeek.Field) (*LogStream, error) {
	if stream == "" || path == "" || len(fields) == 0 {
		return nil, errors.New("a log wants a stream, a path and columns")
	}
	for _, f := range fields {
		if t := zeek.LogType(f.Type); !t.Atomic() && !t.Container() || t.Container() && !zeek.LogType(f.Subtype).Atomic() {
			return nil, fmt.Errorf("log %s: column %s: values of type %s cannot be logged", stream, f.Name, f.TypeName())
		}
	}
	n.makingLog.Lock()
	defer n.makingLog.Unlock()
	key := logKey{stream, path}
	n.mu.Lock()
	closed, s := n.closed, n.logs[key]
	n.mu.Unlock()
	if closed {
		return nil, errClosed
	}
	if s != nil {
		if !slices.EqualFunc(s.fields, fields, func(a, b zeek.Field) bool { return a.Name == b.Name && a.Type == b.Type && a.Subtype == b.Subtype }) {
			return nil, fmt.Errorf("log %s with path %s exists with other columns", stream, path)
		}
		return s, nil
	}
	create := zeek.LogCreate{
		Stream: stream, Writer: asciiWriter, Fields: fields,
		Info: zeek.WriterInfo{Path: path, NetworkTime: seconds(n.opts.now()), Config: data.Table()},
	}
	s = &LogStream{node: n, stream: stream, path: path, fields: slices.Clone(fields), create: create.AppendMessage(nil)}
	n.mu.Lock()
	n.logs[key] = s // first, so that a peer that comes meanwhile is told, perhaps twice
	n.mu.Unlock()
	ctx, cancel := context.WithTimeout(n.ctx, publishTime)
	defer cancel()
	_, err := n.ep.PublishPayload(ctx, s.topic(), s.create)
	return s, err
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

// topic returns the topic on which all loggers listen.
func (s *LogStream) topic() string { return membership.LogsTopic + s.stream }

// Fields returns the columns. The caller must not change them.
func (s *LogStream) Fields() []zeek.Field { return s.fields }

// Write sends a row, packed as [zeek.AppendRecord] begins it. It is checked against the columns first: one
// value of a wrong type would make a logger of Zeek give up the file. It waits for others to go with, for a
// second at the most. What is written while no logger is there waits for one.
func (s *LogStream) Write(row []byte) error {
	if err := s.check(row); err != nil {
		return fmt.Errorf("log %s: %w", s.stream, err)
	}
	write := zeek.AppendLogWrite(make([]byte, 0, len(row)+len(s.stream)+len(s.path)+96), s.stream, asciiWriter, s.path, row)
	s.mu.Lock()
	s.rows = append(s.rows, write)
	full := len(s.rows)%s.node.opts.batchSize == 0 // if more wait, that is for a logger
	s.mu.Unlock()
	if full {
		s.flush()
	}
	return nil
}

func (s *LogStream) check(row []byte) error {
	r := zeek.ReadRecord(row)
	if r.Err() == nil && r.Len() != len(s.fields) {
		return fmt.Errorf("a row of %d values, the log has %d columns", r.Len(), len(s.fields))
	}
	for i := range s.fields {
		c, ok := r.Next()
		if !ok {
			break
		}
		if uint64(c.Type) != s.fields[i].Type {
			return fmt.Errorf("column %s: a value of type %v, want %s", s.fields[i].Name, c.Type, s.fields[i].TypeName())
		}
	}
	return r.Err()
}

// flush sends the rows that wait, each to the logger whose turn it is, in one batch for each logger.
func (s *LogStream) flush() {
	n := s.node
	s.sending.Lock()
	defer s.sending.Unlock()
	s.mu.Lock()
	rows := s.rows
	s.rows, s.leaving = nil, len(rows)
	s.mu.Unlock()
	if len(rows) == 0 {
		return
	}
	byTopic := map[string][][]byte{}
	for _, row := range rows {
		topic := n.logTopic(s)
		byTopic[topic] = append(byTopic[topic], row)
	}
	var back [][]byte
	for _, topic := range slices.Sorted(maps.Keys(byTopic)) {
		rows := byTopic[topic]
		for chunk := range slices.Chunk(rows, n.opts.batchSize) {
			back = append(back, s.sendBatch(topic, chunk)...)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leaving = 0
	if len(back) == 0 {
		return
	}
	s.rows = append(back, s.rows...)
	lost := max(len(s.rows)-n.opts.maxHeld, 0)
	for i, size := len(s.rows)-1, 0; i >= lost; i-- {
		if size += len(s.rows[i]); size > maxHeldBytes {
			lost = i + 1
		}
	}
	if lost > 0 {
		s.rows = slices.Delete(s.rows, 0, lost)
		if n.counts.rowsLost.Add(uint64(lost)) == uint64(lost) {
			n.warn(fmt.Sprintf("log %s: no logger is there, and more than %d rows wait, or %d bytes: the oldest are lost, and counted", s.stream, n.opts.maxHeld, maxHeldBytes))
		}
	}
}

// maxHeldBytes bounds the rows of a log that wait for a logger, however few they are.
const maxHeldBytes = 64 << 20

// sendBatch sends rows as one batch, or as several if one would be larger than a message may be, and returns those
// that no logger took. A row that is too large alone is lost, for it always will be.
func (s *LogStream) sendBatch(topic string, rows [][]byte) (back [][]byte) {
	n := s.node
	batch := zeek.AppendBatchHead(nil, len(rows))
	for _, row := range rows {
		batch = append(batch, row...)
	}
	sent, err := n.sendRows(topic, batch)
	switch {
	case sent:
		n.counts.rowsSent.Add(uint64(len(rows)))
		return nil
	case !errors.Is(err, endpoint.ErrTooLarge):
		return rows
	case len(rows) > 1:
		half := len(rows) / 2
		return append(slices.Clip(s.sendBatch(topic, rows[:half])), s.sendBatch(topic, rows[half:])...)
	}
	n.counts.rowsLost.Add(1)
	if n.toldOfFailure.again() {
		n.opts.log.Warn("row of a log lost", "node", n.self.Name, "log", s.stream, "err", err)
	}
	return nil
}

// waiting returns how many rows are not sent yet.
func (s *LogStream) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.rows) + s.leaving
}

// sendRows sends a batch to the loggers that listen on a topic, save those that are so new that they were not
// told of the log yet: they would drop it. It reports whether there was one at least, and the last error.
func (n *Node) sendRows(topic string, batch []byte) (sent bool, err error) {
	ctx, cancel := context.WithTimeout(n.ctx, publishTime)
	defer cancel()
	loggers := n.ep.Subscribers(topic)
	n.mu.Lock()
	loggers = slices.DeleteFunc(loggers, func(id wire.EndpointID) bool { return !n.members.Peered(id) })
	n.mu.Unlock()
	for _, id := range loggers {
		var queued bool
		queued, err = n.ep.PublishTo(ctx, id, topic, batch)
		sent = sent || queued && err == nil
	}
	return sent, err
}

// logTopic returns where the next row of a log goes (CLUSTER.md section 6.5).
func (n *Node) logTopic(s *LogStream) string {
	if !n.layout.Options.EnableRoundRobinLogging {
		return s.topic()
	}
	topic, err := n.TopicRR(pool.LoggerTopic, roundRobinKey)
	if err != nil {
		return s.topic() // no logger has said hello
	}
	return topic
}

// createLogsAt tells a new peer of all logs that this node writes, as Zeek does whatever the peer is.
func (n *Node) createLogsAt(peer wire.EndpointID) {
	if membership.HandlesLogs(n.layout, n.self) {
		return
	}
	n.mu.Lock()
	logs := slices.SortedFunc(maps.Values(n.logs), func(a, b *LogStream) int { return strings.Compare(a.stream+a.path, b.stream+b.path) })
	n.mu.Unlock()
	for _, s := range logs {
		ctx, cancel := context.WithTimeout(n.ctx, publishTime)
		if _, err := n.ep.PublishTo(ctx, peer, s.topic(), s.create); err != nil && n.ctx.Err() == nil {
			n.opts.log.Warn("log not made known", "node", n.self.Name, "log", s.stream, "peer", peer, "err", err)
		}
		cancel()
	}
}

// flushLogs sends what waits, once in a while, until the node is closed.
func (n *Node) flushLogs() {
	ticker := time.NewTicker(n.opts.batchTime)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			n.FlushLogs()
		case <-n.ctx.Done():
			return
		}
	}
}

// FlushLogs sends the rows of all logs that wait.
func (n *Node) FlushLogs() {
	n.mu.Lock()
	logs := slices.Collect(maps.Values(n.logs))
	n.mu.Unlock()
	for _, s := range logs {
		s.flush()
	}
}

// clusterFields are the columns of the log of the cluster (CLUSTER.md section 9).
var clusterFields = []zeek.Field{
	{Name: "ts", Type: uint64(zeek.LogTime)}, {Name: "node", Type: uint64(zeek.LogString)}, {Name: "message", Type: uint64(zeek.LogString)},
}

// Log writes a row to the log of the cluster, cluster.log, in the name of this node: Cluster::log. A node that
// handles logs itself only tells its own logger.
func (n *Node) Log(message string) {
	n.opts.log.Info(message, "node", n.self.Name)
	row := zeek.AppendLogTime(zeek.AppendRecord(nil, len(clusterFields)), n.opts.now())
	row = zeek.AppendLogText(zeek.AppendLogText(row, zeek.LogString, n.self.Name), zeek.LogString, message)
	if n.opts.logPolicy != nil && !n.opts.logPolicy("Cluster::LOG", row) {
		return
	}
	if membership.HandlesLogs(n.layout, n.self) {
		return
	}
	s, err := n.NewLogStream("Cluster::LOG", "cluster", clusterFields)
	if err == nil {
		err = s.Write(row)
	}
	if err != nil && !errors.Is(err, errClosed) && n.ctx.Err() == nil {
		n.opts.log.Warn("row of cluster.log not sent", "node", n.self.Name, "err", err)
	}
}
