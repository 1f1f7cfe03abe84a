package layout

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A draft is a node as far as a file has been read.
type draft struct {
	node   Node
	places map[string]place // of its fields; of its entry under ""
}

// storeDraft is likewise; which of its fields are there matters, as defaults may still change.
type storeDraft struct {
	info StoreInfo
	set  map[string]bool
}

// redefNodes applies a redef of Cluster::nodes.
func (p *zeekParser) redefNodes(op token, v value) {
	if op.text == "=" {
		clear(p.nodes)
	}
	seen := make(map[string]place)
	p.eachEntry("Cluster::nodes", op, v, func(e *entry, name string) {
		if op.text == "-=" {
			if p.nodes[name] == nil {
				p.warn(e.at, "there is no node %s to remove", quoted(name))
			}
			delete(p.nodes, name)
			return
		}
		if first, ok := seen[name]; ok {
			p.fail(e.at, "two nodes are named %s, the other is at line %d", quoted(name), first.line)
			return
		}
		seen[name] = e.at
		if old := p.nodes[name]; old != nil {
			p.warn(e.at, "node %s takes the place of the one of line %d", quoted(name), old.places[""].line)
		}
		p.nodes[name] = p.nodeDraft(name, e)
	})
}

// eachEntry calls do with each entry of a table that is indexed by a name.
func (p *zeekParser) eachEntry(what string, op token, v value, do func(e *entry, name string)) {
	if v.kind != kTable {
		p.fail(v.at, "saw %v, want a table for %s", &v, what)
		return
	}
	for i := range v.entries {
		e := &v.entries[i]
		key := e.key
		if op.text == "-=" && e.value != nil && len(key) == 0 {
			key = []value{*e.value}
		}
		switch {
		case len(key) != 1 || key[0].kind != kString:
			p.fail(e.at, `%s: want ["name"] first`, what)
		case e.value == nil && op.text != "-=":
			p.fail(e.at, "%s: %s has nothing, want = and a record", what, quoted(key[0].text))
		case op.text != "-=" && e.value.kind != kRecord:
			p.fail(e.value.at, "%s: saw %v for %s, want a record such as [$ip=10.0.0.1]", what, e.value, quoted(key[0].text))
		default:
			do(e, key[0].text)
		}
	}
}

// nodeFields are those of Cluster::Node.
var nodeFields = []string{"node_type", "ip", "zone_id", "p", "interface", "manager", "time_machine", "id", "metrics_port", "lb_filter"}

// nodeDraft reads the record of a node.
func (p *zeekParser) nodeDraft(name string, e *entry) *draft {
	d := &draft{node: Node{Name: name}, places: map[string]place{"": e.at}}
	n := &d.node
	for i := range e.value.fields {
		f := &e.value.fields[i]
		if _, ok := d.places[f.name]; ok {
			p.fail(f.at, "node %s has $%s twice", quoted(name), f.name)
			continue
		}
		d.places[f.name] = f.at
		switch f.name {
		case "node_type":
			n.Type = p.nodeType(f)
		case "ip":
			n.IP = p.fieldAddr(f)
		case "zone_id":
			n.ZoneID = p.fieldString(f)
		case "p":
			n.Port = p.fieldPort(f)
		case "manager":
			n.Manager = p.fieldString(f)
		case "interface":
			p.gone(f, !p.version.HasInterface())
			n.Interface = p.fieldString(f)
		case "lb_filter":
			p.gone(f, !p.version.HasInterface())
			n.LBFilter = p.fieldString(f)
		case "time_machine":
			p.gone(f, !p.version.HasTimeMachine())
			n.TimeMachine = p.fieldString(f)
		case "metrics_port":
			if !p.version.HasMetricsPort() {
				p.warnOnce(f.at, "Zeek %v has no $metrics_port, it is there since 7.0", p.version)
			}
			n.MetricsPort = p.fieldPort(f)
		case "id":
			p.warn(f.at, "node %s: $id is not read, Zeek sets it while the node is connected", quoted(name))
		default:
			p.warnOnce(f.at, "unknown field $%s of nodes is not read, there are %s", f.name, strings.Join(nodeFields, ", "))
		}
	}
	for _, must := range []string{"node_type", "ip"} {
		if _, ok := d.places[must]; !ok {
			p.fail(e.at, "node %s has no $%s", quoted(name), must)
		}
	}
	return d
}

// gone warns of a field that newer versions do not have.
func (p *zeekParser) gone(f *field, isGone bool) {
	if isGone {
		p.warnOnce(f.at, "Zeek %v has no $%s, the layout looks like one of Zeek 7.0 or older", p.version, f.name)
	}
}

// mismatch notes that a value is of the wrong kind.
func (p *zeekParser) mismatch(v *value, what, want string) {
	p.fail(v.at, "%s: saw %v, want %s", what, v, want)
}

func (p *zeekParser) nodeType(f *field) NodeType {
	module, member, _ := strings.Cut(f.value.text, "::")
	t, ok := parseType(strings.ToLower(member))
	switch {
	case f.value.kind != kName || module != "Cluster" || !ok:
		p.mismatch(&f.value, "$node_type", "Cluster::LOGGER, MANAGER, PROXY, WORKER or CONTROL")
	case t == TimeMachine && !p.version.HasTimeMachine():
		p.warnOnce(f.value.at, "Zeek %v has no %v, the layout looks like one of Zeek 7.0 or older", p.version, t)
	}
	return t
}

