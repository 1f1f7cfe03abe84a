package layout

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/zeekpeer/zeekpeer/wire/data"
)

// NodeType is what a node does in a cluster, in Zeek's order (section 2.1).
type NodeType uint8

// The types of nodes.
const (
	None        NodeType = iota // not clustered
	Control                     // zeekctl's entry for itself
	Logger                      // receives logs and writes them
	Manager                     // decides
	Proxy                       // shares the load
	Worker                      // analyses traffic
	TimeMachine                 // up to Zeek 7.0
)

var typeNames = [...]string{"none", "control", "logger", "manager", "proxy", "worker", "time_machine"}

// String returns the type as Zeek writes it, such as "Cluster::WORKER".
func (t NodeType) String() string { return "Cluster::" + strings.ToUpper(t.Word()) }

// Word returns the type as a native layout has it, such as "worker".
func (t NodeType) Word() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "type_" + strconv.Itoa(int(t))
}

// parseType returns the type that Word names.
func parseType(word string) (NodeType, bool) {
	i := slices.Index(typeNames[:], word)
	return NodeType(max(i, 0)), i >= 0
}

// Port is a port with its protocol. The zero Port is Zeek's 0/unknown.
type Port = data.TransportPort

// tcp returns a TCP port.
func tcp(number uint16) Port { return Port{Number: number, Proto: data.ProtoTCP} }

// portText returns a port as Zeek writes it.
func portText(p Port) string {
	if p.Proto == data.ProtoUnknown {
		return strconv.Itoa(int(p.Number)) + "/unknown"
	}
	return p.String()
}

// parsePort parses a port as Zeek writes it, such as "47760/tcp".
func parsePort(text string) (Port, bool) {
	number, word, _ := strings.Cut(text, "/")
	n, err := strconv.ParseUint(number, 10, 16)
	proto, ok := parseProto(word)
	return Port{Number: uint16(n), Proto: proto}, err == nil && ok
}

func parseProto(word string) (data.Proto, bool) {
	i := slices.Index([]string{"unknown", "tcp", "udp", "icmp"}, word)
	return data.Proto(max(i, 0)), i >= 0
}

// A Node is an entry of Cluster::nodes with its name (section 2.2). The id of the instance that is connected, which
// Zeek keeps there too, is no part of a layout.
type Node struct {
	Name        string
	Type        NodeType
	IP          netip.Addr // what others dial, without zone
	ZoneID      string     // the zone of IP, "" for none; Zeek itself dials without
	Port        Port       // where it listens; zero: it does not
	Interface   string     // what it sniffs; in Zeek up to 7.0
	Manager     string     // the manager that it dials, "" for none
	TimeMachine string     // the time machine that it dials, "" for none; up to 7.0
	MetricsPort Port       // where it tells Prometheus; zero: as its configuration says; from 7.0
	LBFilter    string     // a filter for load balancing; up to 7.0
}

// Listens reports whether the node has a port to listen on (section 4.1).
func (n *Node) Listens() bool { return n.Port != Port{} && n.Type != None }

// DialAddr returns where others dial the node, such as "10.0.0.1:27760" or "[fe80::1%eth0]:27760".
func (n *Node) DialAddr() string {
	ip := n.IP
	if n.ZoneID != "" && ip.Is6() {
		ip = ip.WithZone(n.ZoneID)
	}
	return net.JoinHostPort(ip.String(), strconv.Itoa(int(n.Port.Number)))
}
