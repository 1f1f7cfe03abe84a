package layout

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// NodeCfgOptions are what zeekctl knows besides its node.cfg, most of it from zeekctl.cfg. The zero value has zeekctl's
// defaults.
type NodeCfgOptions struct {
	Version         Version                                 // of Zeek; zero: as a comment says, as for [ParseZeek]
	ZeekPort        uint16                                  // the first port; 0: zeekctl's default
	MetricsPort     int                                     // the first port for metrics; 0: 9991; below 0: none
	ClusterBackend  string                                  // "Broker" or "ZeroMQ"; "": zeekctl's default, which is ZeroMQ from 8.1
	TimeMachineHost netip.Addr                              // invalid: there is none; up to 7.0
	TimeMachinePort Port                                    // zero: 47757/tcp
	StoreDir        string                                  // default_store_dir
	Resolve         func(host string) ([]netip.Addr, error) // looks up names of hosts; nil: the system's resolver
}

// The defaults of zeekctl (section 2.5).
const (
	defaultMetricsPort     = 9991
	defaultTimeMachinePort = 47757
)

// ParseZeekctlCfg reads from a zeekctl.cfg what assigns ports: ZeekPort, MetricsPort, ClusterBackend, TimeMachineHost,
// TimeMachinePort, DefaultStoreDir and SpoolDir. All else in it is left out.
func ParseZeekctlCfg(file string, src []byte) (NodeCfgOptions, error) {
	r := &report{file: file}
	var o NodeCfgOptions
	number := 0
	for line := range strings.Lines(string(bytes.TrimPrefix(src, []byte("\ufeff")))) {
		number++
		text := strings.TrimSpace(line)
		if text == "" || text[0] == '#' {
			continue
		}
		at := place{number, 1 + len(line) - len(strings.TrimLeft(line, " \t"))}
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			r.fail(at, "saw %s, want key = value", quoted(text))
			continue
		}
		value = strings.TrimSpace(value)
		port := func() int {
			n, err := strconv.ParseUint(value, 10, 16)
			if err != nil {
				r.fail(at, "%s: saw %s, want a port up to 65535", strings.TrimSpace(key), quoted(value))
			}
			return int(n)
		}
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "zeekport", "broport":
			if o.ZeekPort = uint16(port()); o.ZeekPort == 0 && len(r.errs) == 0 {
				r.fail(at, "ZeekPort is 0, want the first port of the cluster")
			}
		case "metricsport":
			if o.MetricsPort = port(); o.MetricsPort == 0 {
				o.MetricsPort = -1
			}
		case "clusterbackend":
			if o.ClusterBackend = value; !slices.Contains([]string{"broker", "zeromq"}, strings.ToLower(value)) {
				r.fail(at, "ClusterBackend: saw %s, want Broker or ZeroMQ", quoted(value))
			}
		case "timemachinehost":
			var err error
			if o.TimeMachineHost, err = netip.ParseAddr(strings.Trim(value, "[]")); err != nil && value != "" {
				r.fail(at, "TimeMachineHost: saw %s, want an address", quoted(value))
			}
		case "timemachineport":
			if o.TimeMachinePort, ok = parsePort(value); !ok {
				r.fail(at, "TimeMachinePort: saw %s, want a port such as 47757/tcp", quoted(value))
			}
		case "defaultstoredir":
			o.StoreDir = value
		case "spooldir":
			if o.StoreDir == "" {
				o.StoreDir = value + "/stores"
			}
		}
	}
	if strings.Contains(o.StoreDir, "${") { // of zeekctl's own variables
		o.StoreDir = ""
	}
	_, err := r.end()
	return o, err
}

// nodeKeys are those of a node.cfg (section 2.5).
var nodeKeys = []string{"type", "host", "interface", "aux_scripts", "zeekbase", "ether", "zone_id", "lb_procs", "lb_method", "lb_interfaces", "pin_cpus", "env_vars", "count"}

var lbMethods = []string{"af_packet", "pf_ring", "myricom", "custom", "interfaces"}

// ParseNodeCfg reads a node.cfg of zeekctl and makes of it the layout that zeekctl makes: workers multiplied by lb_procs,
// ports assigned as the version of zeekctl does, and an entry "control" (section 2.5). file is for errors, which are
// [*Error], joined. Names of hosts are looked up, each at most once.
func ParseNodeCfg(file string, src []byte, o NodeCfgOptions) (*Layout, error) {
	r := &report{file: file}
	s := settings{version: o.Version}
	p := &nodeCfgParser{report: r, o: o, version: s.fileVersion(r, src), hosts: make(map[string]netip.Addr), places: make(map[string]*section)}
	if p.o.Resolve == nil {
		p.o.Resolve = resolve
	}
	var l *Layout
	if bytesAreUTF16(src) {
		r.fail(place{}, "%w", errUTF16)
	} else {
		for _, s := range parseINI(r, src) {
			p.node(&s)
		}
		l = p.layout(file)
	}
	warnings, err := r.end()
	if err != nil {
		return nil, err
	}
	l.Warnings = warnings
	return l, nil
}

