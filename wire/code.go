package wire

import "strconv"

// Code is one of Broker's error codes (PROTOCOL.md section 5).
type Code uint8

// The codes that this side of Broker says or acts upon; [Code.String] knows all of them.
const (
	CodeNone                Code = 0
	CodeUnspecified         Code = 1
	CodePeerIncompatible    Code = 2
	CodePeerInvalid         Code = 3
	CodePeerUnavailable     Code = 4
	CodeInvalidMessage      Code = 20
	CodeShuttingDown        Code = 28
	CodeWrongMagicNumber    Code = 38
	CodeRedundantConnection Code = 39
	CodeLogicError          Code = 40
)

var codeNames = [...]string{
	"none", "unspecified", "peer_incompatible", "peer_invalid", "peer_unavailable",
	"peer_disconnect_during_handshake", "peer_timeout", "master_exists", "no_such_master", "no_such_key",
	"request_timeout", "type_clash", "invalid_data", "backend_failure", "stale_data",
	"cannot_open_file", "cannot_write_file", "invalid_topic_key", "end_of_file", "invalid_tag",
	"invalid_message", "invalid_status", "conversion_failed", "consumer_exists",
	"connection_timeout", "bad_member_function_call", "repeated_request_id", "broken_clone",
	"shutting_down", "invalid_peering_request", "repeated_peering_handshake_request",
	"unexpected_handshake_message", "invalid_handshake_state", "no_path_to_peer",
	"no_connector_available", "cannot_open_resource", "serialization_failed",
	"deserialization_failed", "wrong_magic_number", "redundant_connection", "logic_error",
	"invalid_json",
}

// String returns Broker's name of the code.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return "unknown error code " + strconv.Itoa(int(c))
}