func (p *zeekParser) fieldAddr(f *field) netip.Addr {
	if f.value.kind != kAddr {
		p.mismatch(&f.value, "$"+f.name, "an address, such as 10.0.0.1 or [2001:db8::1]")
	}
	return f.value.addr
}

func (p *zeekParser) fieldPort(f *field) Port {
	if f.value.kind != kPort {
		p.mismatch(&f.value, "$"+f.name, "a port, such as 27760/tcp")
	}
	return f.value.port
}

func (p *zeekParser) fieldString(f *field) string {
	if f.value.kind != kString {
		p.mismatch(&f.value, "$"+f.name, "a string")
		return ""
	}
	return f.value.text
}

// redefStores applies a redef of Cluster::stores.
func (p *zeekParser) redefStores(op token, v value) {
	if op.text == "=" {
		clear(p.stores)
	}
	p.eachEntry("Cluster::stores", op, v, func(e *entry, name string) {
		if op.text == "-=" {
			delete(p.stores, name)
			return
		}
		s := &storeDraft{info: StoreInfo{Name: name}, set: make(map[string]bool)}
		for i := range e.value.fields {
			p.storeField(s, &e.value.fields[i])
		}
		p.stores[name] = s
	})
}

// storeField reads a field of Cluster::StoreInfo.
func (p *zeekParser) storeField(s *storeDraft, f *field) {
	s.set[f.name] = true
	switch f.name {
	case "name":
		if name := p.fieldString(f); name != s.info.Name {
			p.warn(f.at, "store %s: its name is that of the entry, not %s", quoted(s.info.Name), quoted(name))
		}
	case "master_node":
		s.info.MasterNode = p.fieldString(f)
	case "backend":
		s.info.Backend = p.backend("$backend", &f.value)
	case "options":
		// [$sqlite=[$path="..."]]
		for _, kind := range f.value.fields {
			for i := range kind.value.fields {
				if path := &kind.value.fields[i]; path.name == "path" {
					s.info.Path = p.fieldString(path)
				}
			}
		}
	case "clone_resync_interval":
		s.info.CloneResyncInterval = p.interval("$"+f.name, &f.value)
	case "clone_stale_interval":
		s.info.CloneStaleInterval = p.interval("$"+f.name, &f.value)
	case "clone_mutation_buffer_interval":
		s.info.CloneMutationBufferInterval = p.interval("$"+f.name, &f.value)
	default:
		p.warnOnce(f.at, "field $%s of stores is not read", f.name)
	}
}

func (p *zeekParser) backend(what string, v *value) Backend {
	module, member, _ := strings.Cut(v.text, "::")
	b, ok := parseBackend(strings.ToLower(member))
	if v.kind != kName || module != "Broker" || !ok {
		p.mismatch(v, what, "Broker::MEMORY or Broker::SQLITE")
	}
	return b
}

func (p *zeekParser) interval(what string, v *value) time.Duration {
	if v.kind != kInterval {
		p.mismatch(v, what, "an interval, such as 10 secs")
	}
	return v.span
}

// setOption sets an option.
func (p *zeekParser) setOption(o *option, full string, v value) {
	p.set[full] = true
	switch f := o.field(&p.l.Options).(type) {
	case *string:
		if v.kind != kString {
			p.mismatch(&v, full, "a string")
		}
		*f = v.text
	case *bool:
		if v.kind != kBool {
			p.mismatch(&v, full, "T or F")
		}
		*f = v.truth
	case *Backend:
		*f = p.backend(full, &v)
	case *time.Duration:
		*f = p.interval(full, &v)
	}
}

// finish puts together what was read, and checks it.
func (p *zeekParser) finish() {
	for _, d := range p.nodes {
		p.l.Nodes = append(p.l.Nodes, d.node)
	}
	p.l.Stores = assemble(&p.l.Options, p.stores)
	slices.SortFunc(p.l.Nodes, byName)
	if len(p.errs) > 0 {
		return // most of what a check would find follows from them
	}
	p.l.check(p.report, func(name, field string) place {
		d := p.nodes[name]
		if d == nil {
			return place{}
		}
		if at, ok := d.places[field]; ok {
			return at
		}
		return d.places[""]
	})
}

// assemble returns the stores, by name, with the defaults of the options.
func assemble(o *Options, drafts map[string]*storeDraft) []StoreInfo {
	var stores []StoreInfo
	for name, d := range drafts {
		s := o.defaultStore(name)
		for field, to := range map[string]func(){
			"master_node":                    func() { s.MasterNode = d.info.MasterNode },
			"backend":                        func() { s.Backend = d.info.Backend },
			"options":                        func() { s.Path = d.info.Path },
			"clone_resync_interval":          func() { s.CloneResyncInterval = d.info.CloneResyncInterval },
			"clone_stale_interval":           func() { s.CloneStaleInterval = d.info.CloneStaleInterval },
			"clone_mutation_buffer_interval": func() { s.CloneMutationBufferInterval = d.info.CloneMutationBufferInterval },
		} {
			if d.set[field] {
				to()
			}
		}
		stores = append(stores, s)
	}
	slices.SortFunc(stores, func(a, b StoreInfo) int { return strings.Compare(a.Name, b.Name) })
	return stores
}