type nodeCfgParser struct {
	*report
	o       NodeCfgOptions
	version Version
	hosts   map[string]netip.Addr
	places  map[string]*section // by name of node
	nodes   [TimeMachine + 1][]Node
	alone   *section // of type standalone
}

// maxProcs bounds lb_procs: no host has so many processors, and names are made for each.
const maxProcs = 4096

// maxPorts bounds the nodes of a file: each has a port of its own.
const maxPorts = 1 << 16

// node reads a section.
func (p *nodeCfgParser) node(s *section) {
	get := func(key string) setting {
		v, ok := s.keys[key]
		if !ok {
			v.at = s.at
		}
		return v
	}
	unknown := make([]setting, 0)
	for key, v := range s.keys {
		if !slices.Contains(nodeKeys, key) && !strings.Contains(key, ".") { // which plugins have
			unknown = append(unknown, setting{key, v.at})
		}
	}
	slices.SortFunc(unknown, func(a, b setting) int { return a.at.line - b.at.line })
	for _, u := range unknown {
		p.warnOnce(u.at, "unknown key %s is not read", quoted(u.value))
	}
	kind := get("type")
	t, ok := parseType(kind.value)
	switch {
	case kind.value == "standalone":
		p.alone = s
		return
	case kind.value == "":
		p.fail(s.at, "node %s has no type, want manager, logger, proxy or worker", quoted(s.name))
		return
	case !ok || t < Logger || t > Worker:
		p.fail(kind.at, "node %s: unknown type %s, want manager, logger, proxy or worker", quoted(s.name), quoted(kind.value))
		return
	}
	host := get("host")
	if host.value == "" {
		p.fail(s.at, "node %s has no host", quoted(s.name))
		return
	}
	n := Node{Name: s.name, Type: t, ZoneID: get("zone_id").value, Interface: get("interface").value}
	if n.IP, ok = p.address(host); !ok {
		return
	}
	procs, interfaces := p.procs(s, t, get)
	if procs == 0 {
		p.add(n, s)
	}
	for i := 1; i <= procs; i++ {
		n.Name = fmt.Sprintf("%s-%d", s.name, i)
		if len(interfaces) == procs { // from the end, as zeekctl does
			n.Interface = interfaces[procs-i]
		}
		p.add(n, s)
	}
}

func (p *nodeCfgParser) add(n Node, s *section) {
	if len(p.places) == maxPorts {
		p.warnOnce(place{}, "more nodes than ports are not read")
		return
	}
	if n.Name == "control" {
		p.fail(s.at, "a node is named control, which zeekctl keeps for itself")
	}
	if other := p.places[n.Name]; other != nil {
		p.fail(s.at, "two nodes are named %s, the other is of line %d", quoted(n.Name), other.at.line)
		return
	}
	p.places[n.Name] = s
	p.nodes[n.Type] = append(p.nodes[n.Type], n)
}

// procs returns for how many processes a worker stands, 0 for one under its own name, and their interfaces.
func (p *nodeCfgParser) procs(s *section, t NodeType, get func(string) setting) (int, []string) {
	procs, method, list := get("lb_procs"), get("lb_method"), get("lb_interfaces")
	name := quoted(s.name)
	switch {
	case procs.value == "" && method.value == "":
		return 0, nil
	case procs.value == "":
		p.fail(method.at, "node %s has lb_method, want lb_procs, too", name)
		return 0, nil
	case t != Worker:
		p.fail(procs.at, "node %s: lb_procs is for workers only", name)
		return 0, nil
	}
	n, err := strconv.Atoi(procs.value)
	if err != nil || n < 1 || n > maxProcs {
		p.fail(procs.at, "node %s: lb_procs is %s, want a number from 1 to %d", name, quoted(procs.value), maxProcs)
		return 0, nil
	}
	if !slices.Contains(lbMethods, method.value) {
		p.fail(method.at, "node %s: lb_method is %s, want %s", name, quoted(method.value), strings.Join(lbMethods, ", "))
	}
	if method.value != "interfaces" {
		return n, nil
	}
	interfaces := strings.Split(list.value, ",")
	for i := range interfaces {
		interfaces[i] = strings.TrimSpace(interfaces[i])
	}
	if len(interfaces) != n || list.value == "" {
		p.fail(list.at, "node %s: lb_interfaces is %s, want %d of them, as lb_procs says", name, quoted(list.value), n)
	}
	return n, interfaces
}

