package websocket

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/zeekpeer/zeekpeer/wire"
)

// A control is a message that is no data message: the ack, with Endpoint and Version, or an error, with
// Code and Context.
type control struct {
	Type     string `json:"type"`
	Endpoint string `json:"endpoint,omitempty"`
	Version  string `json:"version,omitempty"`
	Code     string `json:"code,omitempty"`
	Context  string `json:"context,omitempty"`
}

// Codes of errors, as Broker and Zeek name them, and some of our own.
const (
	codeDeserialization = "deserialization_failed"
	codeUnspecified     = "unspecified"
	codeAppName         = "invalid_application_name"
	codeTopic           = "invalid_topic"
	codeQueueFull       = "queue_full"
	codeNotAllowed      = "not_allowed"
)

func (m control) encode() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(m) // strings always can be encoded
	return bytes.TrimSpace(b.Bytes())
}

// A ServerError is an error message: what the server makes of something that it was sent.
type ServerError struct {
	Code    string // Broker's name of it, such as "deserialization_failed"
	Context string // for people
}

func (e *ServerError) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Context) }

// parseTopics parses the first message of a client. The texts of the first two errors are Zeek's.
func parseTopics(b []byte) ([]string, *ServerError) {
	var list []any
	if err := json.Unmarshal(b, &list); err != nil || list == nil {
		return nil, &ServerError{codeDeserialization, "subscriptions not an array"}
	}
	if len(list) > MaxTopics {
		return nil, &ServerError{codeTopic, fmt.Sprintf("%d topics, at most %d", len(list), MaxTopics)}
	}
	topics := make([]string, len(list))
	for i, v := range list {
		name, ok := v.(string)
		if !ok {
			return nil, &ServerError{codeDeserialization, "individual subscription not a string"}
		}
		if len(name) > wire.MaxTopicLen {
			return nil, &ServerError{codeTopic, fmt.Sprintf("topic of %d bytes, at most %d", len(name), wire.MaxTopicLen)}
		}
		topics[i] = name
	}
	return topics, nil
}
