package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"

	"github.com/zeekpeer/zeekpeer/cluster"
	"github.com/zeekpeer/zeekpeer/cluster/pool"
	"github.com/zeekpeer/zeekpeer/wire/data"
	"github.com/zeekpeer/zeekpeer/wire/zeek"
)

// A nodeInput publishes what comes on standard input, one event a line. A line that is none is told of and counted,
// and the node goes on.
type nodeInput struct {
	node *cluster.Node
	log  *slog.Logger

	published, nobody, bad atomic.Uint64
}

// A nodeLine is an event on standard input. It goes to a topic, or to a member of a pool: the next (rr) or that to
// which the key leads (hrw).
type nodeLine struct {
	Type  string            `json:"type"` // "data-message" for what pub takes
	Topic string            `json:"topic"`
	RR    string            `json:"rr"`
	HRW   string            `json:"hrw"`
	Key   json.RawMessage   `json:"key"`
	Event string            `json:"event"`
	Args  []json.RawMessage `json:"args"`

	DataType json.RawMessage `json:"@data-type"` // what else a data message has
	Data     json.RawMessage `json:"data"`
}

// read publishes the lines of r until they end.
func (in *nodeInput) read(ctx context.Context, r io.Reader) {
	eachLine(r, func(number int, text []byte, err error) (more bool) {
		if err == nil {
			err = in.line(ctx, text)
		}
		switch {
		case ctx.Err() != nil:
			return false
		case errors.Is(err, errNobodyThere):
			if in.nobody.Add(1) == 1 {
				in.log.Warn("standard input: an event went nowhere; more are only counted", "line", number, "err", err)
			}
		case err != nil:
			in.bad.Add(1)
			in.log.Error("standard input: line not published", "line", number, "err", err)
		default:
			in.published.Add(1)
		}
		return true
	})
}

var errNobodyThere = errors.New("no peer is subscribed")

// line publishes one line.
func (in *nodeInput) line(ctx context.Context, text []byte) error {
	var l nodeLine
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields() // a misspelt one would make another event
	if err := decoder.Decode(&l); err != nil {
		return fmt.Errorf("not JSON as it should be: %w", err)
	}
	if decoder.More() {
		return errors.New("more than one JSON value on a line")
	}
	var topic string
	var payload []byte
	if l.Type == "data-message" {
		var v data.Value
		var err error
		if topic, v, err = data.ParseJSONMessage(text, data.AnyJSON); err != nil {
			return err
		}
		payload = data.AppendValue(nil, v)
	} else {
		var err error
		if topic, err = in.topic(&l); err != nil {
			return err
		}
		if l.Event == "" {
			return errors.New(`no "event"`)
		}
		args := make([]data.Value, len(l.Args))
		for i, arg := range l.Args {
			if args[i], err = lineValue(arg); err != nil {
				return fmt.Errorf("argument %d: %w", i+1, err)
			}
		}
		payload = zeek.AppendEvent(nil, l.Event, args...)
	}
	receivers, err := in.node.Endpoint().PublishPayload(ctx, topic, payload)
	if err == nil && receivers == 0 {
		err = fmt.Errorf("%w to %s", errNobodyThere, topic)
	}
	return err
}

// pools are the names of Zeek's pools on standard input.
var pools = map[string]string{"proxy": pool.ProxyTopic, "worker": pool.WorkerTopic, "logger": pool.LoggerTopic}

// topic returns where an event goes.
func (in *nodeInput) topic(l *nodeLine) (topic string, err error) {
	named := 0
	for _, s := range []string{l.Topic, l.RR, l.HRW} {
		if s != "" {
			named++
		}
	}
	if named != 1 {
		return "", errors.New(`want one of "topic", "rr" and "hrw"`)
	}
	if l.Topic != "" {
		return l.Topic, nil
	}
	name := l.RR + l.HRW
	if known, ok := pools[name]; ok {
		name = known
	}
	key := data.String("")
	switch {
	case l.Key != nil:
		if key, err = lineValue(l.Key); err != nil {
			return "", fmt.Errorf("key: %w", err)
		}
	case l.HRW != "":
		return "", errors.New(`"hrw" wants a "key"`)
	}
	if l.RR != "" {
		topic, err = in.node.TopicRR(name, string(data.AppendText(nil, key)))
	} else {
		topic, err = in.node.TopicHRW(name, key)
	}
	if errors.Is(err, cluster.ErrNobody) {
		err = fmt.Errorf("%w: %w", errNobodyThere, err)
	}
	return topic, err
}

// lineValue returns a value on standard input: a string is one as on the command line, such as "count:7"; everything
// else is Broker's JSON (v1).
func lineValue(raw json.RawMessage) (data.Value, error) {
	switch raw[0] {
	case '"':
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return data.None(), err
		}
		return data.ParseArg(text)
	case '{':
		return data.ParseJSON(raw, data.StrictJSON)
	}
	return data.None(), fmt.Errorf(`%s: want a string such as "x" or "count:7", or {"@data-type": ..., "data": ...}`, raw)
}