// address returns the address of a host: the first of IPv4, else the first.
func (p *nodeCfgParser) address(host setting) (netip.Addr, bool) {
	if a, ok := p.hosts[host.value]; ok {
		return a, a.IsValid()
	}
	var a netip.Addr
	if literal, err := netip.ParseAddr(host.value); err == nil {
		a = literal
	} else if all, err := p.o.Resolve(host.value); err != nil {
		p.fail(host.at, "host %s cannot be looked up: %w", quoted(host.value), err)
	} else if len(all) == 0 {
		p.fail(host.at, "host %s has no address", quoted(host.value))
	} else {
		a = all[max(0, slices.IndexFunc(all, func(a netip.Addr) bool { return a.Unmap().Is4() }))]
	}
	a = a.Unmap().WithZone("")
	p.hosts[host.value] = a
	return a, a.IsValid()
}

// layout assigns the ports.
func (p *nodeCfgParser) layout(file string) *Layout {
	l := &Layout{Version: p.version, Options: DefaultOptions(p.version), Source: file}
	l.Options.DefaultStoreDir = p.o.StoreDir
	l.Options.ManagerIsLogger = len(p.nodes[Logger]) == 0
	managers := p.nodes[Manager]
	switch {
	case p.alone != nil:
		if len(p.places) > 0 {
			p.fail(p.alone.at, "node %s is standalone, want no other node beside it", quoted(p.alone.name))
		} else {
			p.fail(p.alone.at, "node %s is standalone: there is no cluster to be in; peer with its port instead", quoted(p.alone.name))
		}
	case len(p.errs) > 0: // from which the following may come
	case len(managers) == 0:
		p.fail(place{}, "there is no manager")
	case len(managers) > 1:
		p.fail(p.places[managers[1].Name].at, "a second manager, %s, want one", quoted(managers[1].Name))
	case len(p.nodes[Proxy]) == 0:
		p.fail(place{}, "there is no proxy, want one at least")
	}
	if len(p.errs) > 0 {
		return l
	}
	if managers[0].IP.IsLoopback() {
		for _, nodes := range p.nodes {
			for i := range nodes {
				if n := &nodes[i]; !n.IP.IsLoopback() {
					p.fail(p.places[n.Name].keys["host"].at, "node %s is at %v, which cannot reach the manager at %v", quoted(n.Name), n.IP, managers[0].IP)
				}
			}
		}
	}
	p.ports(l)
	if len(p.errs) > 0 {
		return l
	}
	slices.SortFunc(l.Nodes, byName)
	l.check(p.report, func(name, field string) place {
		s := p.places[name]
		if s == nil {
			return place{}
		}
		if v, ok := s.keys[map[string]string{"ip": "host", "node_type": "type"}[field]]; ok {
			return v.at
		}
		return s.at
	})
	return l
}

// ports assigns the ports and fills the layout.
func (p *nodeCfgParser) ports(l *Layout) {
	next := uint64(p.o.ZeekPort)
	if next == 0 {
		next = uint64(p.version.ZeekctlPort())
	}
	backend := strings.ToLower(p.o.ClusterBackend)
	switch {
	case backend == "" && !p.version.BrokerIsDefault():
		p.warn(place{}, "zeekctl of Zeek %v uses ZeroMQ unless zeekctl.cfg says ClusterBackend = Broker: nodes of such a cluster do not speak Broker's protocol", p.version)
		backend = "zeromq"
	case backend == "zeromq":
		p.warn(place{}, "the cluster uses ZeroMQ, its nodes do not speak Broker's protocol: want ClusterBackend = Broker in zeekctl.cfg")
	}
	if backend == "zeromq" {
		next += 2 // for XPUB and XSUB
	}
	metrics := uint64(0)
	if p.version.HasMetricsPort() && p.o.MetricsPort >= 0 {
		if metrics = uint64(p.o.MetricsPort); metrics == 0 {
			metrics = defaultMetricsPort
		}
	}
	assign := func(from *uint64) Port {
		port := *from
		*from++
		if port >= maxPorts {
			if port == maxPorts {
				p.fail(place{}, "there are more nodes than ports up to 65535, want a lower ZeekPort or MetricsPort")
			}
			return Port{}
		}
		return tcp(uint16(port))
	}
	manager := p.nodes[Manager][0]
	l.Nodes = append(l.Nodes, Node{Name: "control", Type: Control, IP: manager.IP, Port: assign(&next)})
	order := []NodeType{Logger, Manager, Proxy, Worker}
	if p.version.ZeekctlManagerFirst() {
		order[0], order[1] = Manager, Logger
	}
	for _, t := range order {
		for _, n := range p.nodes[t] {
			n.Port = assign(&next)
			if metrics > 0 { // in the order of 7.0, from which on there are such
				n.MetricsPort = assign(&metrics)
			}
			if t == Proxy || t == Worker {
				n.Manager = manager.Name
			}
			l.Nodes = append(l.Nodes, n)
		}
	}
	if p.o.TimeMachineHost.IsValid() && p.version.HasTimeMachine() {
		port := p.o.TimeMachinePort
		if port == (Port{}) {
			port = tcp(defaultTimeMachinePort)
		}
		l.Nodes = append(l.Nodes, Node{Name: "time-machine", Type: TimeMachine, IP: p.o.TimeMachineHost.Unmap(), Port: port})
	}
}
